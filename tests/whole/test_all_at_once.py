"""Every command at the same time, with kills and a failing store: nothing confirmed is lost, and all ends consistent."""

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from threading import Lock, Thread
from uuid import UUID

import pytest

from imgctl.keys import PROBES
from imgctl.model import Status
from tests.parts.proxy import Fault, fault_proxy
from tests.soak import rounds
from tests.whole.conftest import photo
from tests.whole.deployment import Deployment, Result, variant_keys

# One of them is erased now and then, one is on hold.
USERS = tuple(UUID(f"0190b2b4-0000-7000-8000-00000000000{number}") for number in range(1, 5))
ERASED, HELD = USERS[2:]
ACTORS = 4
COMMANDS = rounds(4, 60)
# Longer than any promise waits for its bytes here.
GRACE = ("--grace", "20s")
NOW = ("--grace", "0s", "--stuck-after", "0s")
ORPHANS = ("--delete-orphans", "--orphan-age", "20s", "--max-delete-percent", "100")
# Commands, how often each is chosen, and the exit codes that it may have here.
CHOICES: dict[tuple[str, ...], tuple[int, set[int]]] = {
    ("upload",): (8, {0, 1, 3}),
    ("work", "--drain"): (5, {0, 1, 3}),
    ("work", "--drain", "--limit", "5"): (2, {0, 1, 3}),
    ("backfill", "--force"): (1, {0, 1, 3}),
    ("backfill", "--verify"): (1, {0, 1, 3}),
    ("repair", "--apply", *GRACE, "--stuck-after", "5s", "--erased", *ORPHANS): (4, {0, 1, 3}),
    ("audit", "--deep", *GRACE): (2, {0, 1, 4}),
    ("erase", "--yes", "--user", str(ERASED), "--confirm-user", str(ERASED), *GRACE): (2, {0, 1, 3}),
    ("erase", "--yes", "--user", str(HELD), "--confirm-user", str(HELD)): (1, {1, 3}),
    ("erase", "--yes", "--unfinished", *GRACE): (1, {0, 1, 3}),
    ("export", "--yes", "--user", str(HELD), "--out"): (1, {0, 1, 3}),
}


class Confirmed:
    """What commands reported as safe: the ids by owner and SHA-256."""

    def __init__(self) -> None:
        self.ids: dict[tuple[UUID, str], set[str]] = {}
        self._lock = Lock()

    def note(self, user: UUID, result: Result) -> None:
        """Note the images of an upload's complete lines; a killed one ends in the middle of a line."""
        complete = Result(code=0, out=result.out[: result.out.rfind("\n") + 1], err="")
        with self._lock:
            for file in complete.of("file"):
                if file["fate"] in {"uploaded", "present"}:
                    self.ids.setdefault((user, str(file["sha256"])), set()).add(str(file["id"]))


@pytest.fixture
def busy(deployment: Deployment) -> Iterator[Deployment]:
    """A deployment with a hold, whose store resets one request in fifty, or loses its response."""
    ready = deployment.with_settings(WORK_MAX_ATTEMPTS="100", SERVE_SECRET="s" * 40)
    assert ready.run("hold", "--user", str(HELD), "--reason", "case 4711").code == 0
    rng = random.Random(1)

    def policy(_method: str, _path: str, _number: int) -> Fault | None:
        return rng.choice([Fault.RESET, Fault.LOST_RESPONSE]) if rng.random() < 0.02 else None

    with ExitStack() as stack:
        if deployment.store.url.startswith("s3:"):
            proxy = stack.enter_context(fault_proxy(deployment.store.endpoint_url, policy=policy))
            ready = ready.through(proxy.url)
        yield ready


def albums_in(place: Path) -> dict[tuple[UUID, int], Path]:
    """Write three albums of each user, which share photos."""
    albums = {(user, number): place / f"{user}-{number}" for user in USERS for number in range(3)}
    for (user, number), album in albums.items():
        album.mkdir(parents=True)
        for photo_number in range(6):
            file = album / f"{photo_number}.jpg"
            file.write_bytes(photo(number * 4 + photo_number + USERS.index(user) % 2))
            os.utime(file, (1_700_000_000, 1_700_000_000))
    return albums


def act(
    busy: Deployment, albums: dict[tuple[UUID, int], Path], seed: str, confirmed: Confirmed, odd: list[str]
) -> None:
    """Run one command after another; a third of them are killed."""
    rng = random.Random(seed)
    for number in range(COMMANDS):
        (chosen,) = rng.choices([*CHOICES], [often for often, _ in CHOICES.values()])
        command, user, expected = [*chosen], USERS[0], CHOICES[chosen][1] | {-9}
        if command == ["upload"]:
            user, album = rng.choice([*albums])
            command += [str(albums[user, album]), "--user", str(user), "--json"]
        elif command[0] == "export":
            command.append(str(busy.directory / f"bag-{seed}-{number}"))
        run = busy.start(*command)
        if rng.random() < 0.3:
            run.process.join(rng.uniform(0, 1.5))
            run.kill()
        result = run.wait()
        if result.code not in expected or "please report it" in result.err:
            odd.append(f"{command} ended with {result.code}: {result.err}")
        if command[0] == "upload":
            confirmed.note(user, result)


@pytest.mark.parametrize("seed", range(rounds(1, 3)))
def test_all_commands_at_once(busy: Deployment, tmp_path: Path, seed: int) -> None:
    albums, confirmed, odd = albums_in(tmp_path / "albums"), Confirmed(), list[str]()
    actors = [Thread(target=act, args=(busy, albums, f"{seed} {number}", confirmed, odd)) for number in range(ACTORS)]
    for actor in actors:
        actor.start()
    for actor in actors:
        actor.join()
    assert odd == []

    # Nothing is in flight any more, and nothing is uploaded again. During a hold repair leaves the promises of killed uploads.
    assert busy.run("release", "--user", str(HELD)).code == 0
    assert busy.run("erase", "--yes", "--unfinished", "--grace", "0s").code == 0
    assert busy.run("repair", "--apply", *NOW, "--failed", "--erased", *ORPHANS, "--orphan-age", "0s").code == 0
    assert busy.run("work", "--drain").code == 0
    assert busy.run("backfill", "--verify").code == 0
    found = busy.run("audit", "--deep", *NOW, "--json")
    assert found.code == 0, found.out

    images, store = {str(image.id): image for image in busy.images()}, busy.open_store()
    safe = {key: ids for key, ids in confirmed.ids.items() if key[0] != ERASED}
    assert safe
    assert dict.fromkeys(safe, 1) == {key: len(ids) for key, ids in safe.items()}
    for (user, digest), (image_id,) in safe.items():
        image = images[image_id]
        assert (image.user_id, image.status) == (user, Status.READY)
        assert sha256(store.get(image.original_key or "")).hexdigest() == digest
    keys = {blob.key for blob in store.scan() if not blob.key.startswith((PROBES, "trash/"))}
    assert keys == {image.original_key for image in images.values()} | variant_keys(images.values())
