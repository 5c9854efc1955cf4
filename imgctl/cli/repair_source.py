"""Where `imgctl repair` takes its findings from: a file, a pipe, or an audit of its own."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from imgctl.cli.running import Running
from imgctl.cli.scope import chosen
from imgctl.errors import UsageError

if TYPE_CHECKING:
    from imgctl.ops.audit.findings import FindingsFile
    from imgctl.ops.parts import Parts
    from imgctl.ops.rows import Chosen
    from imgctl.store.catalog.lookups import Scope


GRACE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says of where findings come from."""

    findings: str | None
    ids: tuple[str, ...]
    user: UUID | None
    since: datetime | None
    until: datetime | None
    ids_from: Path | None
    grace_seconds: float | None
    stuck_seconds: float
    storage_class: bool

    @property
    def scope(self) -> "Scope":
        """The rows in scope; a file of findings may be about all."""
        from imgctl.store.catalog.lookups import Scope

        return Scope(user_id=self.user, since=self.since, until=self.until)


def has_scope(asked: Asked) -> bool:
    """Whether any rows were chosen."""
    return bool(asked.ids or asked.user or asked.since or asked.until or asked.ids_from)


@contextmanager
def findings_of(parts: "Parts", asked: Asked, run: Running) -> "Iterator[FindingsFile]":
    """The findings as a file that can be read twice: a pipe's and an audit's are kept in a temporary one."""
    from imgctl.ops.audit.findings import FindingsFile

    if asked.findings and has_scope(asked):
        raise UsageError("FINDINGS say themselves what they are about", hint="leave the scope out, or FINDINGS")
    if asked.findings and asked.findings != "-":
        yield FindingsFile(file=Path(asked.findings))
        return
    from imgctl.run.scratch import Scratch

    with Scratch("findings") as scratch:
        file = scratch.path / "findings.jsonl"
        with file.open("wb") as kept:
            if asked.findings:
                shutil.copyfileobj(sys.stdin.buffer, kept)
            else:
                for record in _audited(parts, asked, run):
                    kept.write(json.dumps(record).encode() + b"\n")
        yield FindingsFile(file=file)


def _audited(parts: "Parts", asked: Asked, run: Running) -> Iterator[dict[str, str | int | None]]:
    from imgctl.ops.audit.order import AuditOrder, Tally
    from imgctl.ops.audit.start import audit
    from imgctl.ops.rows import BadId

    bad: list[BadId] = []
    with _chosen(parts, asked) as scope:
        order = AuditOrder(
            chosen=scope,
            grace=_grace(asked),
            stuck_after=timedelta(seconds=asked.stuck_seconds),
            classes=asked.storage_class,
        )
        for finding in audit(parts, order, tally=Tally(), stop=run.stop, bad=bad):
            yield finding.record()
    for one in bad:
        run.say(f"{one.where}: {one.detail}", always=True)


def _grace(asked: Asked) -> timedelta:
    # Who names an image wants it looked at now; leases and --stuck-after still tell what is in flight.
    usual = timedelta(0) if asked.ids else GRACE
    return usual if asked.grace_seconds is None else timedelta(seconds=asked.grace_seconds)


@contextmanager
def _chosen(parts: "Parts", asked: Asked) -> "Iterator[Chosen]":
    from imgctl.ops.lookup import find_image
    from imgctl.run.scratch import Scratch

    with ExitStack() as stack:
        ids_from = asked.ids_from
        if asked.ids:
            if ids_from:
                raise UsageError("--id and --ids-from exclude each other", hint="name them all in the file")
            ids_from = stack.enter_context(Scratch("ids")).path / "ids.txt"
            ids_from.write_text("".join(f"{find_image(parts.catalog, one).id}\n" for one in asked.ids))
        yield stack.enter_context(chosen(user=asked.user, since=asked.since, until=asked.until, ids_from=ids_from))
