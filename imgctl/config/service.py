"""Settings of the HTTP API, queues, webhooks, metrics, traces and the log."""

from dataclasses import dataclass
from typing import Literal

from imgctl.config.setting_field import DAY, LARGEST, PREFIX, setting

# A token is stored as its SHA-256, so that reading the configuration does not reveal it.
UUID = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
BEARER = rf"[^:,\s]+:(?:read|write|erase|events)(?:\+(?:read|write|erase|events))*:(?:\*|{UUID}):[0-9a-f]{{64}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Settings of `listen` and POST /events: how objects of a bucket are ingested."""

    sqs: str = setting(
        "", "the SQS queue that receives the bucket's events: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    )
    dead_letter: str = setting(
        "", "the SQS queue for messages that cannot be ingested; empty: that of the queue's redrive policy"
    )
    hold: float = setting(
        60.0,
        "how long a received message stays hidden from other consumers; renewed while it is processed",
        unit="seconds",
        least=1,
        most=43200,
    )
    inbox: str = setting(
        "", "the prefix for photos to ingest, below the store's URL; ends in a slash: inbox/", pattern=PREFIX
    )
    user_from: tuple[str, ...] = setting(
        (), 'patterns that find the owner in a key below the inbox; the first match is used: ["{user}/**"]'
    )
    user: str = setting(
        "", "the owner of objects for which user_from finds none; empty: such objects fail", pattern=f"({UUID})?"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Settings of the HTTP API."""

    host: str = setting("127.0.0.1", "the address it listens on; any address but loopback requires tokens")
    port: int = setting(8080, "the port it listens on; 0: any free one", least=0, most=65535)
    tokens: tuple[str, ...] = setting(
        (),
        "the accepted tokens, each NAME:read+write:USER:HASH (USER a UUID, or * for all); see `imgctl serve --make-token`",
        pattern=BEARER,
        secret=True,
    )
    processes: int = setting(
        1, "how many processes serve the port; they share `memory` equally; 0: one for each core", least=0, most=256
    )
    memory: int = setting(
        256 * 2**20, "how many bytes of uploads are held in memory at once", unit="bytes", least=2**20, most=LARGEST
    )
    max_bytes: int = setting(100 * 2**20, "an upload of more bytes is rejected", unit="bytes", least=1, most=LARGEST)
    rate: int = setting(
        0, "how many requests a minute each caller may send to one process; 0: no limit", least=0, most=10**6
    )
    timeout: float = setting(
        30.0,
        "a client that for this long sends nothing, or reads less than 256 bytes a second, is disconnected",
        unit="seconds",
        least=0.1,
        most=DAY,
    )
    links: float = setting(900.0, "how long links in responses are valid", unit="seconds", least=2, most=3600)
    spool: str = setting("", "the directory for incomplete uploads; empty: the system's directory for temporary files")
    secret: str = setting(
        "",
        "the key that signs links and erasure receipts; empty: links have a new random key at each start, erasures are refused",
        secret=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Settings of notifications: finished images, and the start and end of commands."""

    webhook_url: str = setting(
        "",
        "the URL to which workers post finished images: https://app.example.org/hook",
        pattern="(https?://[^\\s@]+)?",
        secret=True,
    )
    secret: str = setting("", "the key that signs the messages (HMAC-SHA256)", secret=True)
    ping_url: str = setting(
        "",
        "the monitor to notify of the start and result of a command, like healthchecks.io: https://hc-ping.com/UUID",
        pattern="(https?://[^\\s/]\\S*)?",
        secret=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Settings of the metrics for Prometheus."""

    port: int = setting(0, "the port at which a command serves /metrics while it runs; 0: none", least=0, most=65535)
    host: str = setting("127.0.0.1", "the address of that port: 0.0.0.0 for all of the machine's")
    textfile: str = setting(
        "", "the file for node_exporter's textfile collector: /var/lib/node_exporter/imgctl-{command}.prom"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSettings:
    """Settings of OpenTelemetry traces and metrics; the OTEL_… variables set the destination."""

    enabled: bool = setting(
        default=False, doc="send traces and metrics by OTLP over HTTP, configured by the OTEL_… variables"
    )
    sample: float = setting(
        0.01, "the share of images and requests to trace; failures and commands are always traced", least=0, most=1
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Settings of the log; all processes share one rotating file."""

    file: str = setting("", "the log file; empty: none")
    format: Literal["plain", "json"] = setting("plain", "plain or json (one object a line)")
    level: Literal["debug", "info", "warning", "error"] = setting("info", "debug, info, warning or error")
    max_bytes: int = setting(16 * 2**20, "the file is rotated at this size", unit="bytes", least=4096, most=LARGEST)
    backups: int = setting(5, "how many rotated files are kept", least=0, most=1000)
