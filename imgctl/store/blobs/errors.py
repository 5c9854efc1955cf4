"""Translates errors of bucket clients: the matching StoreError, and whether a retry may succeed."""

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

_OBSTORE = (exceptions.BaseError, FileNotFoundError, ValueError)

# obstore's error text contains status, code and message.
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]*)</Code>|\(code: (\w+)\)")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
# rustls and OpenSSL.
_CERTIFICATE = re.compile(
    r"InvalidCertificate\(\s*(\w+)|certificate verify failed: ([^(\n]+)|(?i:(hostname [^\n]* doesn't match))"
)
_KIND = re.compile(r"kind: (Connect|Request|Timeout|Interrupted|Decode|Unknown),")

_TRANSIENT = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "Throttling",
              "ConditionalRequestConflict", "TooManyRequests", "BusyDown"}  # fmt: skip
_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
                "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidSecurity"}  # fmt: skip
# The last two are Azure's (Blob service error codes).
_ARCHIVED = {"InvalidObjectState", "ObjectNotInActiveTierError", "BlobArchived", "BlobBeingRehydrated"}
_ARCHIVE_CODES = {*_ARCHIVED, "RestoreAlreadyInProgress", "GlacierExpeditedRetrievalNotAvailable",
                "ObjectAlreadyInActiveTierError"}  # fmt: skip
_EXISTS = {"BlobAlreadyExists"}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
# Permanent conflicts (409); the first two are of a name that is a file and a directory.
_PERMANENT = {"PathConflict", "ResourceTypeMismatch", "BlobImmutableDueToPolicy", "SnapshotsPresent", "InvalidBlobType", "BlobNotArchived", "NoPendingCopyOperation",
          "PublicAccessNotPermitted", "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"}  # fmt: skip
_DAMAGED = {
    "Md5Mismatch",
    "Crc64Mismatch",
    "BadDigest",
    "InvalidDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
}
_NO_SPACE = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The bucket, key (may be empty) and endpoint of a request, for error texts; `cloud` names the provider in hints."""

    bucket: str
    key: str
    endpoint: str
    cloud: str = "AWS"


class ErrorResponse(Exception):
    """An error response to a request made without a client library: status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A StoreError, and whether a retry may succeed."""

    error: StoreError
    transient: bool = False


def failure_of(error: Exception, target: Target) -> Failure | None:
    """Classify an error of obstore, boto3 or urllib3, or an ErrorResponse; None for any other."""
    text = str(error)
    if isinstance(error, ErrorResponse):
        return _from_response(error.status, error.code, error.message, target)
    if type(error).__module__ == "urllib3.exceptions":
        return _without_response(error, text, type(error).__name__, target)
    # By the module's name: importing botocore takes a quarter of a second, and few runs need it.
    if type(error).__module__.startswith("botocore."):
        response = getattr(error, "response", None)
        if response:
            message = response["Error"].get("Message", "")
            status = response["ResponseMetadata"]["HTTPStatusCode"]
            return _from_response(status, response["Error"].get("Code", ""), message, target)
        return _without_response(error, text, type(error).__name__, target)
    if not isinstance(error, _OBSTORE):
        return None
    status, code = _found(_STATUS, text), _found(_CODE, text)
    if status or code:
        return _from_response(int(status or 0), code, _found(_MESSAGE, text), target)
    return _without_response(error, text, _found(_KIND, text), target)


def code_of(error: Exception) -> str:
    """The S3 error code of an error of boto3; empty without a response, and for any other error."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else ""


def _from_response(status: int, code: str, message: str, target: Target) -> Failure:
    """Map an HTTP status and an error code to a failure (API error responses, S3 API Reference)."""
    what, message = target.key or f"bucket {target.bucket}", message.rstrip(".")
    detail = f"{code or status}: {message}" if message else f"{code or status}"
    if code in _ARCHIVE_CODES:
        return Failure(error=_archive_error(what, code, detail))
    if code in _EXISTS:
        return Failure(error=BlobExists(f"{what} is already in the store"))
    if code in _NO_BUCKET or "bucket does not exist" in message:
        hint = f"create it, or correct its name in the URL; the endpoint is {target.endpoint}"
        return Failure(error=BucketMissing(f"there is no bucket {target.bucket}", hint=hint))
    if code not in _PERMANENT and (code in _TRANSIENT or status in (408, 409, 429, 500, 502, 503, 504)):
        hint = "run the same command again later, or with less concurrency"
        busy = StoreUnavailable(f"{what}: {target.endpoint} is throttling or failing ({detail})", hint=hint)
        return Failure(error=busy, transient=True)
    return Failure(error=_permanent_error(what, status, code, detail, target))


def _without_response(error: Exception, text: str, kind: str, target: Target) -> Failure:
    """Map a failure without a response: the connection failed, broke or timed out; `kind` is the client's name for it."""
    what, endpoint = target.key or target.bucket, target.endpoint
    if reason := _found(_CERTIFICATE, text):
        detail = f"the certificate of {endpoint} is not trusted ({reason.strip()})"
        hint = "for a private CA set [store] ca_bundle to its PEM file; else check the endpoint's name and certificate"
        return Failure(error=StoreUnavailable(f"{what}: {detail}", hint=hint))
    if kind:
        if "Timeout" in kind:
            detail = f"{endpoint} did not respond in time"
        else:
            detail = f"{endpoint} cannot be reached" if "Connect" in kind else f"the connection to {endpoint} broke"
        hint = "check the endpoint and the network, then run the same command again"
        return Failure(error=StoreUnavailable(f"{what}: {detail}", hint=hint), transient=True)
    if "without LOCATION" in text:
        return Failure(error=_wrong_region("a redirect", target))
    if isinstance(error, FileNotFoundError):
        return _from_response(404, "", "", target)
    first = text.partition("\n")[0][:300]
    return Failure(error=StoreError(f"{what}: {first}", hint=f"the endpoint is {endpoint}"))


def _archive_error(what: str, code: str, detail: str) -> StoreError:
    """Map errors of archive classes: all permanent, although some have a retryable status (S3 API, RestoreObject)."""
    if code in _ARCHIVED:
        hint = f"restore it first: imgctl restore {what}"
        return BlobArchived(f"{what} is in an archive storage class", hint=hint)
    if code == "RestoreAlreadyInProgress":
        return StoreError(f"{what} is being restored already", hint="wait for it: imgctl restore --status")
    if code == "GlacierExpeditedRetrievalNotAvailable":
        hint = "use another tier: --tier standard or --tier bulk"
        return StoreUnavailable(f"{what}: no capacity for expedited restores now ({detail})", hint=hint)
    return nothing_to_restore(what)


def nothing_to_restore(what: str) -> StoreError:
    """The error for a restore of a blob that is readable without one."""
    return StoreError(f"{what} is not in an archive class: there is nothing to restore", hint="read it as it is")


def _permanent_error(what: str, status: int, code: str, detail: str, target: Target) -> StoreError:
    bucket, endpoint = target.bucket, target.endpoint
    # Google reports it only in the message.
    if code in _DAMAGED or "match calculated" in detail:
        return BlobCorrupt(f"{what} arrived damaged and was rejected ({detail})", hint="run the same command again")
    if code in _NO_SPACE or status == 507:
        return StoreFull(f"no space is left in bucket {bucket} ({detail})", hint="free space there")
    if status in (301, 307) or code in ("AuthorizationHeaderMalformed", "PermanentRedirect"):
        return _wrong_region(detail, target)
    if code == "RequestTimeTooSkewed":
        return StoreDenied(f"{what}: {detail}", hint="set this machine's clock")
    if code in _CREDENTIALS or status in (401, 403):
        hint = (
            f"check the {target.cloud} credentials, and their rights to read, write, list and delete in bucket {bucket}"
        )
        return StoreDenied(f"{what}: {endpoint} denies access ({detail})", hint=hint)
    if status in (304, 412):
        return BlobExists(f"{what} is already in the store")
    if status == 404:
        return BlobMissing(f"there is no blob {what}", hint=f"looked in bucket {bucket}")
    if status == 501 or code == "NotImplemented":
        hint = "imgctl doctor shows what the server lacks"
        return StoreUnsupported(f"{what}: {endpoint} does not implement it ({detail})", hint=hint)
    if "checksum" in detail.lower():
        hint = 'if this server does not support checksum headers, set [store] checksum = "none"'
        return StoreError(f"{what}: {endpoint} rejects the checksum ({detail})", hint=hint)
    return StoreError(f"{what}: the store returned {detail}", hint=f"the endpoint is {endpoint}")


def _wrong_region(detail: str, target: Target) -> StoreError:
    hint = "set [store] region to the bucket's region"
    return StoreError(f"bucket {target.bucket} is in another region ({detail})", hint=hint)


def _found(pattern: "re.Pattern[str]", text: str) -> str:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), "") if found else ""
