"""Where this machine remembers what its runs did."""

import os
from pathlib import Path


def state_directory() -> Path:
    """The user's state directory for imgctl (XDG), or one beside the embedded data for a user without a home."""
    state = os.environ.get("XDG_STATE_HOME") or (f"{os.environ['HOME']}/.local/state" if os.environ.get("HOME") else "")
    return Path(state or "imgctl-data") / "imgctl"
