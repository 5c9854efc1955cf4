"""An SQS queue: messages received, held while they are worked on, deleted, returned, or moved to the dead-letter queue."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError, StoreDenied, StoreError
from imgctl.store.blobs.s3.bucket import bucket_of, open_boto3

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef as Received

T = TypeVar("T")

# The maxima for one SQS request: messages, and seconds to wait for one (SQS API Reference).
MOST_MESSAGES, LONGEST_WAIT_SECONDS = 10, 20
_LONGEST_REASON = 1000
_REASON = "imgctl_reason"
_HOST = re.compile(
    r"(?:sqs|queue)\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?|(?P<legacy>[a-z0-9-]+)\.queue\.amazonaws\.com"
)
_RIGHTS = (
    "allow sqs:ReceiveMessage, DeleteMessage, ChangeMessageVisibility and GetQueueAttributes on it, "
    "and GetQueueUrl and SendMessage on its dead-letter queue"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One delivery of a message: `handle` is valid until the next delivery; `deliveries` counts them."""

    id: str
    body: str
    handle: str
    deliveries: int = 1


class Queue:
    """The queue at `url`, which determines region and server; thread-safe.

    Received messages stay hidden for `hold_seconds`; `hold` extends that. `requests` counts the requests that SQS bills.
    """

    def __init__(self, settings: StoreSettings, url: str, *, hold_seconds: int = 60) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.path.strip("/") or "@" in parts.netloc:
            raise ConfigError(
                f"not the url of an SQS queue: {url!r}", hint="https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
            )
        self.url = url
        self.hold_seconds = hold_seconds
        self.requests = 0
        self._wait_seconds = max(1, min(LONGEST_WAIT_SECONDS, int(settings.timeout / 2)))
        self._bucket = bucket_of(settings)
        self._at = f"{parts.scheme}://{parts.netloc}"
        found = _HOST.fullmatch(parts.hostname or "")
        self._region = (found["region"] or found["legacy"]) if found else ""
        self._opened: SQSClient | None = None

    @property
    def _client(self) -> "SQSClient":
        if self._opened is None:
            where = self._bucket.where
            here = replace(where, region=self._region or where.region)
            self._opened = cast("SQSClient", open_boto3(here, "sqs", at=self._at))
        return self._opened

    def dead_letters(self) -> str | None:
        """Return the URL of the queue's dead-letter queue; None if it has no redrive policy."""
        response = self._call(
            self._client.get_queue_attributes, QueueUrl=self.url, AttributeNames=["RedrivePolicy", "QueueArn"]
        )
        policy = json.loads(response.get("Attributes", {}).get("RedrivePolicy") or "{}")
        target = policy.get("deadLetterTargetArn")
        if not target:
            return None
        *_, account, name = target.split(":")
        return self._call(self._client.get_queue_url, QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]

    def receive(self, *, wait_seconds: int | None = None) -> list[Message]:
        """Receive up to ten messages; waits for the first one, at most twenty seconds."""
        response = self._call(
            self._client.receive_message,
            QueueUrl=self.url,
            MaxNumberOfMessages=MOST_MESSAGES,
            WaitTimeSeconds=self._wait_seconds if wait_seconds is None else wait_seconds,
            VisibilityTimeout=self.hold_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [_message(one) for one in response.get("Messages", ())]

    def delete(self, messages: Iterable[Message]) -> int:
        """Delete messages, ten a request; returns the number of failures, which are delivered again."""
        failed = 0
        for some in _tens(messages):
            entries = [{"Id": str(at), "ReceiptHandle": one.handle} for at, one in enumerate(some)]
            response = self._call(self._client.delete_message_batch, QueueUrl=self.url, Entries=entries)
            failed += len(response.get("Failed", ()))
        return failed

    def hold(self, messages: Iterable[Message], *, seconds: int | None = None) -> None:
        """Keep messages hidden for `seconds` from now, 0 to return them; a message that is already gone is ignored."""
        seconds = self.hold_seconds if seconds is None else seconds
        for some in _tens(messages):
            entries = [
                {"Id": str(at), "ReceiptHandle": one.handle, "VisibilityTimeout": seconds}
                for at, one in enumerate(some)
            ]
            self._call(self._client.change_message_visibility_batch, QueueUrl=self.url, Entries=entries)

    def dead_letter(self, message: Message, reason: str, *, url: str) -> None:
        """Send a message to the dead-letter queue, with the reason as an attribute; the caller must delete it here."""
        attribute = {"DataType": "String", "StringValue": _plain(reason)}
        self._call(
            self._client.send_message, QueueUrl=url, MessageBody=message.body, MessageAttributes={_REASON: attribute}
        )

    def _call(self, request: Callable[..., T], **arguments: object) -> T:
        self.requests += 1
        try:
            return self._bucket.call(self.url, request, **arguments)
        except StoreDenied as error:
            raise StoreDenied(error.message, hint=_RIGHTS) from None
        except StoreError as error:
            if "NonExistentQueue" in error.message or "QueueDoesNotExist" in error.message:
                name = arguments.get("QueueUrl") or arguments.get("QueueName")
                hint = "check --sqs, and the account's region"
                if name != self.url:
                    hint = f"create it, or correct --dead-letter or the redrive policy of {self.url}"
                raise ConfigError(f"there is no queue {name}", hint=hint) from None
            raise


def _message(one: "Received") -> Message:
    count = one.get("Attributes", {}).get("ApproximateReceiveCount", "1")
    return Message(id=one["MessageId"], body=one["Body"], handle=one["ReceiptHandle"], deliveries=int(count))


def _tens(messages: Iterable[Message]) -> Iterator[list[Message]]:
    rest = iter(messages)
    while some := list(islice(rest, MOST_MESSAGES)):
        yield some


def _plain(reason: str) -> str:
    """Return a text that SQS accepts: no control characters, no lone surrogates."""
    printable = "".join(one if one.isprintable() else " " for one in reason)
    return printable.encode(errors="replace").decode()[:_LONGEST_REASON] or "unknown"
