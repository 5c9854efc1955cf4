"""Writing the page: its script, its style, and the findings as JSON in it, streamed."""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TextIO

from imgctl.errors import StateError
from imgctl.ops.audit.cost import cost_of
from imgctl.ops.audit.findings import Finding
from imgctl.ops.audit.order import AuditOrder, Tally
from imgctl.ops.audit.page.pictures import Pictures
from imgctl.ops.audit.report import Sink
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal
from imgctl.pricing.lines import dollars
from imgctl.run.scratch import part

BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the page is about: the parts that were audited, what was asked, what was counted, when, and what may end it."""

    parts: Parts
    order: AuditOrder
    tally: Tally
    made_at: datetime
    stop: StopSignal


@contextmanager
def html_file(file: Path, subject: Subject) -> Iterator[Sink]:
    """A page that takes findings one by one; it appears under its name when the block ends well."""
    try:
        with part(file) as new:
            with new.open("w", encoding="utf-8") as out:
                page = _Page(out, subject)
                page.open()
                yield page.add
                page.close()
            new.replace(file)
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror}", hint="check the rights and the space") from None


class _Page:
    """The page under way: up to the findings, each batch of them, and the rest."""

    def __init__(self, out: TextIO, subject: Subject) -> None:
        self._out = out
        self._subject = subject
        self._pictures = Pictures(subject.parts)
        self._waiting: list[Finding] = []
        self._any = False
        style, script = _asset("page.css"), _asset("page.js")
        filled = _asset("page.html").replace("@DATE@", f"{subject.made_at:%Y-%m-%d}")
        filled = filled.replace("@CSP@", _policy(style, script, self._pictures.source))
        filled = filled.replace("@CSS@", style).replace("@JS@", script)
        self._before, rest = filled.split("@FINDINGS@")
        self._between, self._after = rest.split("@ABOUT@")

    def open(self) -> None:
        self._out.write(f"{self._before}[")

    def add(self, finding: Finding) -> None:
        self._waiting.append(finding)
        if len(self._waiting) >= BATCH:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._out.write(f"\n]{self._between}{_json(self._about())}{self._after}")

    def _flush(self) -> None:
        pictures = self._pictures.of(self._waiting)
        for finding, picture in zip(self._waiting, pictures, strict=True):
            self._out.write(f"{',' if self._any else ''}\n{_json(_row(finding, picture))}")
            self._any = True
        self._waiting.clear()

    def _about(self) -> dict[str, str | int | bool | None]:
        subject = self._subject
        tally, settings = subject.tally, subject.parts.settings
        cost = cost_of(tally, settings)
        seconds = timedelta(seconds=settings.links.expires)
        expires = datetime.now(UTC) + seconds if self._pictures.signed else None
        return {
            "made_at": f"{subject.made_at:%Y-%m-%d %H:%M} UTC",
            "catalog": subject.parts.catalog.place,
            "store": settings.store.url,
            "scope": _scope(subject.order),
            "interrupted": subject.stop.is_set(),
            "images": tally.rows,
            "blobs": tally.blobs,
            "cost": None if cost.amount is None else dollars(cost.amount),
            "base": self._pictures.base,
            "expires": f"{expires:%Y-%m-%d %H:%M} UTC" if expires else None,
        }


def _row(finding: Finding, picture: str | None) -> Sequence[str | int | None]:
    """A finding in the order that the script knows; names would be half of the file."""
    return (
        finding.code.value,
        finding.why.value if finding.why else None,
        str(finding.id) if finding.id else None,
        finding.key,
        finding.role,
        finding.bytes,
        str(finding.user_id) if finding.user_id else None,
        _moment(finding.uploaded_at),
        _moment(finding.modified_at),
        finding.detail,
        picture,
    )


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def _scope(order: AuditOrder) -> str:
    chosen = order.chosen
    told = [
        f"user {chosen.scope.user_id}" if chosen.scope.user_id else "",
        f"since {chosen.scope.since:%Y-%m-%d %H:%M}" if chosen.scope.since else "",
        f"until {chosen.scope.until:%Y-%m-%d %H:%M}" if chosen.scope.until else "",
        "the images of a list" if chosen.ids_from else "",
    ]
    return ", ".join(one for one in told if one) or "everything"


def _json(value: object) -> str:
    """JSON that cannot end the element it stands in, whatever keys and messages hold."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(style: str, script: str, pictures: str) -> str:
    """Nothing but this style, this script, and pictures from where the pictures are."""
    rules = (
        "default-src 'none'",
        f"style-src '{_digest(style)}'",
        f"script-src '{_digest(script)}'",
        f"img-src {pictures}",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (files("imgctl.ops.audit.page") / name).read_text("utf-8").strip()
