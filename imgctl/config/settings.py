"""Every setting with its default; `config.example.toml` shows the same values and a test holds them equal.

A field's metadata says what it means and how its text reads: `seconds` (`60s`, `15m`), `bytes` (`512MiB`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec
from imgctl.users import UUID_PATTERN

T = TypeVar("T")
Unit = Literal["", "seconds", "bytes"]

# What every store can hold and list, short enough for the catalog's columns of 255 characters.
PREFIX = r"(?=.{0,150}$)(?:(?!\.)[^/\x00-\x1f\x7f\ud800-\udfff]+/)*"

# No machine has more; what is larger was a slip of the hand.
_LARGEST = 2**50
_DAY = 86400.0

# A token is stored as its SHA-256: who reads the configuration cannot use it.
UUID = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
BEARER = rf"[^:,\s]+:(?:read|write|erase|events)(?:\+(?:read|write|erase|events))*:(?:\*|{UUID}):[0-9a-f]{{64}}"


def setting(
    default: T,
    doc: str,
    *,
    unit: Unit = "",
    least: float | None = None,
    most: float | None = None,
    pattern: str = ".*",
) -> T:
    """One setting: its default, one line of help, and the bounds or the pattern (of each text) its value must keep."""
    rules = {"doc": doc, "unit": unit, "least": least, "most": most, "pattern": pattern}
    value: T = field(default=default, metadata=rules)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSettings:
    """Where the rows are."""

    url: str = setting(
        "sqlite:///imgctl-data/catalog.db",
        "where the rows are: sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where the bytes are."""

    url: str = setting(
        "file://imgctl-data/blobs",
        "where the bytes are: file://PATH, s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or az://CONTAINER[/PREFIX]",
    )
    endpoint_url: str = setting("", "the endpoint, when it is not the provider's own: http://127.0.0.1:8333")
    region: str = setting("", "the bucket's region; empty: what the AWS chain says, else us-east-1")
    profile: str = setting("", "the AWS profile whose credentials are used; empty: what the AWS chain says")
    account: str = setting("", "the storage account of an az:// container; empty: AZURE_STORAGE_ACCOUNT_NAME")
    originals_prefix: str = setting(
        "",
        "put before the keys of originals, for policies and lifecycle rules; ends in a slash: originals/",
        pattern=PREFIX,
    )
    variants_prefix: str = setting("", "put before the keys of variants: variants/", pattern=PREFIX)
    timeout: float = setting(
        60.0, "a request that takes longer is given up and retried", unit="seconds", least=0.1, most=_DAY
    )
    archive: str = setting(
        "", "the directory of archived originals of a file:// store; empty: beside the store, `.archive` appended"
    )
    ca_bundle: str = setting(
        "", "the PEM file of a private CA; empty: AWS_CA_BUNDLE, the AWS config's ca_bundle, SSL_CERT_FILE"
    )
    addressing: Literal["auto", "path", "virtual"] = setting(
        "auto", "where the bucket's name stands: in the path, or in the host (virtual); auto: in the host at AWS alone"
    )
    checksum: Literal["crc64nvme", "none"] = setting(
        "crc64nvme", "the checksum that puts carry; none: for servers that refuse checksum headers"
    )
    encryption: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = setting(
        "", "the server-side encryption that puts ask for: AES256, aws:kms or aws:kms:dsse; empty: the bucket's own"
    )
    kms_key_id: str = setting("", "the KMS key of aws:kms and aws:kms:dsse; empty: AWS's own")
    bucket_key: bool = setting(default=False, doc="ask for an S3 Bucket Key with aws:kms, which saves requests to KMS")
    requester_pays: bool = setting(default=False, doc="agree to pay for requests to a requester-pays bucket")
    dual_stack: bool = setting(default=False, doc="use AWS's endpoints for IPv6 and IPv4")
    fips: bool = setting(default=False, doc="use AWS's FIPS endpoints")
    retries: int = setting(
        8, "how often one request is tried again after 5xx, 429, a reset or a timeout", least=0, most=100
    )
    # Of sources alone.
    anonymous: bool = False

    def as_source(self, url: str) -> "SourceSettings":
        """The same as settings of a source at `url`."""
        return SourceSettings(
            url=url,
            endpoint_url=self.endpoint_url,
            region=self.region,
            profile=self.profile,
            requester_pays=self.requester_pays,
            addressing=self.addressing,
            ca_bundle=self.ca_bundle,
            timeout=self.timeout,
            retries=self.retries,
        )

    def endpoint(self, environ: Mapping[str, str]) -> str:
        """The URL of the endpoint in force: this one, or what the AWS chain's variables name; empty for AWS itself."""
        named = (environ.get(name, "").strip() for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
        return self.endpoint_url or next(filter(None, named), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """A bucket to upload from, `source:NAME` on the command line; its credentials come from their own chain."""

    url: str = setting("", "what to upload from: s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or az://CONTAINER[/PREFIX]")
    endpoint_url: str = setting("", "the endpoint, when it is not the provider's own: https://s3.example.org")
    region: str = setting("", "the bucket's region; empty: what the AWS chain says, else us-east-1")
    profile: str = setting("", "the AWS profile whose credentials are used; empty: what the AWS chain says")
    account: str = setting("", "the storage account of an az:// container; empty: AZURE_STORAGE_ACCOUNT_NAME")
    anonymous: bool = setting(default=False, doc="send no credentials: for public buckets")
    requester_pays: bool = setting(default=False, doc="agree to pay for requests to a requester-pays bucket")
    addressing: Literal["auto", "path", "virtual"] = setting(
        "auto", "where the bucket's name stands: in the path, or in the host (virtual); auto: in the host at AWS alone"
    )
    ca_bundle: str = setting(
        "", "the PEM file of a private CA; empty: AWS_CA_BUNDLE, the AWS config's ca_bundle, SSL_CERT_FILE"
    )
    timeout: float = setting(
        60.0, "a request that takes longer is given up and retried", unit="seconds", least=0.1, most=_DAY
    )
    retries: int = setting(
        8, "how often one request is tried again after 5xx, 429, a reset or a timeout", least=0, most=100
    )

    def as_store(self) -> StoreSettings:
        """The same as settings of a store."""
        return StoreSettings(
            url=self.url,
            endpoint_url=self.endpoint_url,
            region=self.region,
            profile=self.profile,
            requester_pays=self.requester_pays,
            addressing=self.addressing,
            ca_bundle=self.ca_bundle,
            timeout=self.timeout,
            retries=self.retries,
            anonymous=self.anonymous,
        )


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
        512 * 2**20, "how many bytes of photos are held at once", unit="bytes", least=2**20, most=_LARGEST
    )
    bwlimit: int = setting(0, "how many bytes are put a second; 0: no bound", unit="bytes", least=0, most=_LARGEST)
    journal: str = setting(
        "", "the file that remembers what was uploaded; empty: in the state directory; none: no file"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """What `listen` and POST /events take of a bucket."""

    sqs: str = setting(
        "", "the SQS queue that hears of the bucket's objects: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    )
    dead_letter: str = setting(
        "", "the SQS queue for what cannot be taken in; empty: that of the queue's redrive policy"
    )
    hold: float = setting(
        60.0, "how long a message stays hidden from others, unless it is worked on", unit="seconds", least=1, most=43200
    )
    inbox: str = setting(
        "", "where others put photos to be taken in, below the store's url; ends in a slash: inbox/", pattern=PREFIX
    )
    user_from: tuple[str, ...] = setting(
        (), 'where the owner stands in a key below the inbox, the first that fits: ["{user}/**"]'
    )
    user: str = setting(
        "", "the owner of what user_from finds none for; empty: such objects fail", pattern=f"({UUID})?"
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
        most=_DAY,
    )
    memory: int = setting(
        4 * 2**30,
        "how much memory a rendering process may take; what cannot fit is refused by its header",
        unit="bytes",
        least=512 * 2**20,
        most=_LARGEST,
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
        most=_DAY,
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
class ServeSettings:
    """How the HTTP API runs."""

    host: str = setting("127.0.0.1", "where it listens; anything but loopback wants tokens")
    port: int = setting(8080, "the port it listens on; 0: any free one", least=0, most=65535)
    tokens: tuple[str, ...] = setting(
        (),
        "who may, each NAME:read+write:USER:HASH (USER a UUID, or * for all), as `imgctl serve --make-token` prints it",
        pattern=BEARER,
    )
    processes: int = setting(
        1, "how many processes serve the port, a share of `memory` each; 0: one for each core", least=0, most=256
    )
    memory: int = setting(
        256 * 2**20, "how many bytes of uploads are held at once", unit="bytes", least=2**20, most=_LARGEST
    )
    max_bytes: int = setting(100 * 2**20, "an upload of more bytes is refused", unit="bytes", least=1, most=_LARGEST)
    rate: int = setting(
        0, "how many requests a minute each caller may make of one process; 0: no bound", least=0, most=10**6
    )
    timeout: float = setting(
        30.0, "a client that sends nothing for so long is let go", unit="seconds", least=0.1, most=_DAY
    )
    links: float = setting(900.0, "how long the links it hands out work", unit="seconds", least=2, most=3600)
    spool: str = setting("", "the directory where uploads wait to be whole; empty: the system's own for such files")
    secret: str = setting("", "what signs links, and receipts of erasures; empty: another one at each start")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Who is told of finished images, and that a command began and ended."""

    webhook_url: str = setting(
        "", "where workers post finished images: https://app.example.org/hook", pattern="(https?://[^\\s@]+)?"
    )
    secret: str = setting("", "what the messages are signed with (HMAC-SHA256)")
    ping_url: str = setting(
        "",
        "the monitor that is told when a command begins and how it ends, as healthchecks.io is: https://hc-ping.com/UUID",
        pattern="(https?://[^\\s/]\\S*)?",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where commands show their numbers to Prometheus."""

    port: int = setting(0, "the port at which a command serves /metrics while it runs; 0: none", least=0, most=65535)
    host: str = setting("127.0.0.1", "the address of that port: 0.0.0.0 for all of the machine's")
    textfile: str = setting(
        "", "the file for node_exporter's textfile collector: /var/lib/node_exporter/imgctl-{command}.prom"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSettings:
    """Traces and metrics by OpenTelemetry; where to, the OTEL_… variables say."""

    enabled: bool = setting(default=False, doc="send traces and metrics by OTLP over HTTP, as the OTEL_… variables say")
    sample: float = setting(
        0.01, "which share of images and requests is traced; failures and commands always are", least=0, most=1
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Where the log goes; all processes share one rotating file."""

    file: str = setting("", "the log file; empty: none")
    format: Literal["plain", "json"] = setting("plain", "plain or json (one object a line)")
    level: Literal["debug", "info", "warning", "error"] = setting("info", "debug, info, warning or error")
    max_bytes: int = setting(16 * 2**20, "the file is rotated at this size", unit="bytes", least=4096, most=_LARGEST)
    backups: int = setting(5, "how many rotated files are kept", least=0, most=1000)


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
