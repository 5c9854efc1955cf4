"""Pages read by columns equal those of boto3's parser."""

from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from botocore.parsers import RestXMLParser
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from imgctl.store.blobs.listing_pages import columns_of

NAMES = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), min_size=1, max_size=30)
SHAPE = get_session().get_service_model("s3").operation_model("ListObjectsV2").output_shape


def body_of(names: list[str], *, url: bool, etag: str, more: str = "") -> bytes:
    rows = "".join(
        f"<Contents><Key>{quote(name, safe='/') if url else escape(name)}</Key><Size>{at}</Size>"
        f"<LastModified>2026-01-02T03:04:0{at % 10}.000Z</LastModified>{etag}<StorageClass>GLACIER</StorageClass></Contents>"
        for at, name in enumerate(names)
    )
    encoding = "<EncodingType>url</EncodingType>" if url else ""
    return f"<ListBucketResult>{encoding}{rows}<IsTruncated>true</IsTruncated>{more}</ListBucketResult>".encode()


@pytest.mark.parametrize("etag", ["", "<ETag>&quot;e1&quot;</ETag>", "<ETag>e1</ETag>"])
@given(names=st.lists(NAMES, min_size=1, max_size=5), url=st.booleans())
def test_columns_equal_the_parser_s_result(etag: str, names: list[str], url: bool) -> None:
    body = body_of(names, url=url, etag=etag)

    page = columns_of(body)

    if page is None:
        assert not url and any(set(name) & set("&<>") for name in names)
        return
    parsed = RestXMLParser().parse({"status_code": 200, "headers": {}, "body": body}, SHAPE)["Contents"]
    assert list(page.keys) == names
    assert list(page.sizes) == [one["Size"] for one in parsed]
    assert list(page.times) == [one["LastModified"] for one in parsed]
    assert page.etags == ("e1" if etag else "",) * len(names)
    assert page.classes == ("GLACIER",) * len(names)


@pytest.mark.parametrize("more", ["<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>", "<Contents></Contents>"])
def test_pages_that_columns_cannot_read_are_left_to_the_parser(more: str) -> None:
    assert columns_of(body_of(["a"], url=True, etag="", more=more)) is None
    assert columns_of(b"<ListBucketResult></ListBucketResult>") is None
