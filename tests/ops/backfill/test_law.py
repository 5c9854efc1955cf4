"""A backfill changes exactly the selected rows, once, and leaves everything else byte for byte."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.keys import key_of
from imgctl.model import Image, Status, Variant
from imgctl.ops.backfill.options import Fate, Mode, Selection, Shard
from tests.ops.backfill.archive import CURRENT, STALE, Snapshot, Sort, archive_of, fill, settings_for, snapshot
from tests.parts.seaweed import S3Server
from tests.soak import rounds

_SOME = st.frozensets(st.sampled_from(Variant), max_size=2)


@st.composite
def _sorts(draw: st.DrawFn) -> Sort:
    archived = draw(st.booleans())
    return Sort(
        status=draw(st.sampled_from([Status.READY] * 5 + [Status.PROCESSING, Status.FAILED, Status.UPLOADING])),
        recipe=draw(st.sampled_from([CURRENT, STALE, None])),
        null=draw(st.one_of(st.just(frozenset()), _SOME, st.just(frozenset(Variant)))),
        missing=draw(_SOME),
        empty=draw(_SOME),
        archived=archived,
        # The row may differ from the store.
        cold=draw(st.sampled_from([archived, archived, archived, not archived])),
        restored=archived and draw(st.booleans()),
        recorded_restored=False,
        lapsed=draw(st.sampled_from([False, False, False, True])),
    )


_SELECTIONS = st.builds(
    Selection,
    mode=st.sampled_from(Mode),
    variants=st.sets(st.sampled_from(Variant), min_size=1).map(
        lambda some: tuple(one for one in Variant if one in some)
    ),
    recipe=st.just(CURRENT),
    shard=st.sampled_from([None, None, Shard(number=1, count=2), Shard(number=2, count=2)]),
    verify=st.booleans(),
)


def _expected(row: Image, sort: Sort, selection: Selection) -> set[Variant]:
    """The variants to build, computed independently of the code."""
    if sort.status is not Status.READY:
        return set()
    if selection.shard and int(row.id.hex[-7:], 16) % selection.shard.count + 1 != selection.shard.number:
        return set()
    chosen = set(selection.variants)
    if selection.mode is Mode.FORCE or (selection.mode is Mode.STALE and sort.recipe != CURRENT):
        return chosen
    lacking = set(sort.null)
    if selection.verify:
        lacking |= sort.missing | sort.empty
    return chosen & lacking


def assert_exactly_touched(found: Settings, sorts: Sequence[Sort], selection: Selection) -> None:
    with archive_of(found, sorts) as (parts, rows):
        before = snapshot(parts)
        outcomes = fill(parts, selection)
        after = snapshot(parts)
        again = [] if selection.forgets else fill(parts, selection)
        end = snapshot(parts)

    wanted = {row.id: _expected(row, sort, selection) for row, sort in zip(rows, sorts, strict=True)}
    readable = {row.id: not sort.archived or sort.restored for row, sort in zip(rows, sorts, strict=True)}
    fates = {
        image: Fate.BUILT if readable[image] else Fate.NEEDS_RESTORE for image, variants in wanted.items() if variants
    }
    assert Counter((one.id, one.fate) for one in outcomes) == Counter(fates.items())
    for row, sort in zip(rows, sorts, strict=True):
        built = wanted[row.id] if readable[row.id] else set()
        _check_row(before, after, row, sort, built, tried=bool(wanted[row.id]))
    assert set(after.blobs) == {key for row in after.rows.values() for key in _keys(row, after, before)}
    assert after.classes == before.classes | dict.fromkeys(set(after.blobs) - set(before.blobs), "STANDARD")
    assert {one.fate for one in again} <= {Fate.NEEDS_RESTORE}
    assert end == after


def _check_row(before: Snapshot, after: Snapshot, row: Image, sort: Sort, built: set[Variant], *, tried: bool) -> None:
    old, new = before.rows[row.id], after.rows[row.id]
    if built:
        keys = {f"{one}_key": key_of(row.id, one, "jpg") for one in built}
        recipe = CURRENT if built == set(Variant) else old.recipe
        built_values = {"attempts": 4, "forgiven": 2, "leased_until": None, "recipe": recipe, "height": 64}
        old = replace(old, **keys, **built_values)  # type: ignore[arg-type]
    elif new.attempts != old.attempts:
        # Claimed from a dead run, or tried because the row does not record its original as archived.
        assert (sort.lapsed and sort.status is Status.READY) or (tried and sort.archived and not sort.cold)
        old = replace(old, attempts=4, forgiven=2, leased_until=None)
    # The recorded storage class of a cold original may be corrected during the run.
    storage = {"storage_class": new.storage_class, "restored_until": new.restored_until}
    assert new == replace(old, **storage)  # type: ignore[arg-type]
    assert new.storage_class in (old.storage_class, "GLACIER" if sort.archived else "STANDARD")
    for variant in Variant:
        key = key_of(row.id, variant, "jpg")
        if variant in built:
            assert after.blobs[key].startswith(b"\xff\xd8")
        else:
            assert after.blobs.get(key) == before.blobs.get(key)


def _keys(row: Image, after: Snapshot, before: Snapshot) -> list[str]:
    """The row's keys that have a blob."""
    named = [row.original_key, *(row.key(one) for one in Variant)]
    return [key for key in named if key and key in after.blobs]


@settings(
    max_examples=rounds(12, 60), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(sorts=st.lists(_sorts(), min_size=1, max_size=5), selection=_SELECTIONS)
def test_exactly_the_right_rows_are_touched_in_a_directory(
    template: Path, sorts: list[Sort], selection: Selection
) -> None:
    with TemporaryDirectory() as place:
        shutil.copy(template, f"{place}/catalog.db")
        store = StoreSettings(url=f"file://{place}/blobs")
        assert_exactly_touched(settings_for(f"sqlite:///{place}/catalog.db", store), sorts, selection)


@settings(max_examples=rounds(2, 20), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(sorts=st.lists(_sorts(), min_size=1, max_size=4), selection=_SELECTIONS)
def test_exactly_the_right_rows_are_touched_on_servers(
    postgres_url: str, moto_s3: S3Server, sorts: list[Sort], selection: Selection
) -> None:
    store = moto_s3.settings(moto_s3.new_bucket())
    assert_exactly_touched(settings_for(postgres_url, store), sorts, selection)
