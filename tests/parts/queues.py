"""SQS queues of the moto server, and the events that S3 would send to them."""

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends

from tests.parts.seaweed import ACCESS_KEY, REGION, SECRET_KEY, S3Server

_numbers = itertools.count(1)
_FED = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """A queue and its dead-letter queue, by their urls; `client` is boto3's."""

    url: str
    dead: str
    arn: str
    client: Any

    def send(self, bodies: Iterable[str]) -> None:
        """Put messages into the queue without HTTP, which takes a minute for thousands."""
        backend = sqs_backends[DEFAULT_ACCOUNT_ID][REGION]
        for body in bodies:
            backend.send_message(self.url.rpartition("/")[2], body)

    def feed(self, bodies: list[str]) -> Iterator[None]:
        """Put many messages, a few at a time, because moto gets slower with a long queue. Yields while it waits."""
        for first in range(0, len(bodies), _FED):
            self.send(bodies[first : first + _FED])
            while self.left() > _FED // 2:
                yield
        while self.left():
            yield

    def left(self, url: str = "") -> int:
        """How many messages are in the queue, hidden or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def dead_letters(self) -> list[tuple[str, str]]:
        """The body and the reason of each message in the dead-letter queue."""
        found: list[tuple[str, str]] = []
        while some := self.client.receive_message(
            QueueUrl=self.dead, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            found += [(one["Body"], one["MessageAttributes"]["imgctl_reason"]["StringValue"]) for one in some]
        return found


def event(bucket: str, key: str, *, name: str = "ObjectCreated:Put", sequencer: str = "") -> str:
    """S3's message about one object, as in a queue."""
    found = {"key": quote_plus(key, safe="/"), "size": 1, "eTag": "e", "sequencer": sequencer}
    record = {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": bucket}, "object": found}}
    return json.dumps({"Records": [record]})


@pytest.fixture
def queues(moto_s3: S3Server) -> Iterator[Queues]:
    """A new queue whose redrive policy names a dead-letter queue."""
    client = boto3.client(
        "sqs",
        endpoint_url=moto_s3.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    number = f"{os.getpid()}-{next(_numbers)}"
    dead = client.create_queue(QueueName=f"dead-{number}")["QueueUrl"]
    policy = {"deadLetterTargetArn": _arn(client, dead), "maxReceiveCount": "100"}
    url = client.create_queue(QueueName=f"photos-{number}", Attributes={"RedrivePolicy": json.dumps(policy)})[
        "QueueUrl"
    ]
    yield Queues(url=url, dead=dead, arn=_arn(client, url), client=client)
    for one in (url, dead):
        with suppress(Exception):
            client.delete_queue(QueueUrl=one)


def _arn(client: Any, url: str) -> str:
    arn: str = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return arn
