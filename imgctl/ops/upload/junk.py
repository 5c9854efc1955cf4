"""Names that systems, cameras and NAS boxes leave among photos, and that nobody means to upload."""

_FILES = frozenset(
    (
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
        "picasa.ini",
        "thumbs.db",
        "thumbs.db:encryptable",
        "zbthumbnail.info",
    )
)
# Synology, QNAP and Asustor keep thumbnails, bins and snapshots in these; Windows, macOS, ext4 and zip files the rest.
_DIRECTORIES = frozenset(
    (
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@__thumb",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@sharebin",
        "@sharesnap",
        "@syno",
        "@tmp",
        "__macosx",
        "lost+found",
        "network trash folder",
        "recycler",
        "system volume information",
        "temporary items",
    )
)


def junk(name: str, *, directory: bool) -> str | None:
    """What kind of junk a file or directory of this name is, or None; case does not count."""
    return "its name begins with a dot" if name.startswith(".") else system_junk(name, directory=directory)


def system_junk(name: str, *, directory: bool) -> str | None:
    """What kind of junk something of this name is even where a user names it, as `upload *` does; or None."""
    return "a system made it for itself" if name.lower() in (_DIRECTORIES if directory else _FILES) else None


def listed_junk(path: str) -> str | None:
    """What kind of junk a listed file is: by its own name, or by a directory above it that only systems make."""
    *above, name = path.split("/")
    if any(one.lower() in _DIRECTORIES for one in above):
        return "it lies in a directory that a system made for itself"
    return junk(name, directory=False)
