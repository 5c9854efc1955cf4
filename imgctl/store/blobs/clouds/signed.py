"""Signs links that create one object: V4 signatures of Google, shared access signatures of Azure.

obstore signs PUTs too, but its links allow overwrites.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import fromstring  # written by the account's own server

from imgctl.store.blobs.base import SignedPut
from imgctl.store.blobs.clouds.azure_auth import VERSION, AzureAuth
from imgctl.store.blobs.clouds.google_auth import GoogleAuth
from imgctl.store.blobs.clouds.http import Http, with_query

# For clocks ahead of Azure's, whose links would not be valid yet.
_EARLY = timedelta(minutes=5)
# The fields of a user delegation key in the order of signing, by their names in a link.
_DELEGATED = {
    "skoid": "SignedOid",
    "sktid": "SignedTid",
    "skt": "SignedStart",
    "ske": "SignedExpiry",
    "sks": "SignedService",
    "skv": "SignedVersion",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedPut:
    """The put that a link allows: its validity in seconds, size in bytes, type and SHA-256."""

    seconds: int
    size: int
    content_type: str
    sha256: bytes


def google_put(auth: GoogleAuth, url: str, wanted: AllowedPut) -> SignedPut | None:
    """Sign the type, the size, the SHA-256 and generation 0 (V4 signing process, Cloud Storage documentation).

    None for credentials that cannot sign: a user's (gcloud's login).
    """
    if (signer := auth.signer()) is None:
        return None
    email, sign = signer
    parts, at = urlsplit(url), datetime.now(UTC)
    headers = {
        "content-type": wanted.content_type,
        "host": parts.netloc,
        "x-goog-content-length-range": f"{wanted.size},{wanted.size}",
        "x-goog-content-sha256": wanted.sha256.hex(),
        "x-goog-if-generation-match": "0",
    }
    names, stamp, scope = ";".join(headers), f"{at:%Y%m%dT%H%M%SZ}", f"{at:%Y%m%d}/auto/storage/goog4_request"
    query = {
        "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
        "X-Goog-Credential": f"{email}/{scope}",
        "X-Goog-Date": stamp,
        "X-Goog-Expires": str(wanted.seconds),
        "X-Goog-SignedHeaders": names,
    }
    canonical_query = with_query("", query)[1:]
    lines = [f"{name}:{value}" for name, value in headers.items()]
    request = "\n".join(("PUT", parts.path, canonical_query, *lines, "", names, headers["x-goog-content-sha256"]))
    text = "\n".join(("GOOG4-RSA-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    query["X-Goog-Signature"] = sign(text.encode()).hex()
    del headers["host"]
    return SignedPut(url=with_query(url, query), headers=headers)


def azure_put(auth: AzureAuth, http: Http, url: str, wanted: AllowedPut) -> SignedPut | None:
    """Sign a permission to create, without overwrites (Create a service SAS, a user delegation SAS: Azure Storage).

    It covers neither size nor digest. None if the credentials are a SAS: it cannot sign another.
    """
    if auth.sas:
        return None
    until = datetime.now(UTC) + timedelta(seconds=wanted.seconds)
    query = {"sp": "c", "se": _second(until)}
    path = urlsplit(url).path.removeprefix(urlsplit(auth.endpoint).path)
    place = f"/blob/{auth.account}{unquote(path)}"
    # Empty fields: an identifier or ids of other users, an address, a protocol; a snapshot, a scope, five headers.
    if auth.key:
        key = auth.key
        text = [query["sp"], "", query["se"], place, "", "", "", VERSION, "b", *[""] * 7]
    else:
        key, delegated = _delegation(auth, http, until)
        query |= delegated
        text = [query["sp"], "", query["se"], place, *delegated.values(), *[""] * 5, VERSION, "b", *[""] * 7]
    query |= {"sv": VERSION, "sr": "b"}
    query["sig"] = base64.b64encode(hmac.digest(key, "\n".join(text).encode(), hashlib.sha256)).decode()
    headers = {
        "Content-Type": wanted.content_type,
        "Content-Length": str(wanted.size),
        "If-None-Match": "*",
        "x-ms-blob-type": "BlockBlob",
    }
    return SignedPut(url=with_query(url, query), headers=headers)


def _delegation(auth: AzureAuth, http: Http, until: datetime) -> tuple[bytes, dict[str, str]]:
    """Return the key with which an identity signs, and its fields in a link (Get User Delegation Key)."""
    start = _second(datetime.now(UTC) - _EARLY)
    body = f"<KeyInfo><Start>{start}</Start><Expiry>{_second(until)}</Expiry></KeyInfo>".encode()
    response = http.request("POST", f"{auth.endpoint}/", {"restype": "service", "comp": "userdelegationkey"}, {}, body)
    found = fromstring(response.data)  # noqa: S314
    fields = {short: found.findtext(name) or "" for short, name in _DELEGATED.items()}
    return base64.b64decode(found.findtext("Value") or ""), fields


def _second(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
