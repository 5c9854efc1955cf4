"""The bill of an archive: its lines, the shares of users, and the effect of a change."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.errors import ConfigError, UsageError
from imgctl.model import Sized
from imgctl.pricing.archive_bill import TYPICAL_SIZES, Archive, Held, archive_bill, archive_lines, shares
from imgctl.pricing.card_files import load_card
from imgctl.pricing.whatif import Change, Move, Today, what_if

CARD = load_card()
GIB = 2**30
MILLION = 1_000_000
CLASSES = ("STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING")
# A million originals of a MiB each, all in STANDARD, without variants: 976.5625 GiB.
WARM = Held(large=Sized(objects=MILLION, size=MILLION * 2**20))


def cents(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.01'))}"


def archive(**originals: Held) -> Archive:
    return Archive(originals=originals, variants={}, sizes=TYPICAL_SIZES)


def test_originals_are_billed_by_class_and_variants_at_their_configured_sizes() -> None:
    found = replace(archive(STANDARD=WARM, GLACIER=WARM), variants={"thumb": MILLION}, sizes={"thumb": 20_000})
    lines = archive_lines(CARD, found)
    bill = {name: cents(sum((line.amount for line in some), Decimal(0))) for name, some in lines.items()}

    # 976.5625 × .023; × .0036 + .28534 of overhead; 20 GB = 18.6265 GiB × .023; 2,000,000 rows × 600 bytes × .115.
    assert bill == {"STANDARD": "22.46", "GLACIER": "3.80", "thumb": "0.43", "rows": "0.13"}


def test_small_objects_are_billed_at_the_minimum_size_beside_large_ones() -> None:
    # 500,000 of a KiB become 128 KiB: 61.03516 GiB; 500,000 of 2 MiB are 976.5625: × .0125.
    held = Held(large=Sized(objects=500_000, size=500_000 * 2**21), small=Sized(objects=500_000, size=500_000 * 2**10))

    assert cents(archive_bill(CARD, archive(STANDARD_IA=held))) == cents(
        Decimal("1037.59766") * Decimal("0.0125") + Decimal("0.06426")
    )


@st.composite
def holdings(draw: st.DrawFn) -> Archive:
    originals = {}
    for name in draw(st.sets(st.sampled_from(CLASSES), min_size=1)):
        small, large = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))
        small_size = draw(st.integers(0, small * 131_071))
        large_size = draw(st.integers(large * 131_072, large * 10**8))
        originals[name] = Held(large=Sized(objects=large, size=large_size), small=Sized(objects=small, size=small_size))
    variants = {name: draw(st.integers(0, 10**6)) for name in TYPICAL_SIZES}
    return Archive(originals=originals, variants=variants, sizes=TYPICAL_SIZES)


def together(parts: list[Archive]) -> Archive:
    originals: dict[str, Held] = {}
    for part in parts:
        for name, held in part.originals.items():
            originals[name] = originals.get(name, Held()) + held
    variants = {name: sum(part.variants[name] for part in parts) for name in TYPICAL_SIZES}
    return Archive(originals=originals, variants=variants, sizes=TYPICAL_SIZES)


@settings(max_examples=60)
@given(st.lists(holdings(), min_size=1, max_size=5))
def test_the_shares_of_all_users_add_up_to_the_bill(users: list[Archive]) -> None:
    whole = together(users)
    mean = shares(CARD, whole, archive_lines(CARD, whole))

    amounts = [mean.of(user) for user in users]
    assert all(amount >= 0 for amount in amounts)
    assert sum(amounts, Decimal(0)) == pytest.approx(archive_bill(CARD, whole), abs=Decimal("1e-9"))


@settings(max_examples=40)
@given(holdings(), holdings())
def test_two_archives_together_never_cost_more_than_apart(first: Archive, second: Archive) -> None:
    apart = archive_bill(CARD, first) + archive_bill(CARD, second)

    assert archive_bill(CARD, first) <= archive_bill(CARD, together([first, second])) <= apart + Decimal("1e-9")


def test_moving_to_glacier_has_a_payback_time() -> None:
    today = Today(archive=archive(STANDARD=WARM), movable={"STANDARD": WARM})
    found = what_if(CARD, today, Change(move=Move(older_than=timedelta(days=90), to="GLACIER")))

    # 22.46094 + rows; 3.51563 + .28534 + rows.
    assert cents(found.before_total - found.after_total) == "18.66"
    # A million at .03 a thousand, and two HEADs each at .0004.
    assert cents(found.one_off) == "30.80"
    assert found.payback_days is not None
    assert cents(found.payback_days) == "49.52"
    assert any("BULK: 5 to 12 hours, $0.00" in one for one in found.worse)
    # A million at .05 a thousand and 976.5625 GiB × .01.
    assert any("STANDARD: 3 to 5 hours, $59.77" in one for one in found.worse)


def test_leaving_a_class_before_its_minimum_days_is_billed() -> None:
    today = Today(archive=archive(GLACIER_IR=WARM), movable={"GLACIER_IR": WARM})
    found = what_if(CARD, today, Change(move=Move(older_than=timedelta(days=30), to="DEEP_ARCHIVE")))

    # A million at .05 a thousand, HEADs of .01 + .0004, 60 of 90 days of 976.5625 × .004 = 7.8125, and 976.5625 × .03
    # retrieved by the copies = 29.2969.
    assert cents(found.one_off) == "97.51"


def test_small_and_archived_originals_are_not_moved() -> None:
    small = Held(small=Sized(objects=10, size=10_000))
    today = Today(archive=archive(STANDARD=small, GLACIER=WARM), movable={"STANDARD": small, "GLACIER": WARM})
    found = what_if(CARD, today, Change(move=Move(older_than=timedelta(days=0), to="DEEP_ARCHIVE")))

    assert found.one_off == 0
    assert found.before_total == found.after_total
    assert found.payback_days is None


def test_a_new_format_shrinks_variants_and_costs_a_render() -> None:
    held = replace(archive(STANDARD=WARM), variants={"full": MILLION})
    found = what_if(CARD, Today(archive=held), Change(format="webp"))

    # 30 % of 500 GB = 139.698 GiB × .023; a GET of .0004 and a PUT of .005 a thousand, a million times.
    assert cents(found.before_total - found.after_total) == "3.21"
    assert cents(found.one_off) == "5.40"


def test_a_new_format_of_archived_originals_restores_them_first() -> None:
    held = replace(archive(DEEP_ARCHIVE=WARM), variants={"full": MILLION})
    found = what_if(CARD, Today(archive=held), Change(format="avif"))

    # GET .40, PUT 5.00, and by BULK a million × .025 a thousand + 976.5625 × .0025.
    assert cents(found.one_off) == "32.84"


def test_dropping_medium_increases_the_bytes_of_a_view() -> None:
    held = replace(archive(STANDARD=WARM), variants=dict.fromkeys(TYPICAL_SIZES, MILLION))
    today = Today(archive=held, views=MILLION)
    found = what_if(CARD, today, Change(drop=("medium",)))

    def delivery(lines: dict[str, Decimal]) -> str:
        return cents(lines["delivery"])

    before, after = (
        {name: sum((line.amount for line in lines), Decimal(0)) for name, lines in side.items()}
        for side in (found.before, found.after)
    )
    # 170 GB = 158.325 GiB − 100 at .09 + 2,000,000 GET; 520 GB = 484.288 GiB − 100.
    assert (delivery(before), delivery(after)) == ("6.05", "35.39")
    assert "medium" not in after
    assert "full is shown instead, 3.3 times its bytes a view" in found.worse[0]


def test_a_cdn_replaces_delivery_from_the_bucket() -> None:
    held = replace(archive(STANDARD=WARM), variants=dict.fromkeys(TYPICAL_SIZES, MILLION))
    found = what_if(CARD, Today(archive=held, views=MILLION), Change(cdn=True))

    # Free at this size but for 200,000 GET of misses.
    assert cents(sum((line.amount for line in found.after["delivery"]), Decimal(0))) == "0.08"


@pytest.mark.parametrize("target", ["STANDARD", "EXPRESS_ONEZONE"])
def test_a_class_without_transitions_is_refused(target: str) -> None:
    with pytest.raises(UsageError, match=target):
        what_if(CARD, Today(archive=archive(STANDARD=WARM)), Change(move=Move(older_than=timedelta(days=0), to=target)))


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="COLDEST"):
        what_if(
            CARD, Today(archive=archive(STANDARD=WARM)), Change(move=Move(older_than=timedelta(days=0), to="COLDEST"))
        )
