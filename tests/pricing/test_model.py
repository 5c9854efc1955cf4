"""Tests of the profile `aws`: bills computed by hand, with their arithmetic, and properties of every bill."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.errors import ConfigError, UsageError
from imgctl.pricing.card_files import load_card
from imgctl.pricing.costs import monthly_internet
from imgctl.pricing.lines import total
from imgctl.pricing.model import model
from imgctl.pricing.plan import Group, Month, Plan, month_lengths

CARD = load_card()
KIB, GIB, TIB = 2**10, 2**30, 2**40
JANUARY = date(2027, 1, 1)
# A plan without costs; each case adds its own.
NOTHING = Plan(
    uploads_per_day=0, views_per_upload=Decimal(0), sizes={"original": 0}, cdn=False, months=1, start=JANUARY
)
GLACIER = replace(NOTHING, originals="GLACIER", sizes={"original": 3_000_000})


def cents(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.01'))}"


def only(plan: Plan, number: int = 1) -> Month:
    return model(CARD, replace(plan, months=number)).months[number - 1]


def of(plan: Plan, group: Group, number: int = 1) -> str:
    return cents(only(plan, number).of(group))


@pytest.mark.parametrize(
    ("stock_bytes", "storage_class", "expected"),
    [
        # The first tier ends at 51,200 GiB: 51,200 × .023.
        (50 * TIB, "STANDARD", "1177.60"),
        # A GiB more is of the second tier: + .022.
        (50 * TIB + GIB, "STANDARD", "1177.62"),
        # The second tier ends at 512,000 GiB: 51,200 × .023 + 460,800 × .022.
        (500 * TIB, "STANDARD", "11315.20"),
        # 1,024 GiB of the third: + 1,024 × .021 = 21.504.
        (501 * TIB, "STANDARD", "11336.70"),
        # One giant object of 50 TB, archived: 51,200 × .0036 + 32 KiB × .0036 + 8 KiB × .023, which is less than a cent.
        (50 * TIB, "GLACIER", "184.32"),
        (50 * TIB, "DEEP_ARCHIVE", "50.69"),
    ],
)
def test_one_object_is_billed_by_tiers(stock_bytes: int, storage_class: str, expected: str) -> None:
    at_once = min(stock_bytes, 50 * TIB)
    plan = replace(NOTHING, stock=1, sizes={"original": at_once}, originals=storage_class, stock_class=storage_class)
    if stock_bytes > at_once:
        # A thousand equal objects instead of one beyond the S3 limit.
        plan = replace(plan, stock=1024, sizes={"original": stock_bytes // 1024})

    assert of(plan, Group.STORAGE) == expected


@pytest.mark.parametrize(
    ("storage_class", "size", "expected"),
    [
        # A million of 64 KiB are billed as 128 KiB: 122.0703 GiB × .0125.
        ("STANDARD_IA", 64 * KIB, "1.53"),
        # From 128 KiB on the real size is billed.
        ("STANDARD_IA", 128 * KIB, "1.53"),
        ("STANDARD_IA", 256 * KIB, "3.05"),
        # 122.0703 × .004.
        ("GLACIER_IR", 1, "0.49"),
        # No smallest size, but overhead: 32 KiB × .0036 + 8 KiB × .023 a million times = .10986 + .17548.
        ("GLACIER", 0, "0.29"),
        # A million MiB: 976.5625 × .0036 + .28534 = 3.51563 + .28534.
        ("GLACIER", 1024 * KIB, "3.80"),
        # 30.5176 × .00099 + 7.6294 × .023 = .03021 + .17548.
        ("DEEP_ARCHIVE", 0, "0.21"),
        # 976.5625 × .023 + 1,000 × .0025 of watching.
        ("INTELLIGENT_TIERING", 1024 * KIB, "24.96"),
        # Below 128 KiB nothing is watched: 122.0703 GiB less a byte each.
        ("INTELLIGENT_TIERING", 128 * KIB - 1, "2.81"),
    ],
)
def test_a_million_objects_are_billed_with_minimum_size_overhead_and_monitoring(
    storage_class: str, size: int, expected: str
) -> None:
    plan = replace(
        NOTHING, stock=1_000_000, sizes={"original": size}, originals=storage_class, stock_class=storage_class
    )

    assert of(plan, Group.STORAGE) == expected


def test_nothing_uploaded_and_nothing_viewed_costs_nothing() -> None:
    found = model(CARD, replace(NOTHING, months=12))

    assert found.total == 0
    assert found.figures.year_bytes == 0


def test_a_month_of_31_days_is_billed_for_31() -> None:
    # 1,000 a day: 31,000 and 28,000 PUT of .005 / 1,000 and as many GET to render of .0004 / 1,000 (a thumb of 0 bytes),
    # and a PUT of the thumb: 31 × (.005 + .0004 + .005).
    plan = replace(NOTHING, uploads_per_day=1000, sizes={"original": 0, "thumb": 0})

    assert of(plan, Group.REQUESTS) == "0.32"
    assert of(plan, Group.REQUESTS, 2) == "0.29"
    assert [days for _, days in month_lengths(date(2027, 12, 5), 3)] == [31, 31, 29]


def test_new_photos_are_stored_for_half_of_their_month() -> None:
    # 1,024 a day of a GiB: 31 × 1,024 / 2 = 15,872 GiB × .023 in January.
    plan = replace(NOTHING, uploads_per_day=1024, sizes={"original": GIB})

    assert of(plan, Group.STORAGE) == "365.06"
    # In February on average 31 × 1,024 + 14 × 1,024 = 46,080 GiB × .023.
    assert of(plan, Group.STORAGE, 2) == "1059.84"


def test_originals_are_archived_after_their_days() -> None:
    # 100,000 a day; after 10 days 21 of January's 31 days have moved: 2,100,000 × .03 / 1,000.
    plan = replace(GLACIER, uploads_per_day=100_000, archive_after_days=10)

    assert of(plan, Group.TRANSITIONS) == "63.00"
    # In February 28 days' worth: 2,800,000 × .03 / 1,000.
    assert of(plan, Group.TRANSITIONS, 2) == "84.00"


def test_originals_are_billed_in_standard_until_they_are_archived() -> None:
    # 1,024 a day of a GiB, archived after 10 days. In January a triangle of 31 days less one of 21 waits:
    # 1,024 × (31² − 21²) / 2 / 31 = 8,588.387 GiB × .023 = 197.533; archived 1,024 × 21² / 62 = 7,283.613 GiB × .0036
    # = 26.221; 7,283 objects of overhead are .002.
    plan = replace(GLACIER, uploads_per_day=1024, sizes={"original": GIB}, archive_after_days=10)

    assert of(plan, Group.STORAGE) == "223.76"


@pytest.mark.parametrize(
    ("storage_class", "expected"),
    # 3,100,000 at .03, .02, .05 and .01 a thousand.
    [("GLACIER", "93.00"), ("GLACIER_IR", "62.00"), ("DEEP_ARCHIVE", "155.00"), ("STANDARD_IA", "31.00")],
)
def test_every_original_is_moved_once(storage_class: str, expected: str) -> None:
    assert of(replace(GLACIER, uploads_per_day=100_000, originals=storage_class), Group.TRANSITIONS) == expected


def test_stock_of_another_class_moves_in_the_first_month() -> None:
    # A million at .03 a thousand.
    assert of(replace(GLACIER, stock=1_000_000), Group.TRANSITIONS) == "30.00"
    assert of(replace(GLACIER, stock=1_000_000), Group.TRANSITIONS, 2) == "0.00"
    assert of(replace(GLACIER, stock=1_000_000, stock_class="GLACIER"), Group.TRANSITIONS) == "0.00"


VIEWS = replace(NOTHING, uploads_per_day=1, sizes={"original": 0, "thumb": GIB // 2, "medium": GIB // 2})


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        # 31 days of a GiB a view. 100 GiB are free: 62 GiB cost only their 124 GET.
        ("2", "0.00"),
        # 124 GiB: 24 × .09 = 2.16.
        ("4", "2.16"),
        # 10,338 whole views, so many GiB: 10,238 × .09 = 921.42, and 20,676 GET = .01.
        ("333.5", "921.43"),
        # 31,000 GiB: 10,240 × .09 + 20,660 × .085 = 2,677.70; 62,000 GET = .0248.
        ("1000", "2677.72"),
    ],
)
def test_delivery_from_the_bucket_has_a_free_tier_and_tiers(views: str, expected: str) -> None:
    assert of(replace(VIEWS, views_per_upload=Decimal(views)), Group.DELIVERY) == expected


@pytest.mark.parametrize(
    ("gib", "expected"),
    [
        # 100 GiB are free to the byte.
        (100, "0.00"),
        (101, "0.09"),
        # The first tier ends at 100 + 10,240: × .09; the next two GiB cost .085 each.
        (10_340, "921.60"),
        (10_342, "921.77"),
        # 100 + 51,200: + 40,960 × .085; 100 + 153,600: + 102,400 × .07.
        (51_300, "4403.20"),
        (153_700, "11571.20"),
        (153_701, "11571.25"),
    ],
)
def test_egress_is_billed_by_tier_at_the_edges_of_its_tiers(gib: int, expected: str) -> None:
    assert cents(total(monthly_internet(CARD, gib * GIB))) == expected


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        # 1,023 GiB, and 2,046 requests: all free; 10 % of 2,046 are 204 GET.
        ("33", "0.00"),
        # 1,240 GiB: 216 × .085 = 18.36.
        ("40", "18.36"),
        # 31,000 − 1,024 = 29,976: 10,240 × .085 + 19,736 × .08 = 870.40 + 1,578.88.
        ("1000", "2449.28"),
    ],
)
def test_delivery_by_the_cdn_has_a_free_tier_and_tiers(views: str, expected: str) -> None:
    assert of(replace(VIEWS, views_per_upload=Decimal(views), cdn=True), Group.DELIVERY) == expected


def test_requests_to_the_cdn_are_free_up_to_ten_million() -> None:
    # 31 × 1,000,000 views of nothing, two requests each: 52,000,000 × .001 / 1,000 + 6,200,000 GET × .0004 / 1,000.
    plan = replace(VIEWS, sizes={"original": 0, "thumb": 0, "medium": 0}, cdn=True, views_per_upload=Decimal(1_000_000))

    assert of(plan, Group.DELIVERY) == "54.48"
    # Half as many views of a sixth: 31 × 161,290 × 2 = 9,999,980 are below; only GET of misses: 999,998 × .0004 / 1,000.
    assert of(replace(plan, views_per_upload=Decimal(161_290)), Group.DELIVERY) == "0.40"


def test_tags_audits_and_rows_are_billed() -> None:
    plan = replace(NOTHING, stock=1_000_000, sizes={"original": 0, "thumb": 0}, tags=2, audits=4)

    # 4,000,000 tags × .00065 / 1,000.
    assert of(plan, Group.TAGS) == "2.60"
    # Four times 2,000 LIST × .005 / 1,000.
    assert of(plan, Group.REQUESTS) == "0.04"
    # 600,000,000 bytes are .5588 GiB × .115.
    assert of(plan, Group.DATABASE) == "0.06"


def test_the_lessons_product_has_the_bill_of_aws() -> None:
    found = model(CARD, Plan())

    # 7.5e12 bytes are 6,984.9 GiB: 6,884.9 × .09 = 619.64, and 60,000,000 GET × .0004 / 1,000 = 24.
    assert cents(found.figures.without_cdn) == "643.64"
    # 5,960.9 GiB × .085 = 506.68, 50,000,000 × .001 / 1,000 = 50, 6,000,000 GET = 2.40.
    assert cents(found.figures.with_cdn) == "559.08"
    # The first year's storage, cumulative, in GiB and tiers.
    assert cents(sum((month.of(Group.STORAGE) for month in found.months), Decimal(0))) == "19572.64"


def test_the_cheapest_sufficient_flat_plan_is_shown() -> None:
    def plan(views: int) -> str | None:
        found = model(CARD, Plan(uploads_per_day=views, views_per_upload=Decimal(1))).figures.flat_plan
        return found.name if found else None

    # In 30 days two requests a view: 60 million are beyond Pro's 10 and within Business's 125.
    assert plan(1_000_000) == "Business"
    # 100 GiB are free: 14,316 views a day are 107.37 GB, one more is beyond.
    assert (plan(14_316), plan(14_317)) == ("Free", "Pro")
    assert plan(100_000_000) is None


def test_views_without_medium_use_the_next_larger_variant() -> None:
    plan = Plan(sizes={"thumb": 50_000, "full": 1_000_000, "original": 3_000_000})

    assert plan.viewed == ("thumb", "full")
    assert plan.view_size == 1_050_000
    assert "full" in model(CARD, plan).assumptions[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"uploads_per_day": -1},
        {"views_per_upload": Decimal("nan")},
        {"hit_ratio": Decimal("1.1")},
        {"months": 0},
        {"sizes": {"thumb": 1}},
        {"sizes": {"original": -1}},
        {"sizes": {"original": 1, "huge": 1}},
    ],
)
def test_an_invalid_plan_is_refused(wrong: Mapping[str, int]) -> None:
    with pytest.raises(UsageError):
        replace(Plan(), **wrong)  # type: ignore[arg-type]


def test_a_class_without_a_transition_price_is_refused() -> None:
    with pytest.raises(ConfigError, match="no price of transition"):
        model(CARD, Plan(originals="EXPRESS_ONEZONE"))


plans = st.builds(
    Plan,
    uploads_per_day=st.integers(0, 10**6),
    views_per_upload=st.integers(0, 1000).map(Decimal),
    sizes=st.fixed_dictionaries({name: st.integers(0, 10**8) for name in ("thumb", "medium", "full", "original")}),
    originals=st.sampled_from(["STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]),
    archive_after_days=st.integers(0, 100),
    cdn=st.booleans(),
    hit_ratio=st.integers(0, 10).map(lambda tenths: Decimal(tenths) / 10),
    months=st.integers(1, 4),
    tags=st.integers(0, 3),
    audits=st.integers(0, 3),
    stock=st.integers(0, 10**9),
)


@settings(max_examples=60)
@given(plans, st.sampled_from(["uploads_per_day", "views_per_upload", "tags", "audits", "stock", "months"]))
def test_more_of_anything_never_costs_less(plan: Plan, name: str) -> None:
    more = replace(plan, **{name: getattr(plan, name) + (10 if name in ("uploads_per_day", "stock") else 1)})

    assert 0 <= model(CARD, plan).total <= model(CARD, more).total


@settings(max_examples=60)
@given(plans, st.sampled_from(["thumb", "medium", "full", "original"]), st.integers(1, 10**7))
def test_larger_photos_never_cost_less(plan: Plan, name: str, more: int) -> None:
    larger = replace(plan, sizes={**plan.sizes, name: plan.sizes[name] + more})

    assert model(CARD, plan).total <= model(CARD, larger).total


@settings(max_examples=40)
@given(plans)
def test_no_line_is_negative_and_lines_add_up_to_the_total(plan: Plan) -> None:
    found = model(CARD, plan)
    lines = [line for month in found.months for line in month.lines]

    assert all(line.amount >= 0 and line.quantity >= 0 for line in lines)
    assert cents(sum((Decimal(str(line.record()["amount"])) for line in lines), Decimal(0))) == cents(found.total)
