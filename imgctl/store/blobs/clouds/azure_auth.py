"""Signs requests to Azure with the account's key, a SAS or a token of Microsoft Entra; configures obstore the same way."""

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

from imgctl.config.catalog_store import BucketSettings, StoreSettings
from imgctl.errors import ConfigError, StoreDenied, StoreUnavailable
from imgctl.store.blobs.address import variable
from imgctl.store.blobs.clouds.http import Headers, Query, with_query

if TYPE_CHECKING:
    from obstore.store import AzureConfig, AzureCredential

# The first API version with the tier Cold.
VERSION = "2023-11-03"
_SCOPE = "https://storage.azure.com/.default"
_EARLY_SECONDS = 120
_KEY = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")
_SAS = ("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN")
_SIGNED = ("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
           "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")  # fmt: skip
_NO_CREDENTIALS = (
    "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or log in (az login, a managed or workload identity) "
    "with pip install 'imgctl[azure]'"
)


class _Token(Protocol):
    token: str
    expires_on: int


class _Identity(Protocol):
    def get_token(self, *scopes: str) -> _Token: ...


@dataclass(slots=True, kw_only=True)
class AzureAuth:
    """The account with its key, a SAS or an identity; `endpoint` is the account's URL."""

    account: str
    endpoint: str
    key: bytes = b""
    sas: str = ""
    identity: "_Identity | None" = None
    _token: "_Token | None" = None

    def sign(self, method: str, url: str, query: Query, headers: Headers) -> tuple[str, Headers]:
        """See Signer."""
        stamped = {"x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True), **headers}
        if self.sas:
            return with_query(url, {**query, **dict(parse_qsl(self.sas.lstrip("?"), keep_blank_values=True))}), stamped
        if self.key:
            authorization = f"SharedKey {self.account}:{self._signature(method, url, query, stamped)}"
        else:
            authorization = f"Bearer {self._fresh().token}"
        return with_query(url, query), {**stamped, "Authorization": authorization}

    def config(self) -> "AzureConfig":
        """The configuration for obstore."""
        found: AzureConfig = {"account_name": self.account, "endpoint": self.endpoint}
        if self.key:
            found["account_key"] = base64.b64encode(self.key).decode()
        elif self.sas:
            found["sas_key"] = self.sas
        return found

    def credential(self) -> "AzureCredential":
        """The identity's token in obstore's format."""
        token = self._fresh()
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, UTC)}

    def _fresh(self) -> _Token:
        token = self._token
        if token is None or token.expires_on < time.time() + _EARLY_SECONDS:
            assert self.identity is not None
            token = self._token = _token_of(self.identity)
        return token

    def _signature(self, method: str, url: str, query: Query, headers: Headers) -> str:
        """Sign with the account's key (Authorize with Shared Key, Azure Storage REST API)."""
        low = {name.lower(): value for name, value in headers.items()}
        if low.get("content-length") == "0":
            del low["content-length"]
        own = "".join(f"{name}:{low[name]}\n" for name in sorted(low) if name.startswith("x-ms-"))
        parameters = "".join(f"\n{name}:{value}" for name, value in sorted((one.lower(), query[one]) for one in query))
        text = "\n".join((method, *(low.get(name, "") for name in _SIGNED), own))
        text += f"/{self.account}{urlsplit(url).path}{parameters}"
        return base64.b64encode(hmac.digest(self.key, text.encode(), hashlib.sha256)).decode()


def azure_auth(settings: StoreSettings, environ: Mapping[str, str] = os.environ) -> AzureAuth:
    """Return the account's credentials, from the environment or else azure-identity's chain; StoreDenied without any."""
    account, endpoint = _account(settings, environ), azure_endpoint(settings, environ)
    if not endpoint:
        raise ConfigError(
            "no account is set for the az:// store", hint="[store] account, or AZURE_STORAGE_ACCOUNT_NAME"
        )
    # An emulator has the account as the path of its URL, a private endpoint at the beginning of its host name.
    account = account or urlsplit(endpoint).path.strip("/") or (urlsplit(endpoint).hostname or "").partition(".")[0]
    found = AzureAuth(account=account, endpoint=endpoint)
    if key := variable(*_KEY):
        try:
            found.key = base64.b64decode(key, validate=True)
        except ValueError:
            raise StoreDenied("AZURE_STORAGE_ACCOUNT_KEY is not base64", hint=_NO_CREDENTIALS) from None
    elif sas := variable(*_SAS):
        found.sas = sas
    else:
        found.identity = _identity()
    return found


def azure_endpoint(settings: BucketSettings, environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL of the account of a bucket; empty if no account is set."""
    account = _account(settings, environ)
    return settings.endpoint_url.rstrip("/") or (f"https://{account}.blob.core.windows.net" if account else "")


def _account(settings: BucketSettings, environ: Mapping[str, str]) -> str:
    return settings.account or environ.get("AZURE_STORAGE_ACCOUNT_NAME", "").strip()


def _identity() -> _Identity:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise StoreDenied("no Azure credentials are set", hint=_NO_CREDENTIALS) from None
    return cast("_Identity", DefaultAzureCredential())


def _token_of(identity: _Identity) -> _Token:
    from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError

    try:
        return identity.get_token(_SCOPE)
    except (ServiceRequestError, ServiceResponseError) as error:
        hint = "check the network, then run the same command again"
        raise StoreUnavailable(f"no token from Azure: {error}", hint=hint) from None
    except AzureError as error:
        first = str(error).partition("\n")[0]
        raise StoreDenied(f"Azure returned no token: {first}", hint=_NO_CREDENTIALS) from None
