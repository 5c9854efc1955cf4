"""A bucket's traits, found out by requests that it should refuse or obey; the objects lie under one name and go after."""

from collections.abc import Callable

from botocore.exceptions import ClientError

from imgctl.errors import StoreDenied
from imgctl.store.blobs.s3_boto import failure_of, translated
from imgctl.store.blobs.s3_connect import Boto3S3
from imgctl.store.blobs.s3_failure import Target
from imgctl.store.blobs.traits import Kept

# The check value of CRC-64/NVME, 0xae8b14860a799888, as S3 writes it, and another body of the same length.
_BODY, _OTHER, _CRC64NVME = b"123456789", b"987654321", "rosUhgp5mIg="
# Byte order, which is neither the order of put nor that of a dictionary.
_ORDERED = ("B", "a", "a1", "b", "é")


class Prober:
    """Asks one server; every name it puts begins with `name`, and `put` holds them."""

    def __init__(self, client: Boto3S3, target: Target, name: str) -> None:
        self._client = client
        self._target = target
        self._name = name
        self.put: list[str] = []

    def etag(self) -> Kept:
        """Whether an answer to PUT names the object's ETag."""
        with translated(self._target):
            answer = self._client.put_object(**self._object("etag"), Body=_BODY)
            return Kept.YES if answer.get("ETag") else Kept.IGNORED

    def checksum(self) -> Kept:
        """Whether a body that differs from its CRC64NVME is refused."""
        wrong = {**self._object("wrong"), "Body": _OTHER, "ChecksumCRC64NVME": _CRC64NVME}
        return Kept.YES if self._refuses(lambda: self._client.put_object(**wrong)) else Kept.IGNORED

    def order(self) -> Kept:
        """Whether a listing is in byte order, and begins behind what it is told to."""
        with translated(self._target):
            for name in reversed(_ORDERED):
                self._client.put_object(**self._object(f"order/{name}"), Body=_BODY)
            whole, behind = self._listed(""), self._listed(f"{self._name}order/{_ORDERED[1]}")
        wanted = [f"{self._name}order/{name}" for name in _ORDERED]
        return Kept.YES if (whole, behind) == (wanted, wanted[2:]) else Kept.IGNORED

    def if_match(self) -> Kept:
        """Whether a ranged GET is answered with its range, and refused under another ETag."""
        with translated(self._target):
            self._client.put_object(**self._object("range"), Body=_BODY)
            ranged = {**self._object("range"), "Range": "bytes=2-4"}
            answer = self._client.get_object(**ranged)
            if answer["Body"].read() != _BODY[2:5]:
                return Kept.NOT_IMPLEMENTED
        other = '"00000000000000000000000000000000"'
        return Kept.YES if self._refuses(lambda: self._client.get_object(**ranged, IfMatch=other)) else Kept.IGNORED

    def _object(self, name: str) -> dict[str, object]:
        if (whole := self._name + name) not in self.put:
            self.put.append(whole)
        return {"Bucket": self._target.bucket, "Key": whole}

    def _listed(self, after: str) -> list[str]:
        prefix = f"{self._name}order/"
        answer = self._client.list_objects_v2(Bucket=self._target.bucket, Prefix=prefix, StartAfter=after)
        return [found["Key"] for found in answer.get("Contents", ())]

    def _refuses(self, request: Callable[[], object]) -> bool:
        """Whether the server answers with an error that is about this request, not about its rights or its load."""
        with translated(self._target):
            try:
                request()
            except ClientError as error:
                failure = failure_of(error, self._target)
                if failure.transient or isinstance(failure.error, StoreDenied):
                    raise
                return True
        return False
