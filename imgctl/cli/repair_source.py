"""Where `imgctl repair` takes its findings from: a file, a pipe, or an audit of its own."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from imgctl.cli.base import Running
from imgctl.errors import UsageError

if TYPE_CHECKING:
    from imgctl.cli.repair import Asked
    from imgctl.ops.audit.findings import FindingsFile
    from imgctl.ops.parts import Parts
    from imgctl.ops.rows import Chosen


GRACE = timedelta(hours=1)


@contextmanager
def findings_of(parts: "Parts", asked: "Asked", run: Running) -> "Iterator[FindingsFile]":
    """The findings as a file that can be read twice: a pipe's and an audit's are kept in a temporary one."""
    from imgctl.ops.audit.findings import FindingsFile

    if asked.findings and asked.has_scope:
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


def _audited(parts: "Parts", asked: "Asked", run: Running) -> Iterator[dict[str, str | int | None]]:
    from imgctl.ops.audit.order import AuditOrder, Tally
    from imgctl.ops.audit.start import audit
    from imgctl.ops.rows import BadId

    bad: list[BadId] = []
    with _chosen(parts, asked) as scope:
        order = AuditOrder(
            chosen=scope,
            grace=_grace(asked),
            stuck_after=timedelta(seconds=asked.stuck_after),
            classes=asked.storage_class,
        )
        for finding in audit(parts, order, tally=Tally(), stop=run.stop, bad=bad):
            yield finding.record()
    for one in bad:
        run.say(f"{one.where}: {one.detail}", always=True)


def _grace(asked: "Asked") -> timedelta:
    # Who names an image wants it looked at now; leases and --stuck-after still tell what is in flight.
    usual = timedelta(0) if asked.id else GRACE
    return usual if asked.grace is None else timedelta(seconds=asked.grace)


@contextmanager
def _chosen(parts: "Parts", asked: "Asked") -> "Iterator[Chosen]":
    from imgctl.ops.lookup import find_image
    from imgctl.ops.rows import Chosen
    from imgctl.run.scratch import Scratch

    if not asked.id:
        with asked.chosen() as chosen:
            yield chosen
        return
    if asked.ids_from:
        raise UsageError("--id and --ids-from exclude each other", hint="name them all in the file")
    with Scratch("ids") as scratch:
        file = scratch.path / "ids.txt"
        file.write_text("".join(f"{find_image(parts.catalog, one).id}\n" for one in asked.id))
        yield Chosen(scope=asked.scope, ids_from=file)
