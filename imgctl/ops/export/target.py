"""From what is typed after `--out` to where an export goes."""

import re
from dataclasses import replace
from pathlib import Path

from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.ops.export.sinks import DirectorySink, Sink
from imgctl.ops.export.zips import ZipSink

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_sink(settings: Settings, out: str) -> Sink:
    """A directory, a FILE.zip, or s3://BUCKET/PREFIX at the endpoint and with the credentials of the store.

    UsageError for what cannot be meant.
    """
    if out.startswith("s3://"):
        store = settings.store.url.rstrip("/")
        if f"{out.rstrip('/')}/".startswith(f"{store}/") or f"{store}/".startswith(f"{out.rstrip('/')}/"):
            raise UsageError(f"--out {out} lies in the store itself, {store}", hint="name another bucket")
        from imgctl.ops.export.bucket import BucketSink
        from imgctl.store.blobs.open import open_store

        return BucketSink(open_store(replace(settings.store, url=out)), out)
    if _URL.match(out):
        raise UsageError(f"--out {out}: unknown kind of target", hint="a directory, FILE.zip or s3://BUCKET/PREFIX")
    path = Path(out)
    return ZipSink(path) if path.suffix.lower() == ".zip" and not path.is_dir() else DirectorySink(path)


def absolute(out: str) -> str:
    """The same target, wherever it is named from."""
    return out.rstrip("/") if _URL.match(out) else str(Path(out).absolute())
