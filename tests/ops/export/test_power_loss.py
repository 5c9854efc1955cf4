"""What the state of an export calls written is on disk, whatever a power loss takes."""

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from threading import Event

import pytest

from imgctl.ops.common.open import open_parts
from imgctl.ops.export.job import ExportJob
from imgctl.ops.export.options import ExportOrder
from imgctl.ops.export.sinks import Written
from imgctl.ops.export.state import State
from imgctl.ops.export.zips import ZipSink
from imgctl.store.catalog.queries import lookups
from tests.ops.export.archive import USER, Kept, fill, settings_in

PAGE, PAGES = 5, 4


class Disk(ZipSink):
    """A ZIP file; `unsafe` are the members that no sync has covered."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.unsafe: set[int] = set()

    def put(
        self, path: str, pieces: Iterable[bytes], *, content_type: str, at: datetime, over: bool = False
    ) -> Written:
        written = super().put(path, pieces, content_type=content_type, at=at, over=over)
        self.unsafe.add(written.start)
        return written

    def sync(self) -> None:
        covered = set(self.unsafe)
        super().sync()
        self.unsafe -= covered


class Saved(State):
    """A state that notes which unsafe members each of its saves calls written."""

    def __init__(self, file: Path, disk: Disk) -> None:
        super().__init__(file)
        self.disk = disk
        self.lost: list[int] = []

    def save(self) -> None:
        named = {one.written.start for one in self.members()}
        self.lost += sorted(named & self.disk.unsafe)
        super().save()


def test_a_member_of_a_zip_is_on_disk_before_the_state_names_it(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "PAGE_ROWS", PAGE)
    settings = settings_in(tmp_path / "archive", template)
    out = Disk(tmp_path / "bag.zip")
    state = Saved(tmp_path / "state.db", out)
    with closing(out), closing(state), open_parts(settings) as parts:
        fill(parts, [Kept(name=f"{number}.jpg") for number in range(PAGE * PAGES)])
        job = ExportJob(parts=parts, order=ExportOrder(user=USER, out=str(tmp_path / "bag.zip")), stop=Event())
        out.begin(0)

        outcomes = list(job.write(out, state))

    assert len(outcomes) == PAGE * PAGES
    assert job.complete
    assert not state.lost
