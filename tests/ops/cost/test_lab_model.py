"""The page, run in Node, computes the same cents as the model for the same plan."""

import json
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.model import Sized
from imgctl.ops.cost.lab.page import page_data
from imgctl.pricing.archive_bill import ROWS, Archive, Held
from imgctl.pricing.card_files import card_names, load_card
from imgctl.pricing.lines import Json, dollars, total
from imgctl.pricing.model import model
from imgctl.pricing.other_provider import lacks, like, move_elsewhere
from imgctl.pricing.plan import LESSON_SIZES, PRESETS, Group, Modelled, Plan, Profile
from imgctl.pricing.whatif import DELIVERY, Today

CARDS = {name: load_card(name) for name in card_names()}
NAME = "aws-us-east-1"
CARD = CARDS[NAME]
MODEL = Path(str(files("imgctl.ops.cost.lab") / "model.js"))
NODE = shutil.which("node") or ""
SCRIPT = """
const { modelled, cents } = require(process.argv[1]);
const given = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const answers = given.map(({ data, name, plan, profile }) => {
  const found = modelled(data, data.cards[name], plan, profile);
  const groups = Object.fromEntries(Object.entries(found.months.at(-1).groups).map(([k, v]) => [k, String(cents(v))]));
  return { total: String(cents(found.total)), months: found.months.map((one) => String(cents(one.total))), groups };
});
console.log(JSON.stringify(answers));
"""

pytestmark = pytest.mark.skipif(not NODE, reason="Node is not installed")

plans = st.builds(
    Plan,
    uploads_per_day=st.integers(0, 5_000_000),
    views_per_upload=st.integers(0, 2000).map(lambda tenths: Decimal(tenths) / 10),
    sizes=st.fixed_dictionaries(
        {"original": st.integers(0, 10**9)},
        optional={"thumb": st.integers(0, 10**6), "medium": st.integers(0, 10**7), "full": st.integers(0, 10**8)},
    ),
    originals=st.sampled_from([name for name, prices in CARD.classes.items() if prices.transition] + ["STANDARD"]),
    archive_after_days=st.integers(0, 400),
    cdn=st.booleans(),
    hit_ratio=st.integers(0, 100).map(lambda percent: Decimal(percent) / 100),
    months=st.integers(1, 24),
    tags=st.integers(0, 3),
    audits=st.integers(0, 4),
    stock=st.integers(0, 10**9),
)


def computed(requested: list[tuple[Plan, Profile]], *, name: str = NAME) -> list[dict[str, Json]]:
    """Return the results of the page with one of its cards, in cents as text."""
    given = []
    for plan, profile in requested:
        data = json.loads(page_data({NAME: CARD, name: CARDS[name]}, plan, profile=profile))
        given.append({"data": data, "name": name, "plan": data["plan"], "profile": profile.value})
    done = subprocess.run(
        [NODE, "-e", SCRIPT, str(MODEL)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answers: list[dict[str, Json]] = json.loads(done.stdout)
    return answers


def expected(found: Modelled) -> dict[str, Json]:
    last = found.months[-1]
    groups: dict[str, Json] = {group.value: cents(last.of(group)) for group in list(Group)[:4]}
    other = cents(last.of(Group.TAGS) + last.of(Group.DATABASE))
    months: list[Json] = [cents(month.total) for month in found.months]
    return {"total": cents(found.total), "months": months, "groups": {**groups, "other": other}}


def cents(amount: Decimal) -> str:
    return str(int(amount.quantize(Decimal("0.01")) * 100))


def test_each_preset_has_the_same_cents_in_both_profiles() -> None:
    requested = [(preset.of(Plan()), profile) for preset in PRESETS for profile in Profile]

    assert computed(requested) == [expected(model(CARD, plan, profile=profile)) for plan, profile in requested]


def test_months_beyond_a_year_and_a_late_archive_have_the_same_cents() -> None:
    plan = Plan(months=36, originals="DEEP_ARCHIVE", archive_after_days=90, tags=2, audits=4, stock=10_000_000)
    requested = [(plan, Profile.AWS), (replace(plan, sizes={"original": LESSON_SIZES["original"]}), Profile.AWS)]

    assert computed(requested) == [expected(model(CARD, plan, profile=profile)) for plan, profile in requested]


@settings(max_examples=4)
@given(st.lists(st.tuples(plans, st.sampled_from(Profile)), min_size=5, max_size=15))
def test_any_plan_has_the_same_cents(requested: list[tuple[Plan, Profile]]) -> None:
    assert computed(requested) == [expected(model(CARD, plan, profile=profile)) for plan, profile in requested]


@pytest.mark.parametrize("name", CARDS)
def test_each_provider_has_the_same_cents(name: str) -> None:
    card = CARDS[name]
    plans = [
        Plan(originals=like(wanted, card), archive_after_days=20, months=14, tags=1, audits=2, cdn=cdn)
        for wanted in ("STANDARD", "STANDARD_IA", "GLACIER_IR", "DEEP_ARCHIVE")
        for cdn in (True, False)
    ]
    # Every plan starts in the month of the AWS card.
    requested = [(replace(plan, start=CARD.as_of), profile) for plan in plans for profile in Profile]

    assert computed(requested, name=name) == [
        expected(model(card, plan, profile=profile)) for plan, profile in requested
    ]


@pytest.mark.parametrize("wanted", ["STANDARD", "GLACIER"])
@pytest.mark.parametrize("cdn", [True, False])
@pytest.mark.parametrize("name", CARDS)
def test_each_provider_has_the_bill_of_a_move_to_it(name: str, cdn: bool, wanted: str) -> None:
    card, photos = CARDS[name], 30_000_000
    sizes = {"thumb": 20_000, "medium": 150_000, "full": 500_000}
    every = Held(large=Sized(objects=photos, size=photos * 3_000_000))
    archive = Archive(originals={wanted: every}, variants=dict.fromkeys(sizes, photos), sizes=sizes)
    after = move_elsewhere(CARD, card, Today(archive=archive, views=31_000_000, cdn=cdn)).after
    amount = {part: total(lines) for part, lines in after.items()}
    still = Plan(
        uploads_per_day=0, sizes={**sizes, "original": 3_000_000}, originals=like(wanted, card), stock=photos,
        stock_class=like(wanted, card), months=1, start=CARD.as_of, cdn=cdn,
    )  # fmt: skip
    # October has 31 days; the page counts views per upload.
    viewed = replace(still, uploads_per_day=100_000, views_per_upload=Decimal(10))

    [kept, seen] = computed([(still, Profile.AWS), (viewed, Profile.AWS)], name=name)

    rows, delivered = amount.pop(ROWS), amount.pop(DELIVERY)
    stored = sum(amount.values(), Decimal(0))
    assert stored > 100
    groups = {
        "storage": stored,
        "requests": Decimal(0),
        "transitions": Decimal(0),
        "delivery": Decimal(0),
        "other": rows,
    }
    assert kept["groups"] == {group: cents(one) for group, one in groups.items()}
    assert kept["total"] == cents(stored + rows)
    assert isinstance(seen["groups"], dict)
    assert seen["groups"]["delivery"] == cents(delivered)


def test_the_page_lists_the_limits_of_each_provider() -> None:
    cards = json.loads(page_data(CARDS, Plan()))["cards"]

    assert {name: tuple(card["lacks"]) for name, card in cards.items()} == {n: lacks(c) for n, c in CARDS.items()}
    assert cards["r2"]["like"]["GLACIER"] == "STANDARD"
    assert cards["gs-us-central1"]["like"]["GLACIER"] == "ARCHIVE"


def test_the_page_shows_money_as_the_command_does() -> None:
    amounts = ["0", "0.001319", "0.004", "0.5", "0.123456", "0.9994", "0.0000012345", "1", "1234.5"]
    script = "const m = require(process.argv[1]); console.log(process.argv.slice(2).map((t) => m.dollars(Number(t))).join(' '))"

    done = subprocess.run([NODE, "-e", script, str(MODEL), *amounts], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [dollars(Decimal(amount)) for amount in amounts]
