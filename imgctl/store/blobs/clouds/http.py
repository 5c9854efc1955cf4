"""HTTP requests to a cloud's own API that obstore does not support: checksummed puts, listings with classes, moves.

The clouds' SDKs use 0.4 ms of CPU a listed key and 3.3 ms a put of 50 KB; these requests use 0.02 and 1.2 ms.
"""

import json
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout

from imgctl.config.catalog_store import StoreSettings
from imgctl.store.blobs.address import certificates
from imgctl.store.blobs.errors import ErrorResponse

# For one host: each copying thread has one request at a time.
_MOST_CONNECTIONS = 128
_CONNECT_SECONDS = 10.0
_FIRST_ERROR = 400
_CODE = re.compile(rb"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(rb"<Message>([^<\n]*)")

Headers = Mapping[str, str]
Body = bytes | Iterable[bytes]
Query = Mapping[str, str]
Signer = Callable[[str, str, Query, Headers], tuple[str, Headers]]
"""Signs a method, a URL without query, the query and the headers; returns the whole URL and all headers."""


class Http:
    """Makes signed requests without retries, which `Calls` makes. Thread-safe."""

    def __init__(self, settings: StoreSettings, sign: Signer) -> None:
        self._settings = settings
        self._sign = sign
        self._pools: dict[str, PoolManager] = {}

    def request(
        self, method: str, url: str, query: Query | None = None, headers: Headers | None = None, body: Body = b""
    ) -> BaseHTTPResponse:
        """Return the complete response; ErrorResponse for an error status. A `body` in pieces requires a Content-Length."""
        size = (
            {"Content-Length": str(len(body))} if isinstance(body, bytes) and method in ("PUT", "POST", "PATCH") else {}
        )
        whole, signed = self._sign(method, url, query or {}, {**size, **(headers or {})})
        response = self._pool(url).request(
            method, whole, headers=dict(signed), body=None if body == b"" else body, redirect=False, retries=False
        )
        if response.status >= _FIRST_ERROR:
            raise error_response(response.status, response.headers, response.data)
        return response

    def _pool(self, url: str) -> PoolManager:
        """Return the pool for the server, or for the environment's proxy; looked up once: it costs a tenth of a put's CPU."""
        origin = url[: url.index("/", 8)]
        if origin not in self._pools:
            parts = urlsplit(url)
            proxy = getproxies().get(parts.scheme, "")
            timeout = Timeout(**self._timeouts)
            if not proxy or proxy_bypass(parts.netloc):
                made = PoolManager(maxsize=_MOST_CONNECTIONS, timeout=timeout, ssl_context=self._trusted)
            else:
                made = ProxyManager(proxy, maxsize=_MOST_CONNECTIONS, timeout=timeout, ssl_context=self._trusted)
            # If two threads create a pool, the first one is kept.
            self._pools.setdefault(origin, made)
        return self._pools[origin]

    @property
    def _timeouts(self) -> dict[str, float]:
        return {"connect": min(self._settings.timeout, _CONNECT_SECONDS), "read": self._settings.timeout}

    @property
    def _trusted(self) -> ssl.SSLContext | None:
        """The context of a private CA; None for the client's default."""
        bundle = self._settings.ca_bundle
        return ssl.create_default_context(cadata=certificates(bundle).decode()) if bundle else None


def error_response(status: int, headers: Headers, body: bytes) -> ErrorResponse:
    """Read code and message of an error response: Azure's are in a header and XML, Google's in JSON."""
    found, text = _CODE.search(body), _MESSAGE.search(body)
    code = headers.get("x-ms-error-code", "") or (found[1].decode() if found else "")
    message = text[1].decode(errors="replace") if text else ""
    if body.startswith(b"{"):
        error = json.loads(body).get("error", {})
        # Google's reasons add nothing to the status.
        message = str(error.get("message", "")) if isinstance(error, dict) else str(error)
    return ErrorResponse(status, code, message)


def quoted(name: str) -> str:
    """Quote an object's name as the path of a URL; slashes are kept."""
    return quote(name, safe="/-_.~")


def with_query(url: str, query: Query) -> str:
    """Return the URL with the query appended."""
    parts = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items()]
    return f"{url}{'&' if '?' in url else '?'}{'&'.join(parts)}" if parts else url
