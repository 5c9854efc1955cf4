"""Transitions as actions of a plan: written by a survey, performed unless the row or the original has changed since."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from imgctl.errors import UsageError
from imgctl.model import Image, StorageClass
from imgctl.ops.common.retry import read
from imgctl.ops.common.spend import card_in_force
from imgctl.ops.plan import Action, Applied, Fate, Site, row_version
from imgctl.ops.transition.eligibility import Refusal, Verdict
from imgctl.ops.transition.move import transition
from imgctl.ops.transition.options import Fate as Ended
from imgctl.ops.transition.options import Outcome, Policy, Reason, TransitionOrder
from imgctl.ops.transition.survey import BLOCK, foreseen, judges
from imgctl.store.catalog.queries.lookups import by_ids

DO = "transition"


def action_of(verdict: Verdict, *, to: StorageClass, delete: bool) -> Action:
    """Return the move of an eligible original as an action."""
    image, blob = verdict.image, verdict.blob
    assert blob is not None
    parameters = {
        "to": to.value,
        "from": blob.storage_class,
        "row_class": image.storage_class,
        "bytes": blob.size,
        "delete_noncurrent": delete,
    }
    key = image.original_key or ""
    return Action(do=DO, id=image.id, key=key, etag=blob.etag, row=row_version(image), parameters=parameters)


def perform(actions: Sequence[Action], site: Site) -> Iterator[Applied]:
    """Move the originals of these actions; changed ones are refused, moved ones count as done already."""
    orders: dict[tuple[str, bool], dict[UUID, Action]] = {}
    for action in actions:
        kind = action.text("to"), action.parameters.get("delete_noncurrent") is True
        orders.setdefault(kind, {})[action.id] = action
    for (to, delete_noncurrent), some in orders.items():
        yield from _perform(some, _order(site, some, to, delete_noncurrent=delete_noncurrent), site)


def _order(site: Site, actions: dict[UUID, Action], to: str, *, delete_noncurrent: bool) -> TransitionOrder:
    if to not in tuple(StorageClass)[1:]:
        raise UsageError(f"the plan moves to {to}, which is not a class to move to", hint="write the plan anew")
    settings = site.parts.settings
    # The run that wrote the plan already decided whether the move pays.
    policy = Policy(to=StorageClass(to), card=card_in_force(settings), at=datetime.now(UTC), min_size=0)
    return TransitionOrder(
        policy=policy,
        concurrency=site.concurrency,
        rate=site.rate,
        lease_seconds=settings.work.lease,
        delete_noncurrent=delete_noncurrent,
    )


def _perform(actions: dict[UUID, Action], order: TransitionOrder, site: Site) -> Iterator[Applied]:
    missing: list[Action] = []
    rows, check = _rows(actions, site, missing), partial(_drifted, actions)
    with judges(order, parts=site.parts, stop=site.stop, source=rows, check=check) as looking:
        foreseeing = (foreseen(verdict) for block in looking.blocks() for verdict in block)
        acting = transition(looking, order, parts=site.parts, stop=site.stop)
        for outcome in foreseeing if site.dry_run else acting:
            yield _applied(actions[outcome.image.id], outcome)
        for action in missing:
            yield Applied(action=action, fate=Fate.REFUSED, detail="its row is gone")


def _rows(actions: dict[UUID, Action], site: Site, missing: list[Action]) -> Iterator[list[Image]]:
    """Yield the rows of all actions in the order of ids; actions without a row are added to `missing`."""
    ids = sorted(actions)
    for start in range(0, len(ids), BLOCK):
        some = ids[start : start + BLOCK]
        found = read(site.parts.catalog, partial(by_ids, ids=some), stop=site.stop)
        missing += [actions[one] for one in some if one not in found]
        yield [found[one] for one in some if one in found]


def _drifted(actions: dict[UUID, Action], verdict: Verdict) -> Verdict:
    """Return the verdict, or a refusal if the row or its original changed since the plan was written."""
    action, image, blob = actions[verdict.image.id], verdict.image, verdict.blob
    if verdict.refusal is not None:
        return verdict
    # An interrupted run of this plan left its promise.
    promised = image.leased_until is not None and image.storage_class == action.text("to")
    row_class = action.parameters.get("row_class")
    before = replace(image, storage_class=row_class if isinstance(row_class, str) else None)
    if row_version(before if promised else image) != action.row:
        return replace(verdict, refusal=Refusal(Reason.CHANGED, "its row changed since the plan was written"))
    if image.original_key != action.key or (blob is not None and blob.etag != action.etag):
        detail = f"the original changed since: its ETag is {blob.etag if blob else ''}, the plan says {action.etag}"
        return replace(verdict, refusal=Refusal(Reason.CHANGED, detail))
    return verdict


def _applied(action: Action, outcome: Outcome) -> Applied:
    fates = {
        Ended.MOVED: Fate.DONE,
        Ended.PLANNED: Fate.PLANNED,
        Ended.RECORDED: Fate.ALREADY,
        Ended.FAILED: Fate.FAILED,
    }
    fate = fates.get(outcome.fate, Fate.REFUSED)
    if outcome.reason is Reason.ALREADY_THERE:
        fate = Fate.ALREADY
    elif outcome.fate is Ended.RECORDED:
        # The row is correct again, but the move was not done.
        fate = Fate.REFUSED
    elif outcome.reason is Reason.STOPPED:
        fate = Fate.FAILED
    return Applied(action=action, fate=fate, detail=outcome.detail)
