"""Uploading directories: promise, bytes, confirm."""

from imgctl.ops.upload.outcome import Fate, FileOutcome, Reason, Tally
from imgctl.ops.upload.pipeline import UploadOrder, upload

__all__ = ["Fate", "FileOutcome", "Reason", "Tally", "UploadOrder", "upload"]
