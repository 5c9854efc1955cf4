"""Applies a plan: hands its actions, a batch at a time, to the operation that performs them."""

from collections.abc import Iterator
from itertools import groupby, islice

from imgctl.errors import UsageError
from imgctl.ops.plan import Applied, Performer, Plan, Site

BATCH = 1000


def apply(plan: Plan, site: Site) -> Iterator[Applied]:
    """Perform every action of a plan; yields the fate of each that was begun before `site.stop` was set."""
    actions = plan.stream()
    while not site.stop.is_set() and (some := list(islice(actions, BATCH))):
        for performer, same in groupby(some, key=lambda action: performer_of(action.do)):
            yield from performer(list(same), site)


def check(plan: Plan) -> None:
    """Raise UsageError, before anything is done, if the plan has an action that this version cannot perform."""
    known: set[str] = set()
    for action in plan.stream():
        if action.do not in known:
            performer_of(action.do)
            known.add(action.do)


def performer_of(do: str) -> Performer:
    """Return the performer of actions of this kind; UsageError for an unknown kind."""
    if do == "transition":
        from imgctl.ops.transition.from_plan import perform

        return perform
    if do == "restore":
        from imgctl.ops.restore.plan import perform as restore

        return restore
    if do.startswith("repair_"):
        from imgctl.ops.repair.start import perform_repairs

        return perform_repairs
    raise UsageError(f"unknown action in the plan: {do}", hint="upgrade imgctl, or write the plan anew")
