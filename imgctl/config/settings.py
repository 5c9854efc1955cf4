"""Every setting with its default; `config.example.toml` shows the same values and a test holds them equal.

A field's metadata says what it means and how its text reads: `seconds` (`60s`, `15m`), `bytes` (`512MiB`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imgctl.config.places import CatalogSettings, SourceSettings, StoreSettings
from imgctl.config.service import (
    ListenSettings,
    LogSettings,
    MetricsSettings,
    NotifySettings,
    OtelSettings,
    ServeSettings,
)
from imgctl.config.setting import DAY, LARGEST, setting
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec
from imgctl.users import UUID_PATTERN


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersSettings:
    """How users may be named."""

    namespace: str = setting(
        "",
        "a UUID of your own: names and numbers of users map to UUIDv5 of it, the same for ever; empty: users are UUIDs",
        pattern=f"({UUID_PATTERN})?",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """How uploads run."""

    concurrency: int = setting(
        0, "how many puts are in flight; 0: as many as the store is found to take", least=0, most=1024
    )
    memory: int = setting(
        512 * 2**20, "how many bytes of photos are held at once", unit="bytes", least=2**20, most=LARGEST
    )
    bwlimit: int = setting(0, "how many bytes are put a second; 0: no bound", unit="bytes", least=0, most=LARGEST)
    journal: str = setting(
        "", "the file that remembers what was uploaded; empty: in the state directory; none: no file"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSettings:
    """How the worker pool runs."""

    jobs: int = setting(0, "how many processes render; 0: one for each core", least=0, most=1024)
    timeout: float = setting(
        60.0,
        "a picture that renders longer is given up; above 100 megapixels it has longer in proportion",
        unit="seconds",
        least=1,
        most=DAY,
    )
    memory: int = setting(
        4 * 2**30,
        "how much memory a rendering process may take; what cannot fit is refused by its header",
        unit="bytes",
        least=512 * 2**20,
        most=LARGEST,
    )
    lease: float = setting(60.0, "how long a claim lasts unless renewed", unit="seconds", least=1, most=3600)
    max_attempts: int = setting(5, "how often a picture is tried before its row is failed", least=1, most=100)
    max_pixels: int = setting(
        500_000_000, "a picture of more pixels is refused by its header, whatever would decode it", least=1, most=10**12
    )
    scheduler: str = setting(
        "", "the Dask scheduler whose workers render: tcp://HOST:8786; empty: this machine's processes"
    )
    poll: float = setting(
        2.0,
        "an idle worker looks for work again after this; Postgres also wakes it at once",
        unit="seconds",
        least=0.1,
        most=DAY,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSettings:
    """How one variant is built."""

    max_edge_px: int = setting(320, "the longest edge in pixels; never upscaled", least=1, most=16383)
    quality: int = setting(80, "the encoder's quality", least=1, most=100)
    format: VariantFormat = setting(VariantFormat.JPEG, "jpeg, webp or avif")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantsSettings:
    """What is built from an original."""

    background: str = setting("#ffffff", "what shows through transparency, as #rrggbb", pattern="#[0-9a-fA-F]{6}")
    keep: tuple[str, ...] = setting(
        (), 'metadata that stays in variants: ["copyright"] or nothing', pattern="copyright"
    )
    thumb: VariantSettings = VariantSettings(max_edge_px=320, quality=80)
    medium: VariantSettings = VariantSettings(max_edge_px=1080, quality=82)
    full: VariantSettings = VariantSettings(max_edge_px=2048, quality=85)

    def recipe(self) -> Recipe:
        """These settings as the recipe that renders follow."""
        named = ((Variant.THUMB, self.thumb), (Variant.MEDIUM, self.medium), (Variant.FULL, self.full))
        specs = tuple(
            VariantSpec(variant=name, max_edge_px=one.max_edge_px, quality=one.quality, format=one.format)
            for name, one in named
        )
        return Recipe(variants=specs, background=self.background, keep=self.keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """What links to blobs look like."""

    cdn: str = setting(
        "",
        "the CDN in front of the variants: https://images.example.org; empty: signed links to the store",
        pattern="(https?://[^\\s@]+)?",
    )
    expires: float = setting(3600.0, "how long a signed link works", unit="seconds", least=1, most=7 * 86400)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSettings:
    """What things cost."""

    card: str = setting(
        "",
        "the price card: a TOML file, or the name of one that comes with imgctl (gs-us-central1); empty: that of who bills the store",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FindSettings:
    """What `imgctl find` answers at once."""

    index: bool = setting(
        default=False,
        doc="whether `imgctl init` builds indexes of names, capture times and contents over all users: some 70 bytes a row",
    )
    near: bool = setting(
        default=False,
        doc="whether workers and backfills note what images look like, for `imgctl find --near`: some 130 bytes an image",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything configurable, one section a field; `file` is what it came from, `sources` its [source.NAME] tables."""

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
        """Where others put photos, `s3://…/`; empty where there is no such place."""
        bucket = self.store.url.startswith("s3://") and self.listen.inbox
        return f"{self.store.url.rstrip('/')}/{self.listen.inbox}" if bucket else ""
