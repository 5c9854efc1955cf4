"""What the sidecars of one photo say, known before the photo itself is read."""

from imgctl.imaging.metadata.facts import NO_FACTS, Facts
from imgctl.ops.ingest.sidecar import SidecarFiles


class PhotoSidecars:
    """The facts beside the photo at `path`; each sidecar is read on first use, and once. StoreError if it cannot be.

    Without `files` there are none.
    """

    def __init__(self, files: SidecarFiles | None, path: str) -> None:
        self._files = files
        self._path = path
        self._takeout: Facts | None = None
        self._photo_details: Facts | None = None
        self._xmp: Facts | None = None

    @property
    def trashed(self) -> bool:
        """Whether an export of Google or Apple marks the photo as in the bin."""
        return self.takeout.trashed or self.photo_details.trashed

    @property
    def hidden(self) -> bool:
        """Whether an export marks the photo as archived (Google) or hidden (Apple)."""
        return self.takeout.hidden or self.photo_details.hidden

    # Not functools.cached_property, which before Python 3.12 lets one thread at a time compute, for all objects.
    @property
    def takeout(self) -> Facts:
        """The facts of its Google Takeout JSON file."""
        if self._takeout is None:
            self._takeout = self._files.takeout(self._path) if self._files else NO_FACTS
        return self._takeout

    @property
    def photo_details(self) -> Facts:
        """The facts of its row in Apple's tables."""
        if self._photo_details is None:
            self._photo_details = self._files.photo_details(self._path) if self._files else NO_FACTS
        return self._photo_details

    @property
    def xmp(self) -> Facts:
        """The facts of its XMP sidecar."""
        if self._xmp is None:
            self._xmp = self._files.xmp(self._path) if self._files else NO_FACTS
        return self._xmp
