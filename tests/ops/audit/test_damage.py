"""An audit of any random damage finds exactly that damage, on both databases and both kinds of store."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgctl.ops.audit.findings import Code
from imgctl.ops.audit.options import AuditOrder
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.ops.audit.archive import AT_ONCE, Archive, archive_of, local, summary
from tests.ops.audit.damages import DAMAGES
from tests.parts.clouds import CloudServer
from tests.parts.seaweed import S3Server
from tests.soak import rounds

CHOICES = st.lists(st.tuples(st.integers(0, len(DAMAGES) - 1), st.integers(0, 1000)), min_size=1, max_size=8)
FULL = AuditOrder(grace=AT_ONCE.grace, classes=True, stale=True, deep=True)


@contextmanager
def embedded(template: Path, *, apart: bool) -> Iterator[Archive]:
    with TemporaryDirectory() as place:
        directory = Path(place)
        shutil.copy(template, directory / "catalog.db")
        catalog = open_catalog(f"sqlite:///{directory}/catalog.db")
        yield archive_of(catalog, local(directory, apart=apart))
        catalog.close()


def damaged(archive: Archive, choices: list[tuple[int, int]]) -> list[tuple[Code, str]]:
    """Damage a photo for each choice; return the expected findings, sorted."""
    photos = archive.add(len(choices) + 2)
    expected = []
    for (number, seed), photo in zip(choices, photos, strict=False):
        expected += DAMAGES[number](archive, photo, seed)
    return sorted(expected)


@settings(
    max_examples=rounds(12, 100), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(choices=CHOICES, apart=st.booleans())
def test_an_audit_finds_exactly_the_damage(template: Path, *, choices: list[tuple[int, int]], apart: bool) -> None:
    with embedded(template, apart=apart) as archive:
        expected = damaged(archive, choices)

        assert summary(archive.audit(FULL)) == expected


@settings(max_examples=rounds(2, 20), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(choices=CHOICES, apart=st.booleans())
def test_an_audit_finds_exactly_the_damage_on_servers(
    seaweed: S3Server, postgres_url: str, *, choices: list[tuple[int, int]], apart: bool
) -> None:
    catalog = open_catalog(postgres_url)
    with catalog.write() as connection:
        connection.execute(images.delete())
    store = seaweed.settings(seaweed.new_bucket())
    prefixed = replace(store, originals_prefix="originals/", variants_prefix="variants/")
    archive = archive_of(catalog, prefixed if apart else store)
    try:
        expected = damaged(archive, choices)

        assert summary(archive.audit(FULL)) == expected
    finally:
        catalog.close()


@settings(max_examples=rounds(2, 20), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(choices=CHOICES, apart=st.booleans())
def test_an_audit_finds_exactly_the_damage_in_azure(
    azurite: CloudServer, template: Path, *, choices: list[tuple[int, int]], apart: bool
) -> None:
    store = azurite.settings(azurite.new_bucket())
    prefixed = replace(store, originals_prefix="originals/", variants_prefix="variants/")
    with TemporaryDirectory() as place:
        shutil.copy(template, Path(place) / "catalog.db")
        catalog = open_catalog(f"sqlite:///{place}/catalog.db")
        archive = archive_of(catalog, prefixed if apart else store)
        try:
            expected = damaged(archive, choices)

            assert summary(archive.audit(FULL)) == expected
        finally:
            catalog.close()


@pytest.mark.parametrize("number", range(len(DAMAGES)), ids=[one.__name__.strip("_") for one in DAMAGES])
def test_each_damage_is_found_among_one_users_photos(template: Path, number: int) -> None:
    with embedded(template, apart=False) as archive:
        expected = damaged(archive, [(number, 1)])
        # Keys that no row of the user names are found only by a listing.
        beyond = {Code.ORPHAN_BLOB} | ({Code.UNKNOWN_KEY} if "swap" not in DAMAGES[number].__name__ else set())
        order = AuditOrder(chosen=archive.of_user(), grace=FULL.grace, classes=True, stale=True, deep=True)

        assert summary(archive.audit(order)) == [one for one in expected if one[0] not in beyond]
