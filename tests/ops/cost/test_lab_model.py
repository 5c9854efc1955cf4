"""The page's own arithmetic against the model's, in Node: the same plan, the same cents."""

import json
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgctl.ops.cost.lab.page import page_data
from imgctl.pricing.card import load_card
from imgctl.pricing.lines import Json, dollars
from imgctl.pricing.model import model
from imgctl.pricing.plan import LESSON_SIZES, PRESETS, Group, Modelled, Plan, Profile

CARD = load_card()
MODEL = Path(str(files("imgctl.ops.cost.lab") / "model.js"))
NODE = shutil.which("node") or ""
SCRIPT = """
const { modelled, cents } = require(process.argv[1]);
const given = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const answers = given.map(({ data, plan, profile }) => {
  const found = modelled(data, plan, profile);
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


def computed(asked: list[tuple[Plan, Profile]]) -> list[dict[str, Json]]:
    """What the page computes, in cents as text."""
    given = []
    for plan, profile in asked:
        data = json.loads(page_data(CARD, plan, profile=profile))
        given.append({"data": data, "plan": data["plan"], "profile": profile.value})
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


def test_each_preset_comes_to_the_same_cents_in_both_profiles() -> None:
    asked = [(preset.of(Plan()), profile) for preset in PRESETS for profile in Profile]

    assert computed(asked) == [expected(model(CARD, plan, profile=profile)) for plan, profile in asked]


def test_months_beyond_a_year_and_a_late_archive_come_to_the_same_cents() -> None:
    plan = Plan(months=36, originals="DEEP_ARCHIVE", archive_after_days=90, tags=2, audits=4, stock=10_000_000)
    asked = [(plan, Profile.AWS), (replace(plan, sizes={"original": LESSON_SIZES["original"]}), Profile.AWS)]

    assert computed(asked) == [expected(model(CARD, plan, profile=profile)) for plan, profile in asked]


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(plans, st.sampled_from(Profile)), min_size=5, max_size=15))
def test_any_plan_comes_to_the_same_cents(asked: list[tuple[Plan, Profile]]) -> None:
    assert computed(asked) == [expected(model(CARD, plan, profile=profile)) for plan, profile in asked]


def test_the_page_shows_money_as_the_command_does() -> None:
    amounts = ["0", "0.001319", "0.004", "0.5", "0.123456", "0.9994", "0.0000012345", "1", "1234.5"]
    script = "const m = require(process.argv[1]); console.log(process.argv.slice(2).map((t) => m.dollars(Number(t))).join(' '))"

    done = subprocess.run([NODE, "-e", script, str(MODEL), *amounts], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [dollars(Decimal(amount)) for amount in amounts]
