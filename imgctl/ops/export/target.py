"""Opens the target of an export from the value of `--out`."""

import re
from dataclasses import replace
from pathlib import Path

from imgctl.config.places import StoreSettings
from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.ops.export.sinks import DirectorySink, Sink
from imgctl.ops.export.zips import ZipSink
from imgctl.store.blobs.open import local_roots

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_sink(settings: Settings, out: str) -> Sink:
    """Open a directory, a FILE.zip, or s3://BUCKET/PREFIX at the endpoint and with the credentials of the store.

    UsageError for any other target, and for one inside the store.
    """
    if out.startswith("s3://"):
        store = settings.store.url.rstrip("/")
        if f"{out.rstrip('/')}/".startswith(f"{store}/") or f"{store}/".startswith(f"{out.rstrip('/')}/"):
            raise UsageError(f"--out {out} is in the store itself, {store}", hint="name another bucket")
        from imgctl.ops.export.sinks import BucketSink
        from imgctl.store.blobs.open import open_store

        return BucketSink(open_store(replace(settings.store, url=out)), out)
    if _URL.match(out):
        raise UsageError(f"--out {out}: unknown kind of target", hint="a directory, FILE.zip or s3://BUCKET/PREFIX")
    path = Path(out)
    refuse_own(settings.store, path)
    return ZipSink(path) if path.suffix.lower() == ".zip" and not path.is_dir() else DirectorySink(path)


def refuse_own(store: StoreSettings, out: Path) -> None:
    """Raise UsageError for a file or directory inside a directory store or its archive."""
    scheme, _, place = store.url.partition("://")
    if scheme == "file" and any(out.resolve().is_relative_to(root.resolve()) for root in local_roots(store, place)):
        raise UsageError(f"--out {out} is in the store itself, {store.url}", hint="name another directory")


def absolute(out: str) -> str:
    """Return the target independent of the working directory."""
    return out.rstrip("/") if _URL.match(out) else str(Path(out).absolute())
