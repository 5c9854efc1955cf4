"""The lab page in a real browser: the same cents as the command line, moved by keyboard alone, on any screen."""

import json
import shlex
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from imgctl.pricing.presets import PRESETS
from tests.parts.chromium import Page
from tests.whole.deployment import Deployment

TOTAL = "document.documentElement.dataset.totalCents"
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


def groups(page: Page) -> dict[str, int]:
    """The last month's groups in cents."""
    found: dict[str, str] = json.loads(str(page.evaluate("document.documentElement.dataset.lastMonth")))
    return {name: int(cents) for name, cents in found.items()}


def test_each_preset_comes_to_what_the_command_line_says(browser: Page, embedded: Deployment, lab: str) -> None:
    for profile in ("aws", "lesson"):
        for preset in PRESETS:
            browser.open("about:blank")
            browser.open(f"{lab}#preset={preset.name}&profile={profile}")
            shown = str(browser.evaluate("document.getElementById('command').textContent"))

            assert browser.evaluate(TOTAL) == total_of(embedded, shown), (preset.name, profile)
    assert browser.problems == []
    assert all(url.startswith(("file:", "about:", "data:")) for url in browser.requests)


def test_decisions_weigh_what_they_should(browser: Page, lab: str) -> None:
    browser.open(lab)
    baseline = groups(browser)

    def decided(preset: str) -> dict[str, int]:
        browser.evaluate(f"document.querySelector('[data-preset={preset}]').click()")
        return groups(browser)

    assert decided("cdn-off")["delivery"] > baseline["delivery"]
    assert decided("glacier")["storage"] < baseline["storage"]
    assert decided("skip-medium")["storage"] < baseline["storage"]
    assert decided("baseline") == baseline


def test_the_page_works_by_keyboard_alone(browser: Page, lab: str) -> None:
    browser.open(lab)
    baseline = browser.evaluate(TOTAL)
    reached = []
    for _ in range(40):
        browser.press("Tab")
        reached.append(str(browser.evaluate(FOCUS)))
        if reached[-1] == "glacier":
            browser.press("Enter")
            assert browser.evaluate(TOTAL) != baseline
        if reached[-1] == "in-uploads_per_day":
            before = browser.evaluate(TOTAL)
            browser.press("ArrowRight")
            assert browser.evaluate(TOTAL) != before
        if reached[-1] == "cdn":
            browser.press(" ")
            assert browser.evaluate("document.getElementById('cdn').checked") is False

    assert {"baseline", "cdn-off", "glacier", "skip-medium", "in-uploads_per_day", "in-original", "cdn"} <= set(reached)
    assert browser.evaluate("document.getElementById('total').getAttribute('aria-live')") == "polite"
    assert browser.evaluate("[...document.querySelectorAll('input')].every(one => one.labels.length || one.ariaLabel)")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 820, 1280])
def test_the_page_fits_its_screen(browser: Page, lab: str, tmp_path: Path, width: int, dark: bool) -> None:
    browser.look(width=width, dark=dark)
    browser.open(f"{lab}#preset=glacier")
    browser.screenshot(tmp_path / "page.png")

    assert cast("int", browser.evaluate("document.documentElement.scrollWidth")) <= width
    assert (tmp_path / "page.png").stat().st_size > 10_000
    luminance = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b)"
    assert (cast("int", browser.evaluate(luminance)) < 382) is dark


def test_a_page_can_start_from_the_archive(browser: Page, embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run("upload", next(iter(album)).parent.parent, "--user", "0190b2b4-0000-7000-8000-000000000001")
    result = embedded.run("cost", "lab", "--out", "lab.html", "--from-catalog")
    assert result.code == 0, result.err

    browser.open((embedded.directory / "lab.html").as_uri())
    assert "20 images" in str(browser.evaluate("document.getElementById('origin').textContent"))
    shown = str(browser.evaluate("document.getElementById('command').textContent"))
    assert browser.evaluate(TOTAL) == total_of(embedded, shown)
