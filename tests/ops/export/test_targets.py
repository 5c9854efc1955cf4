"""Where the blobs of an export go."""

from dataclasses import replace

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.ops.export.job import open_sink
from imgctl.ops.export.sinks import BucketSink
from imgctl.store.blobs.s3.store import S3Store

OUT = "s3://case-4711"
AT = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("store_url", "chain", "expected"),
    [("s3://photos", "", AT), ("gs://photos", "", ""), ("az://photos", "", ""), ("az://photos", "http://127.0.0.1:8", "http://127.0.0.1:8")],
)  # fmt: skip
def test_a_bucket_is_at_the_endpoint_of_an_s3_store_else_of_the_aws_chain(
    store_url: str, chain: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", chain)
    store = StoreSettings(url=store_url, endpoint_url=AT)

    sink = open_sink(replace(Settings(), store=store), OUT)

    assert isinstance(sink, BucketSink)
    assert isinstance(sink._store, S3Store)
    assert sink._store.bucket.where.endpoint_url == expected
