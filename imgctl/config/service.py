"""How imgctl serves and reports: the HTTP API, queues, webhooks, metrics, traces and the log."""

from dataclasses import dataclass
from typing import Literal

from imgctl.config.setting import DAY, LARGEST, PREFIX, setting

# A token is stored as its SHA-256: who reads the configuration cannot use it.
UUID = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
BEARER = rf"[^:,\s]+:(?:read|write|erase|events)(?:\+(?:read|write|erase|events))*:(?:\*|{UUID}):[0-9a-f]{{64}}"


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
        256 * 2**20, "how many bytes of uploads are held at once", unit="bytes", least=2**20, most=LARGEST
    )
    max_bytes: int = setting(100 * 2**20, "an upload of more bytes is refused", unit="bytes", least=1, most=LARGEST)
    rate: int = setting(
        0, "how many requests a minute each caller may make of one process; 0: no bound", least=0, most=10**6
    )
    timeout: float = setting(
        30.0, "a client that sends nothing for so long is let go", unit="seconds", least=0.1, most=DAY
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
    max_bytes: int = setting(16 * 2**20, "the file is rotated at this size", unit="bytes", least=4096, most=LARGEST)
    backups: int = setting(5, "how many rotated files are kept", least=0, most=1000)
