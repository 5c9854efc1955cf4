"""The fence of law 3 against a model: whatever current and former holders do, only the last claim's token counts."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete

from imgctl.model import Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold, renew
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.queries.results import FailedImage, Finished, GivenBack, fail, finish, give_back
from imgctl.store.catalog.schema import images
from tests.soak import rounds
from tests.store.catalog.rows import new_image

ENDLESS = 1000
SECONDS = {"live": 600.0, "lapsed": -1.0}
CLAIMS = st.tuples(st.just("claim"), st.sampled_from(["live", "lapsed"]))
ENDS = st.tuples(st.sampled_from(["finish", "fail", "give back", "refund", "renew"]), st.integers(0, 2))
NEW = new_image(1)


@dataclass
class Model:
    """The expected row: its state, its token, and whether its lease is absent, current or expired."""

    status: Status = Status.PROCESSING
    attempts: int = 0
    lease: str | None = None

    def claim(self, lease: str) -> bool:
        if self.status is not Status.PROCESSING or self.lease == "live":
            return False
        self.attempts, self.lease = self.attempts + 1, lease
        return True

    def end(self, verb: str, token: int) -> bool:
        if self.status is not Status.PROCESSING or token != self.attempts:
            return False
        if verb in {"finish", "fail"}:
            self.status = Status.READY if verb == "finish" else Status.FAILED
            self.lease = None
            return True
        if self.lease is None:
            return False
        self.lease = "live" if verb == "renew" else None
        return True


def end(connection: Connection, verb: str, token: int) -> bool:
    match verb:
        case "finish":
            done = Finished(id=NEW.id, attempts=token, thumb_key="t", medium_key="m", full_key="f")
            return bool(finish(connection, [done]))
        case "fail":
            return bool(fail(connection, [FailedImage(id=NEW.id, attempts=token, error="no")]))
        case "renew":
            return bool(renew(connection, [Hold(id=NEW.id, attempts=token)], lease_seconds=600))
        case _:
            return bool(give_back(connection, [GivenBack(id=NEW.id, attempts=token, refund=verb == "refund")]))


@settings(deadline=None, max_examples=rounds(15, 100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(CLAIMS | ENDS, max_size=12))
def test_only_the_token_of_the_last_claim_changes_a_row(catalog: Catalog, steps: list[tuple[str, str | int]]) -> None:
    model = Model()
    with catalog.write() as connection:
        connection.execute(delete(images))
        promise(connection, [NEW])
        confirm(connection, [NEW.id])

    for verb, argument in steps:
        with catalog.write() as connection:
            if isinstance(argument, str):
                lease = SECONDS[argument]
                got = bool(claim(connection, limit=1, lease_seconds=lease, max_attempts=ENDLESS))
                assert got == model.claim(argument)
            else:
                token = max(1, model.attempts - argument)
                assert end(connection, verb, token) == model.end(verb, token)
            row = by_id(connection, NEW.id)
        assert row is not None
        assert (row.status, row.attempts, row.leased_until is None) == (
            model.status,
            model.attempts,
            model.lease is None,
        )
