"""A proxy to a store whose listings have small pages, and then break off or repeat."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from tests.parts.loopback import Handler, serving
from tests.parts.seaweed import S3Server


@contextmanager
def altered_listings(endpoint_url: str, *, harm: str, page_keys: int) -> Iterator[str]:
    """Yield the endpoint with pages of `page_keys`; each listing's second page is half a document (`cut`), or the first
    page again (`repeat`).

    Only listings are supported: the proxy requests them again, with the tests' credentials.
    """

    class Pages(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            bucket = urlsplit(self.path).path.strip("/")
            body = _page(endpoint_url, bucket, query, harm, page_keys)
            self.respond(200, body, {"Content-Type": "application/xml"})

    with serving(Pages) as url:
        yield url


def _page(endpoint_url: str, bucket: str, query: dict[str, str], harm: str, page_keys: int) -> bytes:
    token = query.get("continuation-token", "")
    second = bool(token)
    after = "" if second and harm == "repeat" else token or query.get("start-after", "")
    answer = (
        S3Server(endpoint_url=endpoint_url)
        .client()
        .list_objects_v2(Bucket=bucket, Prefix=query.get("prefix", ""), StartAfter=after, MaxKeys=page_keys)
    )
    found = answer.get("Contents", [])
    body = "".join(
        f"<Contents><Key>{one['Key']}</Key><LastModified>{one['LastModified']:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>&quot;0&quot;</ETag><Size>{one['Size']}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for one in found
    )
    more = bool(answer.get("IsTruncated"))
    onward = f"<NextContinuationToken>{found[-1]['Key']}</NextContinuationToken>" if more else ""
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>{bucket}</Name><KeyCount>{len(found)}</KeyCount>'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{onward}{body}</ListBucketResult>"
    ).encode()
    return document[: len(document) // 2] if second and harm == "cut" else document
