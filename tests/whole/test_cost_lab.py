"""The lab page in a real browser: the same cents as the command line, moved by keyboard alone, on any screen."""

import json
import shlex
from decimal import Decimal
from pathlib import Path

import pytest

from imgctl.pricing.plan import PRESETS
from tests.parts.chromium import Tab
from tests.whole.deployment import Deployment

TOTAL = "document.documentElement.dataset.totalCents"
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39}
FOCUS = "document.activeElement.id || document.activeElement.dataset.preset || document.activeElement.value"


@pytest.fixture
def lab(embedded: Deployment) -> str:
    """The address of a page that the command wrote."""
    result = embedded.run("cost", "lab", "--out", "lab.html")
    assert result.code == 0, result.err
    return (embedded.directory / "lab.html").as_uri()


def total_of(deployment: Deployment, command: str) -> str:
    """In cents, what the command line says to the command that the page shows."""
    arguments = shlex.split(command.replace("\\\n", " "))[1:]
    result = deployment.run(*arguments, "--json")
    assert result.code == 0, result.err
    return str(int(Decimal(str(result.summary["total"])).quantize(Decimal("0.01")) * 100))


def press(tab: Tab, key: str) -> None:
    """Press and release a key with its code: by its name alone no browser moves the focus or a slider."""
    text = {"text": "\r" if key == "Enter" else key} if key in ("Enter", " ") else {}
    about = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
    tab.send("Input.dispatchKeyEvent", type="keyDown", **about, **text)
    tab.send("Input.dispatchKeyEvent", type="keyUp", **about)


def groups(tab: Tab) -> dict[str, int]:
    """The last month's groups in cents."""
    found: dict[str, str] = json.loads(str(tab.evaluate("document.documentElement.dataset.lastMonth")))
    return {name: int(cents) for name, cents in found.items()}


def test_each_preset_comes_to_what_the_command_line_says(tab: Tab, embedded: Deployment, lab: str) -> None:
    for profile in ("aws", "lesson"):
        for preset in PRESETS:
            tab.open("about:blank")
            tab.open(f"{lab}#preset={preset.name}&profile={profile}")
            shown = str(tab.evaluate("document.getElementById('command').textContent"))

            assert tab.evaluate(TOTAL) == total_of(embedded, shown), (preset.name, profile)
    assert tab.complaints == []
    assert all(url.startswith(("file:", "about:", "data:")) for url in tab.requests)


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

    assert {"baseline", "cdn-off", "glacier", "skip-medium", "in-uploads_per_day", "in-original", "cdn"} <= set(reached)
    assert tab.evaluate("document.getElementById('total').getAttribute('aria-live')") == "polite"
    assert tab.evaluate("[...document.querySelectorAll('input')].every(one => one.labels.length || one.ariaLabel)")


def test_the_page_fits_every_screen_in_both_themes(tab: Tab, lab: str) -> None:
    lightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b)"
    for width in (360, 820, 1280):
        for dark in (False, True):
            tab.size(width, 900, dark=dark)
            tab.open("about:blank")
            tab.open(f"{lab}#preset=glacier")

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
