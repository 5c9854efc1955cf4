"""The lab page in a real browser: same cents as the command line, usable by keyboard only, on any screen."""

import json
import shlex
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from imgctl.pricing.card_files import card_names
from imgctl.pricing.plan import PRESETS
from tests.parts.chromium import Tab
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment

TOTAL = "document.documentElement.dataset.totalCents"
PROVIDER = "document.getElementById('provider')"
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39}
FOCUS = "document.activeElement.id || document.activeElement.dataset.preset || document.activeElement.value"


@pytest.fixture
def lab(embedded: Deployment) -> str:
    """Return the URL of a page that the command wrote."""
    result = embedded.run("cost", "lab", "--out", "lab.html")
    assert result.code == 0, result.err
    return (embedded.directory / "lab.html").as_uri()


def in_cents(amount: object) -> str:
    return str(int(Decimal(str(amount)).quantize(Decimal("0.01")) * 100))


def choose(tab: Tab, name: str) -> None:
    """Choose another provider."""
    tab.evaluate(f"(one => {{ one.value = '{name}'; one.dispatchEvent(new Event('change')); }})({PROVIDER})")


def total_of(deployment: Deployment, command: str) -> str:
    """Return the cents that the command shown on the page prints."""
    arguments = shlex.split(command.replace("\\\n", " "))[1:]
    result = deployment.run(*arguments, "--json")
    assert result.code == 0, result.err
    return in_cents(result.summary["total"])


def press(tab: Tab, key: str) -> None:
    """Press and release a key with its code: with the name only, no browser moves the focus or a slider."""
    text = {"text": "\r" if key == "Enter" else key} if key in ("Enter", " ") else {}
    about = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
    tab.send("Input.dispatchKeyEvent", type="keyDown", **about, **text)
    tab.send("Input.dispatchKeyEvent", type="keyUp", **about)


def groups(tab: Tab) -> dict[str, int]:
    """Return the last month's groups in cents."""
    found: dict[str, str] = json.loads(str(tab.evaluate("document.documentElement.dataset.lastMonth")))
    return {name: int(cents) for name, cents in found.items()}


def test_each_preset_has_the_total_of_the_command_line(tab: Tab, embedded: Deployment, lab: str) -> None:
    for profile in ("aws", "lesson"):
        for preset in PRESETS:
            tab.open("about:blank")
            tab.open(f"{lab}#preset={preset.name}&profile={profile}")
            shown = str(tab.evaluate("document.getElementById('command').textContent"))

            assert tab.evaluate(TOTAL) == total_of(embedded, shown), (preset.name, profile)
    assert tab.complaints == []
    assert all(url.startswith(("file:", "about:", "data:")) for url in tab.requests)


def test_each_provider_has_the_total_of_the_command_line(tab: Tab, embedded: Deployment, lab: str) -> None:
    tab.open(f"{lab}#preset=glacier")
    first = tab.evaluate(TOTAL)
    table = json.loads(str(tab.evaluate("document.documentElement.dataset.providers")))
    for name in card_names():
        choose(tab, name)
        shown = str(tab.evaluate("document.getElementById('command').textContent"))

        assert f"--card {name} " in shown
        assert tab.evaluate(TOTAL) == table[name] == total_of(embedded, shown), name
        assert tab.evaluate("document.querySelectorAll('#lacks li').length") > 0

    # A class that one provider lacks returns with a provider that has it, and a link reproduces its sender's view.
    choose(tab, "r2")
    assert tab.evaluate("document.querySelector('[data-preset=glacier]').disabled") is True
    assert "No colder class" in str(tab.evaluate("document.getElementById('lacks').textContent"))
    choose(tab, "aws-us-east-1")
    assert tab.evaluate(TOTAL) == first
    tab.open("about:blank")
    tab.open(f"{lab}#preset=glacier&card=gs-us-central1")
    assert (tab.evaluate(TOTAL), tab.evaluate(f"{PROVIDER}.value")) == (table["gs-us-central1"], "gs-us-central1")
    assert tab.complaints == []


def test_each_provider_comes_to_what_a_move_of_the_archive_there_would(
    tab: Tab, embedded: Deployment, album: dict[Path, bytes]
) -> None:
    assert embedded.run("upload", place_of(album), "--user", str(USER)).code == 0
    with closing(sqlite3.connect(embedded.catalog_url.removeprefix("sqlite:///"))) as catalog, catalog:
        # Older than the uploads of the last 30 days, and large enough to differ by cents.
        catalog.execute("UPDATE images SET bytes = 5000000000000, storage_class = 'GLACIER', status = 'ready', "
                        "promised_at = '2020-01-01 00:00:00.000000', thumb_key = 'a', full_key = 'b'")  # fmt: skip
    result = embedded.run("cost", "lab", "--out", "lab.html", "--from-catalog", "--months", "1")
    assert result.code == 0, result.err
    tab.open((embedded.directory / "lab.html").as_uri())

    for name in card_names():
        choose(tab, name)
        moved = embedded.run("cost", "what-if", "--move-to", name, "--json")
        assert moved.code == 0, moved.err

        assert tab.evaluate(TOTAL) == in_cents(moved.summary["after"]), name
        assert int(tab.evaluate(TOTAL)) > 10_000


def test_decisions_weigh_what_they_should(tab: Tab, lab: str) -> None:
    tab.open(lab)
    baseline = groups(tab)

    def decided(preset: str) -> dict[str, int]:
        tab.evaluate(f"document.querySelector('[data-preset={preset}]').click()")
        return groups(tab)

    assert decided("cdn-off")["delivery"] > baseline["delivery"]
    assert decided("glacier")["storage"] < baseline["storage"]
    assert decided("skip-medium")["storage"] < baseline["storage"]
    assert decided("baseline") == baseline


def test_what_a_decision_leaves_without_effect_cannot_be_moved(tab: Tab, lab: str) -> None:
    tab.open(f"{lab}#preset=skip-medium")
    disabled = "[...document.querySelectorAll('input:disabled')].map(one => one.id)"
    struck = "[...document.querySelectorAll('.slider.off input[type=range]')].map(one => one.id)"

    assert tab.evaluate(disabled) == tab.evaluate(struck) == ["in-medium", "in-archive_after_days"]


def test_the_page_works_by_keyboard_alone(tab: Tab, lab: str) -> None:
    tab.open(lab)
    baseline = tab.evaluate(TOTAL)
    reached = []
    for _ in range(40):
        press(tab, "Tab")
        reached.append(str(tab.evaluate(FOCUS)))
        if reached[-1] == "glacier":
            press(tab, "Enter")
            assert tab.evaluate(TOTAL) != baseline
        if reached[-1] == "in-uploads_per_day":
            before = tab.evaluate(TOTAL)
            press(tab, "ArrowRight")
            assert tab.evaluate(TOTAL) != before
        if reached[-1] == "cdn":
            press(tab, " ")
            assert tab.evaluate("document.getElementById('cdn').checked") is False

    assert {
        "provider",
        "baseline",
        "cdn-off",
        "glacier",
        "skip-medium",
        "in-uploads_per_day",
        "in-original",
        "cdn",
    } <= set(reached)
    assert tab.evaluate("document.getElementById('total').getAttribute('aria-live')") == "polite"
    assert tab.evaluate(
        "[...document.querySelectorAll('input, select')].every(one => one.labels.length || one.ariaLabel)"
    )


def test_the_page_fits_every_screen_in_both_themes(tab: Tab, lab: str) -> None:
    lightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b)"
    for width in (360, 820, 1280):
        for dark in (False, True):
            tab.size(width, 900, dark=dark)
            tab.open("about:blank")
            tab.open(f"{lab}#preset=glacier")

            for name in card_names():
                choose(tab, name)
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert (tab.evaluate(lightness) < 3 * 128) is dark


def test_a_page_can_start_from_the_archive(tab: Tab, embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run("upload", next(iter(album)).parent.parent, "--user", "0190b2b4-0000-7000-8000-000000000001")
    result = embedded.run("cost", "lab", "--out", "lab.html", "--from-catalog")
    assert result.code == 0, result.err

    tab.open((embedded.directory / "lab.html").as_uri())
    assert "20 images" in str(tab.evaluate("document.getElementById('origin').textContent"))
    shown = str(tab.evaluate("document.getElementById('command').textContent"))
    assert tab.evaluate(TOTAL) == total_of(embedded, shown)
