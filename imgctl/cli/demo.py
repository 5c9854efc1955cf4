"""`imgctl demo`: runs the whole cycle on sample photos."""

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from imgctl.cli.common.options import Options, option
from imgctl.cli.common.session import Session, subcommand
from imgctl.cli.common.types import DIRECTORY
from imgctl.config.service import ServeSettings
from imgctl.errors import ExitCode, ImgctlError

USER = "0190b2b4-0000-7000-8000-000000000001"
PORT = ServeSettings().port


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    directory: Path | None = option(
        None, "The directory to use; default: a new temporary one.", kind=DIRECTORY, metavar="DIRECTORY"
    )


@subcommand(
    Args,
    examples="""
imgctl demo
imgctl demo --directory /tmp/album
""",
    without=("catalog.url", "store.url", "store.endpoint_url"),
)
def command(session: Session, args: Args) -> ExitCode:
    """Run the whole cycle on sample photos: doctor, upload, work, a second upload that changes nothing, and find.

    It uses one directory, with the embedded catalog and store; nothing else is read or written.
    """
    from imgctl.ops.demo import write_samples

    place = (args.directory or Path(mkdtemp(prefix="imgctl-demo-"))).resolve()
    photos = place / "photos"
    if photos.exists():
        raise ImgctlError(f"{photos} already exists", hint="choose an empty --directory")
    written = write_samples(photos)
    session.text(f"{written} sample pictures are in {photos}")
    steps = (
        ["init"],
        ["doctor"],
        ["upload", str(photos), "--user", USER],
        ["work", "--drain"],
        ["upload", str(photos), "--user", USER],
        ["find", "--user", USER],
    )
    for step in steps:
        session.text("")
        session.text(f"$ imgctl {' '.join(step)}")
        sys.stdout.flush()
        code = _run(step, place, aside=session.json)
        if code not in (ExitCode.DONE, ExitCode.PARTLY):
            raise ImgctlError(f"imgctl {step[0]} ended with {code}", hint="imgctl doctor shows what is missing")
    _conclude(session, place)
    return ExitCode.DONE


def _conclude(session: Session, place: Path) -> None:
    blobs = place / "imgctl-data" / "blobs"
    thumbs = sorted(blobs.rglob("*-thumb.jpg"))
    session.text("")
    session.text(f"The blobs are under {blobs}; a thumbnail: {thumbs[0] if thumbs else 'none'}")
    program = _program()
    session.text("To continue there:")
    session.text(f"  cd {shlex.quote(str(place))}")
    session.text(f"  {program} find --user {USER}")
    session.text(f"  {program} serve    # then open http://127.0.0.1:{PORT}/users/{USER}")
    session.data({"type": "summary", "directory": str(place), "thumbs": len(thumbs)})


def _program() -> str:
    """Return the shell words that start imgctl from any directory."""
    started = Path(sys.argv[0])
    if started.name == "imgctl" and (found := shutil.which(started)):
        return "imgctl" if shutil.which("imgctl") == found else shlex.quote(str(Path(found).absolute()))
    return f"{shlex.quote(sys.executable)} -m imgctl"


def _run(arguments: list[str], place: Path, *, aside: bool) -> int:
    """Run a command of imgctl; returns its exit code. With `aside` its output goes to stderr: stdout is NDJSON."""
    # The user's own settings must not make the demo use a real store.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMGCTL_")}
    config = place / "imgctl.toml"
    config.write_text("# the embedded defaults, with the journal in this directory\n[upload]\njournal = 'journal.db'\n")
    command_line = [sys.executable, "-m", "imgctl", *arguments, "--config", str(config)]
    return subprocess.run(
        command_line, cwd=place, env=environment, stdout=sys.stderr.fileno() if aside else None, check=False
    ).returncode
