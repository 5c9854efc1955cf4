"""The one statement behind the bill of an archive, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import event

from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.keys import new_id
from imgctl.model import Sized
from imgctl.ops.cost.actual import By, actual
from imgctl.ops.cost.proposal import Proposal, parse_move, propose
from imgctl.ops.cost.survey import Question, plan_from, survey
from imgctl.pricing.archive_bill import Held
from imgctl.pricing.card_files import load_card
from imgctl.pricing.plan import Plan
from imgctl.pricing.whatif import Change
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.store.catalog.schema import images

CARD = load_card()
MB = 1_000_000
Row = dict[str, object]


def row(number: int, *, days: float, user: int = 1, size: int | None = 3 * MB, **more: object) -> Row:
    """Values of an image this many days old, by default ready and with all variants."""
    at = datetime.now(UTC) - timedelta(days=days)
    values: Row = {
        "id": new_id(at),
        "user_id": UUID(int=user),
        "uploaded_at": at,
        "promised_at": at,
        "bytes": size,
        "status": "ready",
        "sha256": number.to_bytes(16) + bytes(16),
        "storage_class": None,
        "original_key": f"{number}-original.jpg",
        "thumb_key": f"{number}-thumb.jpg",
        "medium_key": f"{number}-medium.jpg",
        "full_key": f"{number}-full.jpg",
        "attempts": 1,
    }
    return values | more


@pytest.fixture
def stocked(catalog: Catalog) -> Catalog:
    """Two users: new and old originals, small ones, an archived one, one without a size, one that is still uploading."""
    rows = [
        row(1, days=1),
        row(2, days=10, size=50_000),
        row(3, days=100),
        row(4, days=200, size=1000, medium_key=None),
        row(5, days=100, user=2, storage_class="GLACIER", size=5 * MB),
        row(6, days=100, user=2, size=None),
        row(7, days=1, user=2, status="uploading", thumb_key=None, medium_key=None, full_key=None),
    ]
    with catalog.write() as connection:
        connection.execute(images.insert(), rows)
    return catalog


@pytest.fixture
def statements(stocked: Catalog) -> Iterator[list[str]]:
    """The statements on the table of images from here on."""
    executed: list[str] = []

    def keep(*given: object) -> None:
        if "images" in str(given[2]):
            executed.append(str(given[2]))

    event.listen(stocked.engine, "before_cursor_execute", keep)
    yield executed
    event.remove(stocked.engine, "before_cursor_execute", keep)


def test_the_survey_is_one_statement(stocked: Catalog, statements: list[str]) -> None:
    survey(stocked, CARD, Question(by_month=True, older_than=timedelta(days=90)))

    assert len(statements) == 1
    assert statements[0].count("FROM images") == 1


def test_originals_are_summed_by_class_and_variants_by_their_keys(stocked: Catalog) -> None:
    found = survey(stocked, CARD, Question())

    assert found.archive.originals == {
        "STANDARD": Held(large=Sized(objects=3, size=6 * MB), small=Sized(objects=2, size=51_000)),
        "GLACIER": Held(large=Sized(objects=1, size=5 * MB)),
    }
    assert found.archive.variants == {"thumb": 6, "medium": 5, "full": 6}
    assert (found.promised, found.unknown) == (1, 1)
    assert found.recent.originals["STANDARD"] == Held(
        large=Sized(objects=1, size=3 * MB), small=Sized(objects=1, size=50_000)
    )


def test_originals_old_enough_to_move_are_counted_separately(stocked: Catalog) -> None:
    found = survey(stocked, CARD, Question(older_than=timedelta(days=90)))

    assert found.movable["STANDARD"] == Held(large=Sized(objects=2, size=3 * MB), small=Sized(objects=1, size=1000))
    assert found.movable["GLACIER"].both.objects == 1


def test_the_top_user_by_cost_comes_first_and_the_rest_are_others(stocked: Catalog) -> None:
    bill = actual(CARD, survey(stocked, CARD, Question(top=1)), By.USER)

    assert [share.name for share in bill.shares] == [str(UUID(int=1)), "others"]


@pytest.mark.parametrize("by", list(By))
def test_the_shares_of_every_division_add_up_to_the_bill(stocked: Catalog, by: By) -> None:
    bill = actual(CARD, survey(stocked, CARD, Question(by_month=True)), by)

    assert bill.total > 0
    assert sum((share.amount for share in bill.shares), Decimal(0)) == pytest.approx(bill.total, abs=Decimal("1e-12"))


def test_months_are_those_of_the_upload_time_in_utc(stocked: Catalog) -> None:
    found = survey(stocked, CARD, Question(by_month=True))

    expected = {f"{datetime.now(UTC) - timedelta(days=days):%Y-%m}" for days in (1, 10, 100, 200)}
    assert {part.name for part in found.months} == expected
    assert [part.name for part in found.months] == sorted(expected)


def test_a_scope_bills_its_rows_only(stocked: Catalog) -> None:
    found = survey(stocked, CARD, Question(scope=Scope(user_id=UUID(int=2))))

    assert found.archive.rows == 2


def test_an_empty_catalog_costs_nothing(catalog: Catalog) -> None:
    found = survey(catalog, CARD, Question(by_month=True))

    assert actual(CARD, found, By.USER).total == 0
    with pytest.raises(UsageError, match="no images"):
        plan_from(found, Plan())


def test_growth_is_computed_from_the_last_30_days(stocked: Catalog) -> None:
    bill = actual(CARD, survey(stocked, CARD, Question()), By.CLASS)

    # Two photos, four fifths of them with a medium: 2 originals, 2 thumb, 1 medium and 2 full are put.
    assert bill.growth.photos == 2
    assert 0 < bill.growth.monthly < bill.total
    assert bill.growth.requests[0].quantity == 7


def test_a_plan_starts_from_the_archives_own_figures(stocked: Catalog) -> None:
    plan = plan_from(survey(stocked, CARD, Question()), Plan())

    assert (plan.uploads_per_day, plan.stock, plan.originals) == (1, 6, "STANDARD")
    assert plan.original_size == (11 * MB + 51_000) // 6


def test_a_proposal_is_priced_on_the_archives_own_ages(stocked: Catalog) -> None:
    change = Change(move=parse_move("older-than=90d,to=glacier_ir"))
    answer = propose(stocked, CARD, Settings(), Proposal(change=change, scope=Scope()))

    # The one of 3 MB and the one without a size move; the one below 128 KiB and the archived one don't.
    assert answer.result.once[0].quantity == 2
    assert any("20 views a month" in one for one in answer.assumptions)


def test_a_policy_of_hours_counts_hours(stocked: Catalog) -> None:
    change = Change(move=parse_move("older-than=36h,to=glacier_ir"))
    with stocked.write() as connection:
        connection.execute(images.insert(), [row(8, days=1.25)])

    answer = propose(stocked, CARD, Settings(), Proposal(change=change, scope=Scope()))

    assert answer.survey.movable["STANDARD"].both.objects == 4


@pytest.mark.parametrize("text", ["", "older-than=90d", "to=", "to=GLACIER,size=3", "older-than=x,to=GLACIER"])
def test_an_invalid_policy_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_move(text)


@pytest.mark.parametrize("by", By)
def test_a_class_without_a_price_is_left_out_and_the_rest_is_billed(stocked: Catalog, by: By) -> None:
    whole = actual(CARD, survey(stocked, CARD, Question(by_month=True)), by)
    with stocked.write() as connection:
        connection.execute(images.insert(), [row(8, days=3, size=7 * MB, storage_class="SNOW", thumb_key=None)])

    found = survey(stocked, CARD, Question(by_month=True))
    bill = actual(CARD, found, by)

    assert {name: held.both for name, held in found.archive.unpriced.items()} == {"SNOW": Sized(objects=1, size=7 * MB)}
    assert found.archive.rows == 7
    assert {name: bill.lines[name] for name in ("STANDARD", "GLACIER", "thumb")} == {
        name: whole.lines[name] for name in ("STANDARD", "GLACIER", "thumb")
    }
    assert "SNOW" not in bill.lines
    assert abs(sum((one.amount for one in bill.shares), Decimal(0)) - bill.total) < Decimal("1e-12")


def test_a_change_is_priced_without_the_classes_that_have_no_price(stocked: Catalog) -> None:
    with stocked.write() as connection:
        connection.execute(images.insert(), [row(8, days=100, size=7 * MB, storage_class="SNOW")])
    proposals = [
        Proposal(change=Change(move=parse_move("older-than=30d,to=GLACIER")), scope=Scope()),
        Proposal(change=Change(), scope=Scope(), elsewhere=load_card("gs-us-central1")),
    ]

    for proposal in proposals:
        answer = propose(stocked, CARD, Settings(), proposal)

        assert list(answer.survey.archive.unpriced) == ["SNOW"]
        assert not any("SNOW" in part for part in (*answer.result.before, *answer.result.after))


def test_a_plan_does_not_start_from_a_class_without_a_price(catalog: Catalog) -> None:
    with catalog.write() as connection:
        connection.execute(images.insert(), [row(1, days=100, storage_class="SNOW")])

    with pytest.raises(UsageError, match="no price of SNOW"):
        plan_from(survey(catalog, CARD, Question()), Plan())
