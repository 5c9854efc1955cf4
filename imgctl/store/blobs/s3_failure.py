"""What went wrong between us and S3, told from the client's error: the StoreError, and whether to try again."""

import re
from dataclasses import dataclass

from obstore import exceptions

from imgctl.errors import (
    BlobArchived,
    BlobCorrupt,
    BlobExists,
    BlobMissing,
    BucketMissing,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnsupported,
)

FAILURES = (exceptions.BaseError, FileNotFoundError, ValueError)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]*)</Code>|\(code: (\w+)\)")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
# rustls and OpenSSL.
_CERTIFICATE = re.compile(
    r"InvalidCertificate\(\s*(\w+)|certificate verify failed: ([^(\n]+)|(?i:(hostname [^\n]* doesn't match))"
)
_KIND = re.compile(r"kind: (Connect|Request|Timeout|Interrupted|Decode|Unknown),")

_PATIENCE = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "Throttling",
             "ConditionalRequestConflict", "TooManyRequests", "BusyDown"}  # fmt: skip
_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
                "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidSecurity"}  # fmt: skip
_ARCHIVED = {"InvalidObjectState", "ObjectNotInActiveTierError"}
_OF_ARCHIVES = {*_ARCHIVED, "RestoreAlreadyInProgress", "GlacierExpeditedRetrievalNotAvailable",
                "ObjectAlreadyInActiveTierError"}  # fmt: skip
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_NO_SPACE = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request was about, for its error's text; the key may be empty."""

    bucket: str
    key: str
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error in our words, and whether the same request may yet succeed."""

    error: StoreError
    transient: bool = False


def failure_of(error: Exception, target: Target) -> Failure:
    """Judge an error of obstore by the status, the S3 error code or the transport's kind in its text."""
    text = str(error)
    status, code = _found(_STATUS, text), _found(_CODE, text)
    if not status and not code:
        return _of_transport(error, text, target)
    message = _found(_MESSAGE, text).rstrip(".")
    return judge(int(status or 0), code, message, target)


def judge(status: int, code: str, message: str, target: Target) -> Failure:
    """What an HTTP status and an S3 error code mean (API error responses, S3 API Reference)."""
    what = target.key or f"bucket {target.bucket}"
    said = f"{code or status}: {message}" if message else f"{code or status}"
    if code in _OF_ARCHIVES:
        return Failure(error=_of_archives(what, code, said))
    if code in _PATIENCE or status in (408, 409, 429, 500, 502, 503, 504):
        return Failure(error=_busy(what, said, target), transient=True)
    if code == "NoSuchBucket":
        hint = f"create it, or correct [store] url; asked {target.endpoint}"
        return Failure(error=BucketMissing(f"there is no bucket {target.bucket}", hint=hint))
    if code in _DAMAGED:
        return Failure(
            error=BlobCorrupt(f"{what} arrived damaged, and was refused ({said})", hint="run the same again")
        )
    if code in _NO_SPACE or status == 507:
        return Failure(error=StoreFull(f"no space is left in bucket {target.bucket} ({said})", hint="free some"))
    if status in (301, 307) or code in ("AuthorizationHeaderMalformed", "PermanentRedirect"):
        return Failure(error=_elsewhere(said, target))
    if code in _CREDENTIALS or status in (401, 403):
        return Failure(error=_denied(what, code, said, target))
    return Failure(error=_refused(what, status, code, said, target))


def _of_transport(error: Exception, text: str, target: Target) -> Failure:
    if reason := certificate_refused(error):
        return untrusted(reason, target)
    kind = _found(_KIND, text)
    if kind:
        return silence(kind, target)
    if "without LOCATION" in text:
        return Failure(error=_elsewhere("a redirect", target))
    if isinstance(error, FileNotFoundError):
        return judge(404, "", "", target)
    first = text.partition("\n")[0][:300]
    return Failure(error=StoreError(f"{target.key or target.bucket}: {first}", hint=f"asked {target.endpoint}"))


def untrusted(reason: str, target: Target) -> Failure:
    """The server was reached, and its certificate refused; `reason` is the client's."""
    said = f"{target.endpoint} shows a certificate that is not trusted ({reason.strip()})"
    hint = "for a private CA set [store] ca_bundle to its PEM file; else check the endpoint's name and its certificate"
    return Failure(error=StoreUnavailable(f"{target.key or target.bucket}: {said}", hint=hint))


def silence(kind: str, target: Target) -> Failure:
    """No answer at all: the connection failed, broke or stood still; `kind` is the client's word for it."""
    if "Timeout" in kind:
        said = "does not answer in time"
    else:
        said = "cannot be reached" if "Connect" in kind else "broke the connection off"
    hint = "check the endpoint and the network, then run the same again"
    error = StoreUnavailable(f"{target.key or target.bucket}: {target.endpoint} {said}", hint=hint)
    return Failure(error=error, transient=True)


def _busy(what: str, said: str, target: Target) -> StoreUnavailable:
    hint = "run the same again later, or with less concurrency"
    return StoreUnavailable(f"{what}: {target.endpoint} asks for patience ({said})", hint=hint)


def _of_archives(what: str, code: str, said: str) -> StoreError:
    """Answers that the same request gets again, though the status of some asks for patience (RestoreObject, S3 API)."""
    if code in _ARCHIVED:
        hint = f"restore it first: imgctl restore {what}"
        return BlobArchived(f"{what} lies in an archive storage class", hint=hint)
    if code == "RestoreAlreadyInProgress":
        return StoreError(f"{what} is being restored already", hint="wait for it: imgctl restore --status")
    if code == "GlacierExpeditedRetrievalNotAvailable":
        hint = "take another tier: --tier standard or --tier bulk"
        return StoreUnavailable(f"{what}: there is no capacity for expedited restores now ({said})", hint=hint)
    return StoreError(f"{what} is in no archive class: there is nothing to restore", hint="read it as it is")


def _denied(what: str, code: str, said: str, target: Target) -> StoreDenied:
    if code == "RequestTimeTooSkewed":
        return StoreDenied(f"{what}: {said}", hint="set this machine's clock")
    hint = f"check the AWS credentials, and their rights to read, write, list and delete in bucket {target.bucket}"
    return StoreDenied(f"{what}: {target.endpoint} refuses ({said})", hint=hint)


def _refused(what: str, status: int, code: str, said: str, target: Target) -> StoreError:
    if status in (304, 412):
        return BlobExists(f"{what} is already in the store")
    if status == 404:
        return BlobMissing(f"there is no blob {what}", hint=f"looked in bucket {target.bucket}")
    if status == 501 or code == "NotImplemented":
        hint = "imgctl doctor shows what the server lacks"
        return StoreUnsupported(f"{what}: {target.endpoint} does not implement it ({said})", hint=hint)
    if "checksum" in said.lower():
        hint = 'if this server knows no checksum headers: [store] checksum = "none"'
        return StoreError(f"{what}: {target.endpoint} refuses the checksum ({said})", hint=hint)
    return StoreError(f"{what}: the store answers {said}", hint=f"asked {target.endpoint}")


def _elsewhere(said: str, target: Target) -> StoreError:
    hint = "set [store] region to the bucket's region"
    return StoreError(f"bucket {target.bucket} lies in another region ({said})", hint=hint)


def certificate_refused(error: Exception) -> str:
    """Why the server's certificate was refused; empty for other errors."""
    return _found(_CERTIFICATE, str(error))


def _found(pattern: "re.Pattern[str]", text: str) -> str:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), "") if found else ""
