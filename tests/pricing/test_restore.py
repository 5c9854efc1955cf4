"""Tests of the costs of restores, to the cent, computed by hand from the us-east-1 prices of 2026-10-03."""

from decimal import Decimal

import pytest

from imgctl.errors import ConfigError
from imgctl.model import Sized
from imgctl.pricing.card_files import load_card
from imgctl.pricing.costs import Operation, request_cost, retrieval
from imgctl.pricing.estimate import Estimate
from imgctl.pricing.moves import Leaving, hours_words, restore_estimate

GIB = 2**30
CARD = load_card()


def _estimate(storage_class: str, tier: str, objects: int, gib: int, *, days: int) -> Estimate:
    archived = {storage_class: Sized(objects=objects, size=gib * GIB)}
    return restore_estimate(CARD, archived=archived, tier=tier, days=days)


def _cents(amount: Decimal) -> str:
    return str(amount.quantize(Decimal("0.01")))


# 100,000 originals of 300 GiB for 7 days, each with two HEADs at $.0004/1,000: 200 × .0004 = $0.08
# and copies at STANDARD: 300 × .023 × 7/30 = $1.61.
@pytest.mark.parametrize(
    ("storage_class", "tier", "dollars"),
    [
        ("GLACIER", "BULK", "1.69"),  # 0 requests + 0 retrieval + 1.61 + .08
        ("GLACIER", "STANDARD", "9.69"),  # 100 × .05 = 5.00; 300 × .01 = 3.00; + 1.69
        ("GLACIER", "EXPEDITED", "1010.69"),  # 100 × 10 = 1,000; 300 × .03 = 9.00; + 1.69
        ("DEEP_ARCHIVE", "BULK", "4.94"),  # 100 × .025 = 2.50; 300 × .0025 = .75; + 1.69
        ("DEEP_ARCHIVE", "STANDARD", "17.69"),  # 100 × .1 = 10.00; 300 × .02 = 6.00; + 1.69
    ],
)
def test_each_class_and_tier(storage_class: str, tier: str, dollars: str) -> None:
    assert _cents(_estimate(storage_class, tier, 100_000, 300, days=7).one_off) == dollars


def test_readable_copies_are_billed_by_the_day() -> None:
    # 3,000 GiB × .023 = 69.00 for 30 days, 2.30 a day; 2 HEADs cost less than a cent; bulk from GLACIER is free.
    assert _cents(_estimate("GLACIER", "BULK", 1, 3000, days=30).one_off) == "69.00"
    assert _cents(_estimate("GLACIER", "BULK", 1, 3000, days=1).one_off) == "2.30"


def test_small_originals_cost_mostly_their_requests() -> None:
    # 1,000,000 × expedited: 1,000 × 10 = 10,000; 1 GiB × .03 = .03; 1 GiB × .023 / 30 = .00; HEADs 2,000 × .0004 = .80.
    assert _cents(_estimate("GLACIER", "EXPEDITED", 1_000_000, 1, days=1).one_off) == "10000.83"


def test_both_classes_of_one_run_add_up() -> None:
    # 10,000 of 30 GiB each, standard, 14 days: requests .50 + 1.00; retrieval .30 + .60; HEADs 40 × .0004 = .016;
    # copies 60 × .023 × 14/30 = .644; together 3.06.
    sized = Sized(objects=10_000, size=30 * GIB)
    both = {"GLACIER": sized, "DEEP_ARCHIVE": sized}

    assert _cents(restore_estimate(CARD, archived=both, tier="STANDARD", days=14).one_off) == "3.06"


def test_an_extended_restore_costs_a_request_and_the_copy_but_no_retrieval() -> None:
    # 100,000 of 300 GiB restored before, 7 days more: 100 × .05 = 5.00; copies 1.61; HEADs .08.
    longer = {"GLACIER": Sized(objects=100_000, size=300 * GIB)}

    assert _cents(restore_estimate(CARD, archived={}, extended=longer, tier="STANDARD", days=7).one_off) == "6.69"


def test_a_permanent_restore_adds_copies_and_the_remaining_minimum_days() -> None:
    # 100,000 of 300 GiB in GLACIER since 30 days, of 90. Copies: 100 × .005 = .50. Early: 60 days of
    # 300 GiB + 100,000 × 32 KiB = 3.0518 GiB: 303.0518 × .0036 × 60/30 = 2.182. Bulk as above 1.69. Together 4.37.
    # Then 300 × .023 = 6.90 a month.
    sized = Sized(objects=100_000, size=300 * GIB)
    leaving = Leaving(ages={("GLACIER", 30): sized})
    cost = restore_estimate(CARD, archived={"GLACIER": sized}, tier="BULK", days=7, leaving=leaving)

    assert _cents(cost.one_off) == "4.37"
    assert _cents(cost.monthly) == "6.90"


def test_minimum_days_are_computed_from_the_age_of_each_original() -> None:
    # DEEP_ARCHIVE bills 180 days. 1,000 of 100 GiB at 0 days, as many at 120, as many at 200 days. With 32 KiB each
    # 100.0305 GiB: × .00099 × 180/30 = .594181; × .00099 × 60/30 = .198060; nothing. Copies 3 × .005 = .015. Together .81.
    sized = Sized(objects=1_000, size=100 * GIB)
    leaving = Leaving(ages={("DEEP_ARCHIVE", age): sized for age in (0, 120, 200)})
    cost = restore_estimate(CARD, archived={}, tier="BULK", days=7, leaving=leaving)

    assert _cents(cost.one_off) == "0.81"
    assert [line.name for line in cost.lines] == ["COPY", "DEEP_ARCHIVE left early", "STANDARD"]


def test_archive_overhead_ends_with_the_archived_copy_unless_versions_are_kept() -> None:
    # 1,000,000 of 1,000 GiB in GLACIER: 1,000 × .0036 = 3.60; 32 KiB each 30.5176 × .0036 = .1099;
    # 8 KiB each at STANDARD 7.6294 × .023 = .1755; together 3.89 a month.
    ages = {("GLACIER", 365): Sized(objects=1_000_000, size=1_000 * GIB)}

    ended = restore_estimate(CARD, archived={}, tier="BULK", days=7, leaving=Leaving(ages=ages))
    kept = restore_estimate(CARD, archived={}, tier="BULK", days=7, leaving=Leaving(ages=ages, versioned=True))

    assert ended.assumptions == ("the archive's $3.89 a month end",)
    assert kept.assumptions == ("the bucket keeps versions: the archived ones stay and cost $3.89 a month",)


def test_nothing_to_restore_costs_nothing() -> None:
    cost = restore_estimate(CARD, archived={}, tier="BULK", days=7, leaving=Leaving(ages={}))

    assert cost.one_off == cost.monthly == 0
    assert not cost.lines


def test_a_tier_that_the_class_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="DEEP_ARCHIVE has no retrieval tier EXPEDITED"):
        _estimate("DEEP_ARCHIVE", "EXPEDITED", 1, 1, days=1)


@pytest.mark.parametrize(
    ("storage_class", "tier", "words"),
    [
        ("GLACIER", "EXPEDITED", "1 to 5 minutes"),
        ("GLACIER", "STANDARD", "3 to 5 hours"),
        ("DEEP_ARCHIVE", "BULK", "up to 48 hours"),
    ],
)
def test_the_duration_of_a_retrieval_is_described(storage_class: str, tier: str, words: str) -> None:
    assert hours_words(retrieval(CARD, storage_class, tier).hours) == words


@pytest.mark.parametrize(
    ("name", "tier", "hours"), [("ARCHIVE_ACCESS", "BULK", 12), ("DEEP_ARCHIVE_ACCESS", "BULK", 48)]
)
def test_archive_tiers_of_intelligent_tiering_come_back_without_a_fee(name: str, tier: str, hours: int) -> None:
    gone = {name: Sized(objects=1000, size=10 * 2**30)}

    found = restore_estimate(CARD, archived=gone, tier=tier, days=7)

    # Nothing but the HEADs: no retrieval, and no readable copy beside the object.
    assert found.one_off == request_cost(CARD, name, Operation.HEAD, 2000).amount
    assert retrieval(CARD, name, tier).hours[1] == hours
    assert "EXPEDITED" in CARD.of("ARCHIVE_ACCESS").retrieval
    assert "EXPEDITED" not in CARD.of("DEEP_ARCHIVE_ACCESS").retrieval
