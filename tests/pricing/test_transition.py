"""Tests of the cost, saving and break-even size of a move to a colder class, computed by hand from the price table."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.model import Sized
from imgctl.pricing.card_files import load_card
from imgctl.pricing.moves import (
    Origin,
    break_even_bytes,
    monthly_before,
    origin,
    payback_months,
    saving_per_month,
    transition_estimate,
)

CARD = load_card()
KIB, MIB, GIB = 2**10, 2**20, 2**30
STANDARD = Origin(storage_class="STANDARD")
TARGETS = ("STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")

# A million originals of 3 MiB: 2,929.6875 GiB, which cost 2,929.6875 × .023 = 67.3828 a month in STANDARD.
MILLION = Sized(objects=1_000_000, size=3_000_000 * MIB)


def cents(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.01'))}"


@pytest.mark.parametrize(
    ("to", "one_off", "monthly", "saving", "months"),
    [
        # 1,000 thousands × .01, HEAD before × .0004, HEAD after × .001; 2,929.6875 × .0125 = 36.62.
        ("STANDARD_IA", "11.40", "36.62", "30.76", "0.4"),
        # 1,000 × (.02 + .0004 + .01); 2,929.6875 × .004 = 11.72.
        ("GLACIER_IR", "30.40", "11.72", "55.66", "0.5"),
        # 1,000 × (.03 + .0004 + .0004); 2,929.6875 × .0036 + 30.517578 × .0036 + 7.629395 × .023
        # = 10.546875 + .109863 + .175476 = 10.83.
        ("GLACIER", "30.80", "10.83", "56.55", "0.5"),
        # 1,000 × (.05 + .0004 + .0004); 2,929.6875 × .00099 + 30.517578 × .00099 + 7.629395 × .023
        # = 2.900391 + .030212 + .175476 = 3.11.
        ("DEEP_ARCHIVE", "50.80", "3.11", "64.28", "0.8"),
    ],
)
def test_the_bill_of_a_million_originals_matches_the_hand_computed_one(
    to: str, one_off: str, monthly: str, saving: str, months: str
) -> None:
    moved = {STANDARD: MILLION}

    estimate, saved = transition_estimate(CARD, to=to, moved=moved), saving_per_month(CARD, to=to, moved=moved)

    assert (cents(estimate.one_off), cents(estimate.monthly), cents(saved)) == (one_off, monthly, saving)
    assert f"{payback_months(estimate.one_off, saved):.1f}" == months


def test_the_price_includes_the_requests_of_the_planning() -> None:
    # 4,000 LIST × .005 / 1,000 + 10,000 HEAD × .0004 / 1,000 = .02 + .004.
    bare = transition_estimate(CARD, to="GLACIER", moved={STANDARD: MILLION})
    full = transition_estimate(CARD, to="GLACIER", moved={STANDARD: MILLION}, list_requests=4000, head_requests=10_000)

    assert cents(full.one_off - bare.one_off) == "0.02"
    assert full.one_off - bare.one_off == Decimal("0.024")


def test_small_originals_are_billed_at_the_minimum_size_beside_large_ones() -> None:
    # In STANDARD_IA 100,000 of 64 KiB are billed as 128 KiB: 12.2070 GiB; beside them 1,000 of 10 MiB: 9.7656 GiB.
    # (12.207031 + 9.765625) × .0125 = .2747. Before: (6.103516 + 9.765625) × .023 = .3650.
    small = Sized(objects=100_000, size=100_000 * 64 * KIB)
    moved = {
        origin(CARD, "STANDARD", to="STANDARD_IA", size=64 * KIB, age_days=9): small,
        origin(CARD, "STANDARD", to="STANDARD_IA", size=10 * MIB, age_days=1): Sized(objects=1000, size=10_000 * MIB),
    }

    assert cents(transition_estimate(CARD, to="STANDARD_IA", moved=moved).monthly) == "0.27"
    assert cents(monthly_before(CARD, moved)) == "0.36"
    assert cents(saving_per_month(CARD, to="STANDARD_IA", moved=moved)) == "0.09"


def test_leaving_a_class_before_its_minimum_days_is_billed() -> None:
    # GLACIER_IR to DEEP_ARCHIVE after 30 of 90 days: 100 GiB × .004 × 60 / 30 = .80; 1,000 × .05 / 1,000 = .05;
    # HEAD 1,000 × .01 / 1,000 = .01, and .0004 after; 100 GiB × .03 retrieved by the copy = 3.
    moved = {
        origin(CARD, "GLACIER_IR", to="DEEP_ARCHIVE", size=100 * MIB, age_days=30): Sized(objects=1000, size=100 * GIB)
    }

    estimate = transition_estimate(CARD, to="DEEP_ARCHIVE", moved=moved)

    assert estimate.one_off == Decimal("3.8604")
    # 100 × .004 - 100 × .00099 - .030518 × .00099 - .007629 × .023 = .4 - .099 - .000205.
    assert cents(saving_per_month(CARD, to="DEEP_ARCHIVE", moved=moved)) == "0.30"


@pytest.mark.parametrize(
    ("card", "source", "to", "retrieved"),
    [
        ("aws-us-east-1", "STANDARD", "GLACIER", "0"),
        ("aws-us-east-1", "STANDARD_IA", "GLACIER", "1.00"),
        ("aws-us-east-1", "GLACIER_IR", "GLACIER", "3.00"),
        # A readable copy of a restored original has been paid for.
        ("aws-us-east-1", "GLACIER", "DEEP_ARCHIVE", "0"),
        ("gs-us-central1", "NEARLINE", "ARCHIVE", "1.00"),
        # Azure sets a colder tier in place.
        ("az-eastus2", "COOL", "AZURE_ARCHIVE", "0"),
    ],
)
def test_a_copy_out_of_a_class_with_retrieval_is_billed_like_a_read(
    card: str, source: str, to: str, retrieved: str
) -> None:
    moved = {Origin(storage_class=source, age_days=400): Sized(objects=1, size=100 * GIB)}

    copied, by_rule = (
        transition_estimate(load_card(card), to=to, moved=moved, copied=copied) for copied in (True, False)
    )

    assert sum((line.amount for line in copied.lines if "retrieved" in line.name), Decimal(0)) == Decimal(retrieved)
    assert copied.one_off - by_rule.one_off == Decimal(retrieved)


def test_a_move_that_costs_more_to_read_than_it_saves_never_pays() -> None:
    # A year saves 12 × (.004 - .0036) a GiB, and the copy costs .03.
    source = Origin(storage_class="GLACIER_IR", age_days=90)

    assert break_even_bytes(CARD, source=source, to="GLACIER", stay_days=365) is None


def test_ages_in_one_class_share_one_line() -> None:
    # 10 GiB × .004 × (90 - age) / 30 for ages of 30, 60 and 89 days: .08 + .04 + .0013.
    moved = {
        Origin(storage_class="GLACIER_IR", age_days=age): Sized(objects=10, size=10 * GIB) for age in (30, 60, 89, 90)
    }

    lines = [one for one in transition_estimate(CARD, to="GLACIER", moved=moved).lines if "early" in one.name]

    assert [(line.name, cents(line.amount)) for line in lines] == [("GLACIER_IR left early", "0.12")]


def test_an_original_kept_as_an_old_version_saves_nothing() -> None:
    # The million stays in STANDARD, 67.3828, beside its copy in GLACIER, 10.8322.
    moved = {STANDARD: MILLION}

    estimate = transition_estimate(CARD, to="GLACIER", moved=moved, old_versions=True)

    assert cents(estimate.monthly) == "78.22"
    assert cents(monthly_before(CARD, moved)) == "67.38"
    assert cents(saving_per_month(CARD, to="GLACIER", moved=moved, old_versions=True)) == "-10.83"
    assert payback_months(estimate.one_off, Decimal("-10.83")) is None


@pytest.mark.parametrize(
    ("source", "to", "stay_days", "kib"),
    [
        # Kept less long than the minimum, 90 days are paid: 1 month of STANDARD against 3 of GLACIER. With s in GiB:
        # .023 s = 3 × (.0036 s + .0001098633 / 1,000 + .0001754761 / 1,000) + .00003 → s = .0025291 GiB.
        ("STANDARD", "GLACIER", 30, 2652.04),
        # 3 × .023 s = 3 × .0036 s + 3 × 2.853394e-7 + .00003 → s = .0005302 GiB.
        ("STANDARD", "GLACIER", 90, 555.93),
        ("STANDARD", "GLACIER", 360, 150.55),
        ("STANDARD", "DEEP_ARCHIVE", 180, 406.81),
        ("STANDARD", "DEEP_ARCHIVE", 360, 208.30),
        # 3 × (.023 - .004) s = .00002.
        ("STANDARD", "GLACIER_IR", 90, 367.92),
        # Below 128 KiB GLACIER_IR bills 128: 12 × .023 s = 12 × .004 × .00012207 + .00002 → s = .0000937 GiB.
        ("STANDARD", "GLACIER_IR", 360, 98.25),
    ],
)
def test_break_even_size_matches_the_hand_computed_size(source: str, to: str, stay_days: int, kib: float) -> None:
    found = break_even_bytes(CARD, source=Origin(storage_class=source), to=to, stay_days=stay_days)

    assert found is not None
    assert found / KIB == pytest.approx(kib, abs=0.01)


def test_some_moves_never_pay_off() -> None:
    # In one month STANDARD costs .023, 180 days of DEEP_ARCHIVE .00594 a GiB: that pays; a day of STANDARD does not.
    assert break_even_bytes(CARD, source=STANDARD, to="DEEP_ARCHIVE", stay_days=1) is None
    assert break_even_bytes(CARD, source=STANDARD, to="DEEP_ARCHIVE", stay_days=30) is not None


@given(
    st.sampled_from(("STANDARD", "STANDARD_IA", "GLACIER_IR")),
    st.sampled_from(TARGETS),
    st.integers(1, 2000),
    st.integers(0, 200),
    st.integers(1, 10**8),
)
def test_a_move_pays_off_from_the_break_even_size_and_not_below(
    source: str, to: str, stay_days: int, age_days: int, more: int
) -> None:
    where = Origin(storage_class=source, age_days=age_days)
    found = break_even_bytes(CARD, source=where, to=to, stay_days=stay_days)

    if found is None:
        assert not pays(where, to, stay_days, 10**11)
    else:
        assert pays(where, to, stay_days, found)
        assert pays(where, to, stay_days, found + more)
        assert found == 0 or not pays(where, to, stay_days, found - 1)


def pays(source: Origin, to: str, stay_days: int, size: int) -> bool:
    """Whether moving one object is cheaper by the estimate itself, without the HEADs before and after."""
    moved = {source: Sized(objects=1, size=size)}
    estimate = transition_estimate(CARD, to=to, moved=moved)
    looks = sum(line.amount for line in estimate.lines if line.name.startswith("HEAD"))
    days = max(stay_days, CARD.of(to).minimum_days)
    before, after = monthly_before(CARD, moved) * stay_days / 30, estimate.monthly * days / 30
    # A byte makes a difference of 10^-13 and more, the rounding of 28 digits one far below this.
    return before - after - estimate.one_off + looks > Decimal("1E-20")
