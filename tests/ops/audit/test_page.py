"""The page an audit writes, opened in a browser."""

import csv
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import LinkSettings, Settings
from imgctl.keys import key_of, new_id
from imgctl.ops.audit.findings import Code, Finding, Why
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.report import Subject, csv_file, html_file
from imgctl.ops.common.open import Parts, open_parts
from tests.ops.repair.conftest import THEN, Archive
from tests.parts.chromium import Tab

HOSTILE = "</script><img src=x onerror=alert(1)> & \u2028 \udcff ]]> <!-- <script>"
FINDINGS = 1000
ROWS = "document.querySelectorAll('#rows tr').length"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    (tmp_path / "blobs").mkdir()
    catalog = CatalogSettings(url=f"sqlite:///{tmp_path}/catalog.db")
    with open_parts(
        Settings(catalog=catalog, store=StoreSettings(url=f"file://{tmp_path}/blobs")), create=True
    ) as parts:
        yield Archive(parts=parts)


def some_findings(count: int) -> list[Finding]:
    """Findings over forty days with every code, one with hostile text."""
    found = []
    for number in range(count):
        at = THEN + timedelta(hours=number % 960)
        one = new_id(at)
        code = [*Code][number % len(Code)]
        key = key_of(one, "thumb", "jpg")
        found.append(
            Finding(code=code, detail="it is not there", id=one, key=key, role="thumb", user_id=UUID(int=7),
                    uploaded_at=at, bytes=number)
        )  # fmt: skip
    return [*found, Finding(code=Code.UNKNOWN_KEY, why=Why.SHAPE, detail=HOSTILE, key=f"a/{HOSTILE}")]


def written(file: Path, parts: Parts, findings: list[Finding]) -> str:
    tally = Tally(rows=5000, blobs=20000)
    subject = Subject(parts=parts, order=AuditOrder(), tally=tally, made_at=datetime.now(UTC), stop=Event())
    with html_file(file, subject) as sink:
        for finding in findings:
            sink(finding)
    return file.read_text(encoding="utf-8")


def data_of(page: str) -> list[list[str | int | None]]:
    text = page.split('<script type="application/json" id="findings">')[1].split("</script>", maxsplit=1)[0]
    found: list[list[str | int | None]] = json.loads(text)
    return found


def test_every_finding_is_in_the_page_and_its_data_is_escaped(archive: Archive, tmp_path: Path) -> None:
    findings = some_findings(FINDINGS)

    page = written(tmp_path / "audit.html", archive.parts, findings)

    rows = data_of(page)
    assert [row[0] for row in rows] == [one.code for one in findings]
    assert rows[-1][9] == HOSTILE
    assert "<img" not in page
    assert page.count("</script>") == 3


@pytest.mark.parametrize(
    ("cdn", "allowed"),
    [("https://images.example.org/pictures", "img-src https://images.example.org;"), ("", "img-src file:;")],
)
def test_the_page_loads_pictures_only_from_their_own_source(
    archive: Archive, tmp_path: Path, cdn: str, allowed: str
) -> None:
    settings = Settings(
        catalog=archive.parts.settings.catalog,
        store=archive.parts.settings.store,
        links=LinkSettings(cdn=cdn),
    )
    parts = Parts(settings=settings, catalog=archive.parts.catalog, store=archive.parts.store)
    image = archive.ready(0)
    finding = Finding(code=Code.MISSING_VARIANT, detail="gone", id=image.id, role="thumb", key=image.thumb_key)

    page = written(tmp_path / "audit.html", parts, [finding])

    assert "default-src 'none'; style-src 'sha256-" in page
    assert allowed in page
    picture = str(data_of(page)[0][10])
    assert picture == (image.medium_key or "") + (f"?v={image.recipe}" if cdn else "")


def test_an_unfinished_page_leaves_no_file(archive: Archive, tmp_path: Path) -> None:
    subject = Subject(parts=archive.parts, order=AuditOrder(), tally=Tally(), made_at=datetime.now(UTC), stop=Event())

    with pytest.raises(KeyboardInterrupt), html_file(tmp_path / "audit.html", subject):
        raise KeyboardInterrupt

    assert not list(tmp_path.glob("*audit.html*"))


def test_a_browser_shows_filters_and_sorts_the_page_without_requests(
    archive: Archive, tmp_path: Path, tab: Tab
) -> None:
    file = tmp_path / "audit.html"
    image = archive.ready(0)
    shown = Finding(code=Code.MISSING_VARIANT, detail="a picture of its own", id=image.id, role="full")
    written(file, archive.parts, [*some_findings(FINDINGS), shown])

    tab.size(1280, 1000)
    tab.open(file.as_uri())
    tab.until(f"{ROWS} === 100")

    assert "1,002 findings" in tab.evaluate("document.querySelector('h1').textContent")
    assert tab.evaluate("document.querySelectorAll('#codes button').length") == len(Code)
    assert tab.evaluate("document.querySelectorAll('#days g').length") == 41

    of_one_code = -(-FINDINGS // len(Code))
    tab.evaluate("document.querySelector('[data-code=missing_original]').click()")
    assert tab.evaluate("document.getElementById('shown').textContent") == f"{of_one_code} of 1,002 findings"
    assert tab.evaluate(ROWS) == of_one_code

    tab.press("/")
    assert tab.evaluate("[document.activeElement.id, document.activeElement.value]") == ["search", ""]

    tab.press("Escape")
    tab.type("onerror=alert")
    tab.until(f"{ROWS} === 1")
    assert "<img src=x" in tab.evaluate("document.querySelector('#rows .what').textContent")
    assert tab.evaluate("document.querySelectorAll('#rows img').length") == 0

    tab.press("Escape")
    tab.until(f"{ROWS} === 100")
    tab.evaluate("document.querySelector('th[data-sort=\"5\"] button').click()")
    tab.evaluate("document.querySelector('th[data-sort=\"5\"] button').click()")
    assert tab.evaluate("document.querySelector('#rows .number').textContent") == "999 B"
    assert tab.evaluate("document.querySelector('th[data-sort=\"5\"]').getAttribute('aria-sort')") == "descending"

    tab.evaluate("document.getElementById('next').click()")
    assert tab.evaluate("document.getElementById('page').textContent") == "Page 2 of 11"

    tab.evaluate("document.querySelector('#days g').focus()")
    tab.press("Enter")
    assert tab.evaluate("document.getElementById('shown').textContent").endswith("of 1,002 findings")

    tab.press("Escape")
    tab.evaluate("document.getElementById('search').focus()")
    tab.type("a picture of its own")
    tab.until("document.querySelector('#rows img')?.naturalWidth > 0")

    assert tab.complaints == []
    assert {url.split(":")[0] for url in tab.requests} == {"file"}


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_every_width_in_light_and_dark(
    archive: Archive, tmp_path: Path, tab: Tab, width: int, dark: bool
) -> None:
    file = tmp_path / "audit.html"
    written(file, archive.parts, some_findings(50))

    tab.size(width, 900, dark=dark)
    tab.open(file.as_uri())
    tab.until(f"{ROWS} > 1")

    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    colours = tab.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    bright = [sum(map(int, colour.strip("rgb()").split(","))) for colour in colours]
    assert (bright[0] > bright[1]) is dark


def test_a_stopped_audit_keeps_the_table_of_the_previous_one(tmp_path: Path) -> None:
    stop, file = Event(), tmp_path / "findings.csv"
    with csv_file(file, stop=stop) as sink:
        sink(Finding(code=Code.FAILED, detail="the first"))
    with csv_file(file, stop=stop) as sink:
        sink(Finding(code=Code.FAILED, detail="the second"))
        stop.set()

    with file.open(newline="") as lines:
        assert [row["detail"] for row in csv.DictReader(lines)] == ["the first"]
    assert [one.name for one in tmp_path.iterdir()] == ["findings.csv"]


def test_a_stopped_audit_keeps_the_pipe_that_it_wrote_to(tmp_path: Path) -> None:
    stop, pipe = Event(), tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with csv_file(pipe, stop=stop):
        stop.set()
    os.close(reading)

    assert pipe.is_fifo()
