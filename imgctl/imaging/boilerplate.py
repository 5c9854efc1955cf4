"""Texts that cameras and phones write where a description belongs, in every picture alike."""

import re

# Brands as their cameras write them, and the shooting modes that Huawei's and Motorola's phones leave.
_TEXTS = frozenset(
    """
    olympus digital camera|sony dsc|minolta dsc|minolta digital camera|konica minolta digital camera|digital camera|
    kodak digital still camera|samsung camera pictures|samsung digital camera|samsung|nikon digital camera|
    jenoptik digital camera|medion digital camera|lg digital camera|casio computer co.,ltd.|casio computer co.,ltd|
    moultrie digital game camera|exif_jpeg_picture|dvc 10.1 hdmi|my beautiful picture|hellomoto|binary comment|
    charset=ascii|default|untitled|image|picture|camera|dcim|screenshot|user comments|
    btf|btfhdr|btfmdn|btr|bsh|burst|cof|dav|edf|fbt|fbthdr|frem|frontbhdp|fshbty|hdr|mde|mde_soft|mon|nor|oznor|ptr|
    qrf|rbt|rpt|sdr_hdrb|smart|_cuva
    """.replace("\n", "")
    .replace("    ", "")
    .split("|")
)
_MADE_UP = re.compile(r"DCIM[\\/].*|<\s*(KENOX|Samsung|DIGIMAX)\b.*>|\W*", re.IGNORECASE | re.DOTALL)


def is_boilerplate(text: str) -> bool:
    """Whether a description says nothing that somebody wrote."""
    text = text.strip()
    return text.lower() in _TEXTS or _MADE_UP.fullmatch(text) is not None
