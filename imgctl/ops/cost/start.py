"""A plan that starts from the archive at hand: its photos, their mean size, where most of them lie, and its uploads."""

from dataclasses import replace

from imgctl.errors import UsageError
from imgctl.keys import ORIGINAL
from imgctl.ops.cost.survey import RECENT, Survey
from imgctl.pricing.plan import Plan
from imgctl.units import count_of


def plan_from(found: Survey, plan: Plan) -> Plan:
    """The plan with the archive's own figures: uploads of the last 30 days, mean bytes, the class of most bytes.

    UsageError for an archive without images.
    """
    archive = found.archive
    if not archive.rows:
        raise UsageError("the catalog has no images to start from", hint="leave --from-catalog out, or upload some")
    dearest = max(archive.originals, key=lambda name: archive.originals[name].both.size)
    built = {name: archive.sizes[name] for name, count in archive.variants.items() if count}
    return replace(
        plan,
        uploads_per_day=-(-found.recent.rows // RECENT.days),
        sizes={**built, ORIGINAL: archive.size // archive.rows},
        originals=dearest,
        stock=archive.rows,
        stock_class=dearest,
    )


def origin_of(found: Survey) -> str:
    """One line that says what the plan starts from."""
    mean = found.archive.size // max(1, found.archive.rows)
    return (
        f"Starts from the catalog: {count_of(found.archive.rows, 'image')} of {count_of(mean, 'byte')} on average, "
        f"{count_of(found.recent.rows, 'image')} from the last 30 days; the sizes of variants are assumed."
    )
