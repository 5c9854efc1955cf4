"""The command `imgctl`: lists the subcommands, loads the one that runs, and maps errors to exit codes."""

import gc
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

import click

from imgctl import __version__
from imgctl.cli.common.layout import Group
from imgctl.cli.common.stdout import ReaderLeft
from imgctl.errors import ExitCode, ImgctlError, unexpected
from imgctl.run.closed_stream import silence

# The one-line helps are kept here so that `imgctl --help` imports only click.
COMMANDS: Final = {
    "init": "Create or upgrade the catalog's tables and check the store.",
    "doctor": "Check configuration, database, store, codecs and clock.",
    "upload": "Upload directories: originals to the store, rows to the catalog.",
    "verify": "Verify that every file of a source is safe here.",
    "insert": "Insert blobs that are already in the store, by a manifest.",
    "listen": "Import photos that a bucket reports through an SQS queue.",
    "watch": "Upload a directory and every new file in it, until stopped.",
    "work": "Build variants: take processing rows to ready or failed.",
    "backfill": "Build variants that are missing or out of date on ready rows.",
    "transition": "Move originals to a colder storage class, if it saves money.",
    "restore": "Bring archived originals back, within a budget.",
    "audit": "Compare catalog and store, both ways; changes nothing.",
    "repair": "Repair an audit's findings; a dry run unless --apply.",
    "find": "Find images by name, content, caption or date, or list the newest.",
    "show": "Show everything about one image, and how to repair it.",
    "url": "Print a link to an image: through the CDN, or signed.",
    "export": "Export everything of a user: originals, metadata, checksums.",
    "get": "Download an image's original and variants, verified.",
    "erase": "Delete images for good, with a signed receipt.",
    "hold": "Protect a user's images from deletion until a release.",
    "release": "End a hold, so that a user's images may be deleted again.",
    "stats": "Count images and bytes by user, day, state or class.",
    "history": "Show who changed what, when, and how it ended.",
    "top": "Show live the backlog, rates, workers, stuck rows and the bill.",
    "cost": "Show the monthly bill: modelled, actual, and what-if.",
    "apply": "Run the actions of a --plan file; refuse those that drifted.",
    "serve": "Serve POST and GET /images, galleries and metrics over HTTP.",
    "completion": "Print the script that completes command lines in bash, zsh or fish.",
    "demo": "Run the whole cycle on sample photos in a temporary directory.",
    "help": "Show a page of the manual, or a command's help.",
}

FOLDERS: Final = {
    "ingest": ("upload", "insert", "verify", "listen", "watch"),
    "build": ("work", "backfill"),
    "cold": ("transition", "restore", "apply"),
    "support": ("find", "show", "url", "get", "export", "stats", "history", "top", "erase", "hold", "release"),
}

# Other names of commands.
ALIASES: Final = {"ls": "find"}

# The commands for a first day; the help lists the others below.
FIRST: Final = ("demo", "init", "doctor", "upload", "work", "find", "show", "audit", "repair", "cost", "serve", "help")

# Set for another server on the machine: prometheus_client would add imgctl's metrics to those files, and read them all.
# `serve` sets the variable for its own processes.
OF_OTHER_SERVERS: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")

EXAMPLES: Final = """
imgctl demo
imgctl upload ~/Pictures --user 0190b2b4-0000-7000-8000-000000000001
imgctl work --drain
imgctl help settings
"""


@click.command(
    cls=Group, parts=COMMANDS, folders=FOLDERS, aliases=ALIASES, module="imgctl.cli", examples=EXAMPLES, main=FIRST
)
@click.version_option(__version__, prog_name="imgctl")
def cli() -> None:
    """Move photo archives into object storage and keep them healthy there.

    The catalog (Postgres or SQLite) holds a small row for each image, the store (a directory, S3, Google Cloud Storage or
    Azure) holds its bytes. Without configuration both are under ./imgctl-data.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    # A command's imports make a hundred thousand objects that live until the exit: scanning them for garbage at every
    # threshold and at the exit costs a third of the start. `run.limits` enables collection when work begins.
    gc.disable()
    threading.excepthook = _thread_died
    _open_closed_streams()
    # A terminal may be set to ISO-8859-1, and file names may hold any character.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for variable in OF_OTHER_SERVERS:
        os.environ.pop(variable, None)
    try:
        code = run(arguments)
    except Exception as error:
        _end_now(error)
    gc.freeze()
    try:
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open /dev/null for standard streams that the caller closed: the next file would take such a descriptor.

    `sys.stdin` stays None, so that a list expected from it is an error and not an empty list.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the stream's own.
            descriptor = os.open(os.devnull, os.O_WRONLY)
            if name != "stdin":
                setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8"))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code, raise unexpected errors."""
    try:
        result = cli.main(args=arguments, prog_name="imgctl", standalone_mode=False)
        return int(result or 0)
    except ImgctlError as error:
        return _say(error.line, error.exit_code)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        return _say("interrupted", ExitCode.INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    except click.ClickException as error:
        return _say(_usage_line(error), ExitCode.USAGE)
    except KeyboardInterrupt:
        return _say("interrupted", ExitCode.INTERRUPTED)
    except ReaderLeft:
        return _cut_off()
    except SystemExit:
        if "_IMGCTL_COMPLETE" in os.environ:
            # The shell has its completions.
            return ExitCode.DONE
        return _cut_off()


def _cut_off() -> int:
    """End silently, like a program killed by SIGPIPE: 0 would mean that everything was printed."""
    silence(sys.stdout)
    return ExitCode.CUT_OFF


def _end_now(error: BaseException) -> NoReturn:
    """Print a line and end the process with exit code 1, even if threads, pools or queues are still running.

    Nothing is closed or waited for: after a defect their state is unknown, and a run may be killed at any time anyway.
    """
    if "imgctl.run.progress" in sys.modules:
        from imgctl.run.progress import end_drawing

        with suppress(Exception):
            end_drawing()
    _say(unexpected(error).line, ExitCode.ERROR)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(ExitCode.ERROR)


def _thread_died(died: threading.ExceptHookArgs) -> None:
    """End the process when a thread of imgctl dies by an error: others would wait for it forever.

    Errors in threads of other libraries go to the default hook.
    """
    name = died.thread.name if died.thread else ""
    if died.exc_value is None or not name.startswith("imgctl "):
        threading.__excepthook__(died)
        return
    import logging

    logging.getLogger("imgctl").error("the thread %s failed", name, exc_info=died.exc_value)
    _end_now(died.exc_value)


def _usage_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return f"{text} ({context.command_path} --help)" if context else text


def _say(line: str, code: ExitCode) -> int:
    # A write error of stderr does not change the exit code.
    with suppress(OSError):
        click.echo(f"imgctl: {line}", err=True)
    return code
