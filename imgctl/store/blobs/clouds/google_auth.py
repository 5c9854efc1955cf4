"""Signs requests to Google Cloud Storage with Application Default Credentials; emulators get no signature."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, cast

from imgctl.config.catalog_store import BucketSettings, StoreSettings
from imgctl.errors import StoreDenied, StoreUnavailable
from imgctl.store.blobs.address import variable
from imgctl.store.blobs.clouds.http import Headers, Query, with_query

if TYPE_CHECKING:
    from obstore.store import GCSCredential

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_NO_CREDENTIALS = (
    "set GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default login, or give the machine a role"
)

_NO_NETWORK = "check the network, then run the same command again"


class _Credentials(Protocol):
    valid: bool
    token: str
    expiry: datetime | None

    def refresh(self, request: object) -> None: ...


class _Signer(Protocol):
    def sign(self, message: bytes) -> bytes: ...


_Request = Callable[[object], object]


def google_endpoint(settings: BucketSettings) -> str:
    """Return the URL at which a bucket is reached."""
    return settings.endpoint_url.rstrip("/") or _emulator() or "https://storage.googleapis.com"


def _emulator() -> str:
    host = os.environ.get("STORAGE_EMULATOR_HOST", "").strip().rstrip("/")
    return f"http://{host}" if host and "://" not in host else host


class GoogleAuth:
    """One chain of credentials for obstore and imgctl's own requests; thread-safe."""

    def __init__(self, settings: StoreSettings) -> None:
        self.endpoint = google_endpoint(settings)
        self._emulated = bool(_emulator())
        self._lock = Lock()

    def sign(self, _method: str, url: str, query: Query, headers: Headers) -> tuple[str, Headers]:
        """See Signer."""
        token = self.credential()["token"]
        return with_query(url, query), {**headers, "Authorization": f"Bearer {token}"} if token else headers

    def credential(self) -> "GCSCredential":
        """The token in obstore's format; empty for an emulator."""
        if self._emulated:
            return {"token": "", "expires_at": None}
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.urllib3 import Request
        from urllib3 import PoolManager

        with self._lock:
            if not self._found.valid:
                try:
                    self._found.refresh(cast("_Request", Request)(PoolManager()))
                except GoogleAuthError as error:
                    cause = error.__cause__ if isinstance(error.__cause__, GoogleAuthError) else error
                    # A transport error of the metadata server has its response as second argument.
                    if error.retryable or (isinstance(cause, TransportError) and not cause.args[1:]):
                        raise StoreUnavailable(f"no token from Google: {error}", hint=_NO_NETWORK) from None
                    raise StoreDenied(f"Google returned no token: {error}", hint=_NO_CREDENTIALS) from None
            expires = self._found.expiry
            # google-auth returns naive times in UTC.
            return {"token": str(self._found.token), "expires_at": expires.replace(tzinfo=UTC) if expires else None}

    def signer(self) -> "tuple[str, Callable[[bytes], bytes]] | None":
        """The account that signs links and its signing function (a key, or a request to IAM); None for user credentials."""
        email = str(getattr(self._found, "service_account_email", ""))
        if email == "default":
            # The machine's account, whose email is set when the token is fetched.
            self.credential()
            email = str(getattr(self._found, "service_account_email", ""))
        if not email:
            return None
        if own := getattr(self._found, "sign_bytes", None):
            return email, own
        from google.auth.iam import Signer
        from google.auth.transport.urllib3 import Request
        from urllib3 import PoolManager

        request = cast("_Request", Request)(PoolManager())
        return email, cast("Callable[..., _Signer]", Signer)(request, self._found, email).sign

    @property
    def service_account(self) -> str:
        """The key file of a service account if the environment names one, else empty."""
        file = variable("GOOGLE_APPLICATION_CREDENTIALS")
        try:
            found = json.loads(Path(file).read_bytes()) if file else {}
        except (OSError, ValueError) as error:
            raise StoreDenied(f"the Google credentials {file} cannot be read: {error}", hint=_NO_CREDENTIALS) from None
        return file if isinstance(found, dict) and found.get("type") == "service_account" else ""

    @cached_property
    def _found(self) -> "_Credentials":
        try:
            import google.auth
        except ImportError:
            hint = "pip install 'imgctl[gcs]'"
            raise StoreDenied("gs:// stores need google-auth", hint=hint) from None
        from google.auth.exceptions import GoogleAuthError

        try:
            return cast("_Credentials", google.auth.default(scopes=[_SCOPE])[0])
        except GoogleAuthError as error:
            raise StoreDenied(f"no Google credentials are set: {error}", hint=_NO_CREDENTIALS) from None
