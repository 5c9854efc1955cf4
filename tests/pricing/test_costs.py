"""Tests of costs: cases computed by hand, and properties of their sums."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import ConfigError
from imgctl.model import Sized
from imgctl.pricing.card_files import load_card
from imgctl.pricing.costs import (
    Operation,
    early_delete,
    monthly_cdn,
    monthly_internet,
    monthly_storage,
    request_cost,
    retrieval,
    retrieval_cost,
)
from imgctl.pricing.lines import Line

CARD = load_card()
KIB, GIB, TIB = 2**10, 2**30, 2**40

sizes = st.integers(min_value=0, max_value=10**18)
counts = st.integers(min_value=0, max_value=10**12)
classes = st.sampled_from(sorted(CARD.classes))

HUNDRED = Sized(objects=100, size=100 * GIB)


def amount(lines: tuple[Line, ...]) -> Decimal:
    return sum((line.amount for line in lines), Decimal(0))


def cents(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.01'))}"


def stored(storage_class: str, objects: int, size: int, *, before: int = 0) -> Decimal:
    return amount(monthly_storage(CARD, storage_class, Sized(objects=objects, size=size), stored_bytes=before))


@pytest.mark.parametrize(
    ("storage_class", "objects", "size", "expected"),
    [
        ("STANDARD", 1000, 100 * GIB, "2.30"),
        # 51,200 GB at .023, the whole first tier; one TB more at .022.
        ("STANDARD", 1, 50 * TIB, "1177.60"),
        ("STANDARD", 1, 51 * TIB, "1200.13"),
        # 51,200 × .023 + 460,800 × .022 + 102,400 × .021.
        ("STANDARD", 1, 600 * TIB, "13465.60"),
        ("STANDARD_IA", 1000, 100 * GIB, "1.25"),
        # A million of 50 KiB are billed as 128 KiB: 122.0703125 GiB × .0125.
        ("STANDARD_IA", 1_000_000, 1_000_000 * 50 * KIB, "1.53"),
        # At exactly 128 KiB nothing is added.
        ("STANDARD_IA", 1_000_000, 1_000_000 * 128 * KIB, "1.53"),
        ("ONEZONE_IA", 1_000_000, 1_000_000 * 50 * KIB, "1.22"),
        ("GLACIER_IR", 1_000_000, 0, "0.49"),
        # 100 GiB × .0036 + a million × (32 KiB × .0036 + 8 KiB × .023) = .36 + .10986 + .17548.
        ("GLACIER", 1_000_000, 100 * GIB, "0.65"),
        # Nothing but overhead: 3,000,000 × (32 KiB × .0036 + 8 KiB × .023).
        ("GLACIER", 3_000_000, 0, "0.86"),
        ("DEEP_ARCHIVE", 3_000_000, 0, "0.62"),
        # 1 TiB × .023 + 200,000 objects of 5.2 MB watched at .0025 per 1,000.
        ("INTELLIGENT_TIERING", 200_000, TIB, "24.05"),
        # Below 128 KiB nothing is watched.
        ("INTELLIGENT_TIERING", 1_000_000, 1_000_000 * 64 * KIB, "1.40"),
        ("REDUCED_REDUNDANCY", 1, 100 * GIB, "2.40"),
        ("EXPRESS_ONEZONE", 1, 100 * GIB, "11.00"),
        ("STANDARD", 0, 0, "0.00"),
    ],
)
def test_storage_cost_matches_the_hand_computed_amount(
    storage_class: str, objects: int, size: int, expected: str
) -> None:
    assert cents(stored(storage_class, objects, size)) == expected


def test_stored_bytes_fill_the_lower_tiers_first() -> None:
    # Half a TB of the first tier is left: 512 × .023 + 512 × .022.
    assert cents(stored("STANDARD", 1, TIB, before=50 * TIB - TIB // 2)) == "23.04"
    assert cents(stored("STANDARD", 1, TIB, before=50 * TIB)) == "22.53"


def test_small_objects_are_counted_in_a_band_of_their_own() -> None:
    # In one band with 1,000 of 1 MiB, 1,000 of 1 KiB are billed as 1,000 KiB instead of 128,000.
    small, large = Sized(objects=1000, size=1000 * KIB), Sized(objects=1000, size=1000 * 1024 * KIB)
    mixed = monthly_storage(CARD, "STANDARD_IA", small + large)
    apart = monthly_storage(CARD, "STANDARD_IA", small, large)

    assert amount(apart) - amount(mixed) == 127_000 * KIB * Decimal("0.0125") / GIB


@pytest.mark.parametrize(
    ("storage_class", "operation", "count", "expected"),
    [
        ("STANDARD", Operation.PUT, 10_000, "0.05"),
        ("STANDARD", Operation.GET, 60_000_000, "24.00"),
        ("STANDARD", Operation.LIST, 100_000, "0.50"),
        ("DEEP_ARCHIVE", Operation.LIST, 100_000, "0.50"),
        ("STANDARD_IA", Operation.COPY, 1_000_000, "10.00"),
        ("GLACIER_IR", Operation.HEAD, 100_000_000, "1000.00"),
        ("GLACIER", Operation.TRANSITION, 3_000_000, "90.00"),
        ("GLACIER_IR", Operation.TRANSITION, 3_000_000, "60.00"),
        ("DEEP_ARCHIVE", Operation.TRANSITION, 3_000_000, "150.00"),
        ("GLACIER", Operation.DELETE, 10**9, "0.00"),
    ],
)
def test_request_cost_matches_the_hand_computed_amount(
    storage_class: str, operation: Operation, count: int, expected: str
) -> None:
    assert cents(request_cost(CARD, storage_class, operation, count).amount) == expected


@pytest.mark.parametrize(
    ("storage_class", "tier", "expected"),
    [
        # 100,000 objects of 3 MB: 279.397 GiB.
        ("GLACIER", "EXPEDITED", "1008.38"),
        ("GLACIER", "STANDARD", "7.79"),
        ("GLACIER", "BULK", "0.00"),
        ("DEEP_ARCHIVE", "STANDARD", "15.59"),
        ("DEEP_ARCHIVE", "BULK", "3.20"),
        ("GLACIER_IR", "INSTANT", "8.38"),
    ],
)
def test_retrieval_cost_matches_the_hand_computed_amount(storage_class: str, tier: str, expected: str) -> None:
    lines = retrieval_cost(CARD, storage_class, tier, Sized(objects=100_000, size=100_000 * 3_000_000))

    assert cents(amount(lines)) == expected


def test_retrieval_has_a_duration_and_unknown_tiers_are_refused() -> None:
    assert retrieval(CARD, "GLACIER", "BULK").hours == (Decimal(5), Decimal(12))
    with pytest.raises(ConfigError, match="no retrieval tier EXPEDITED"):
        retrieval(CARD, "DEEP_ARCHIVE", "EXPEDITED")
    with pytest.raises(ConfigError, match="no price of transition"):
        request_cost(CARD, "STANDARD", Operation.TRANSITION, 1)


def test_leaving_early_costs_the_remaining_days() -> None:
    # 100 GiB × .004 × 60 / 30.
    assert cents(amount(early_delete(CARD, "GLACIER_IR", HUNDRED, age_days=30))) == "0.80"
    assert early_delete(CARD, "GLACIER_IR", HUNDRED, age_days=90) == ()
    assert early_delete(CARD, "STANDARD", HUNDRED, age_days=0) == ()


def test_delivery_cost_matches_the_hand_computed_amount() -> None:
    # 7.5 TB: 6,984.9 GiB, a hundred of them free.
    assert cents(amount(monthly_internet(CARD, 7_500_000_000_000))) == "619.64"
    assert monthly_internet(CARD, 100 * GIB) == ()
    # Of 6,984.9 GiB and 60 million requests a TB and ten million are free: 506.68 + 50.00.
    assert cents(amount(monthly_cdn(CARD, size=7_500_000_000_000, requests=60_000_000))) == "556.68"


@given(classes, counts, sizes, sizes)
def test_more_bytes_never_cost_less(storage_class: str, objects: int, size: int, more: int) -> None:
    # Intelligent tiering: objects that grow past 128 KiB are watched, which only adds.
    assert 0 <= stored(storage_class, objects, size) <= stored(storage_class, objects, size + more)


@given(classes, counts, counts, sizes)
def test_more_objects_never_cost_less(storage_class: str, objects: int, more: int, size: int) -> None:
    if storage_class == "INTELLIGENT_TIERING":
        # The same bytes in more objects may fall below the size that is watched.
        size = 0
    assert stored(storage_class, objects, size) <= stored(storage_class, objects + more, size)


@given(st.integers(0, 25 * TIB), st.integers(0, 25 * TIB))
def test_within_a_tier_parts_sum_to_the_whole(first: int, second: int) -> None:
    assert stored("STANDARD", 1, first) + stored("STANDARD", 1, second) == pytest.approx(
        stored("STANDARD", 1, first + second), abs=Decimal("1e-15")
    )


@given(sizes, sizes)
def test_bytes_added_across_tiers_cost_the_difference(first: int, second: int) -> None:
    whole = stored("STANDARD", 1, first + second)

    assert stored("STANDARD", 1, first) + stored("STANDARD", 1, second, before=first) == pytest.approx(
        whole, rel=Decimal("1e-20"), abs=Decimal("1e-15")
    )


@given(
    st.sampled_from([name for name in CARD.classes if CARD.of(name).put]), st.sampled_from(Operation), counts, counts
)
def test_requests_are_additive_and_never_negative(name: str, operation: Operation, first: int, second: int) -> None:
    if operation is Operation.TRANSITION and CARD.of(name).transition is None:
        name = "GLACIER"
    costs = [request_cost(CARD, name, operation, count).amount for count in (first, second, first + second)]

    assert costs[0] + costs[1] == costs[2]
    assert min(costs) >= 0
