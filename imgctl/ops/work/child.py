"""How a rendering process is set up; a module that imports no catalog, which would double the start of each."""

import os

from imgctl.config import LogSettings


def set_up_child(settings: LogSettings, *, niceness: int = 0) -> None:
    """What a rendering process does before its first task; a `niceness` above 0 lets others go first."""
    from imgctl.imaging.render import configure as configure_rendering
    from imgctl.run.logs import configure as configure_log
    from imgctl.run.memory import reuse_large_buffers

    os.nice(niceness)
    reuse_large_buffers()
    configure_rendering()
    configure_log(settings, verbosity=-1)
