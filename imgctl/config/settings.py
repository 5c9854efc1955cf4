"""Every setting with its default; a test checks that `config.example.toml` shows the same values.

A field's metadata holds its help text and its unit: `seconds` (`60s`, `15m`), `bytes` (`512MiB`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imgctl.config.catalog_store import CatalogSettings, SourceSettings, StoreSettings
from imgctl.config.service import (
    ListenSettings,
    LogSettings,
    MetricsSettings,
    NotifySettings,
    OtelSettings,
    ServeSettings,
)
from imgctl.config.setting_field import DAY, LARGEST, setting
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec
from imgctl.users import UUID_PATTERN


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersSettings:
    """Settings of user names."""

    namespace: str = setting(
        "",
        "a UUID that you choose once: user names and numbers map to UUIDv5 in it; empty: only UUIDs are accepted",
        pattern=f"({UUID_PATTERN})?",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """How uploads run."""

    concurrency: int = setting(0, "how many puts are in flight; 0: adapts to the store", least=0, most=1024)
    memory: int = setting(
        512 * 2**20, "how many bytes of photos are held in memory at once", unit="bytes", least=2**20, most=LARGEST
    )
    processes: int = setting(
        1,
        "2: the catalog has a process of its own, for very many small photos",
        least=1,
        most=2,
    )
    bwlimit: int = setting(0, "how many bytes are uploaded a second; 0: no limit", unit="bytes", least=0, most=LARGEST)
    journal: str = setting("", "the file that records finished uploads; empty: in the state directory; none: no file")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSettings:
    """How the worker pool runs."""

    jobs: int = setting(0, "on how many cores to render, with two processes each; 0: all", least=0, most=1024)
    timeout: float = setting(
        60.0,
        "rendering is cancelled after this long; above 100 megapixels the limit grows in proportion",
        unit="seconds",
        least=1,
        most=DAY,
    )
    memory: int = setting(
        4 * 2**30,
        "how much memory a rendering process may use; pictures that cannot fit are rejected by their header",
        unit="bytes",
        least=512 * 2**20,
        most=LARGEST,
    )
    lease: float = setting(60.0, "how long a claim lasts unless renewed", unit="seconds", least=1, most=3600)
    max_attempts: int = setting(5, "how many attempts a picture has before its row turns failed", least=1, most=100)
    max_pixels: int = setting(
        500_000_000, "a picture with more pixels is rejected by its header, with any decoder", least=1, most=10**12
    )
    scheduler: str = setting(
        "", "the Dask scheduler whose workers render: tcp://HOST:8786; empty: this machine's processes"
    )
    poll: float = setting(
        2.0,
        "how often an idle worker checks for work; Postgres also notifies it at once",
        unit="seconds",
        least=0.1,
        most=DAY,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSettings:
    """Settings of one variant."""

    max_edge_px: int = setting(320, "the longest edge in pixels; never upscaled", least=1, most=16383)
    quality: int = setting(80, "the encoder's quality", least=1, most=100)
    format: VariantFormat = setting(VariantFormat.JPEG, "jpeg, webp or avif")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantsSettings:
    """Settings of all variants."""

    background: str = setting(
        "#ffffff", "the background colour behind transparent pixels, as #rrggbb", pattern="#[0-9a-fA-F]{6}"
    )
    keep: tuple[str, ...] = setting((), 'the metadata to keep in variants: ["copyright"] or empty', pattern="copyright")
    thumb: VariantSettings = VariantSettings(max_edge_px=320, quality=80)
    medium: VariantSettings = VariantSettings(max_edge_px=1080, quality=82)
    full: VariantSettings = VariantSettings(max_edge_px=2048, quality=85)

    def recipe(self) -> Recipe:
        """Return these settings as a recipe for rendering."""
        named = ((Variant.THUMB, self.thumb), (Variant.MEDIUM, self.medium), (Variant.FULL, self.full))
        specs = tuple(
            VariantSpec(variant=name, max_edge_px=one.max_edge_px, quality=one.quality, format=one.format)
            for name, one in named
        )
        return Recipe(variants=specs, background=self.background, keep=self.keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Settings of links to blobs."""

    cdn: str = setting(
        "",
        "the CDN in front of the variants: https://images.example.org; empty: signed links to the store",
        pattern="(https?://[^\\s@]+)?",
    )
    expires: float = setting(3600.0, "how long a signed link is valid", unit="seconds", least=1, most=7 * 86400)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSettings:
    """Settings of cost estimates."""

    card: str = setting(
        "",
        "the price card: a TOML file, or the name of a built-in one (gs-us-central1); empty: the card of the store's provider",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FindSettings:
    """Settings of the indexes for `imgctl find`."""

    index: bool = setting(
        default=False,
        doc="whether `imgctl init` builds indexes of names, capture times and contents over all users: about 70 bytes a row",
    )
    near: bool = setting(
        default=False,
        doc="whether workers and backfills store image fingerprints for `imgctl find --near`: about 130 bytes an image",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, one field for each section; `file` is the loaded file, `sources` its [source.NAME] tables."""

    catalog: CatalogSettings = CatalogSettings()
    store: StoreSettings = StoreSettings()
    users: UsersSettings = UsersSettings()
    upload: UploadSettings = UploadSettings()
    listen: ListenSettings = ListenSettings()
    work: WorkSettings = WorkSettings()
    variants: VariantsSettings = VariantsSettings()
    links: LinkSettings = LinkSettings()
    cost: CostSettings = CostSettings()
    find: FindSettings = FindSettings()
    serve: ServeSettings = ServeSettings()
    notify: NotifySettings = NotifySettings()
    metrics: MetricsSettings = MetricsSettings()
    otel: OtelSettings = OtelSettings()
    log: LogSettings = LogSettings()
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    file: Path | None = None

    @property
    def inbox_url(self) -> str:
        """The URL of the inbox, `s3://…/`; empty if none is set or the store is not S3."""
        bucket = self.store.url.startswith("s3://") and self.listen.inbox
        return f"{self.store.url.rstrip('/')}/{self.listen.inbox}" if bucket else ""
