"""The command `imgctl`: names every subcommand, loads the one asked for, and turns errors into exit codes."""

import gc
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

import click

from imgctl import __version__
from imgctl.cli.layout import Group
from imgctl.errors import ExitCode, ImgctlError

# The short helps stand here so that `imgctl --help` imports click and nothing else.
COMMANDS: Final = {
    "init": "Create or upgrade the catalog's tables and check the store.",
    "doctor": "Check configuration, database, store, codecs and clock.",
    "upload": "Upload directories: originals to the store, rows to the catalog.",
    "verify": "Verify that every file of a source is safe here.",
    "insert": "Insert blobs that already lie in the store, by a manifest.",
    "listen": "Take in photos that a bucket reports through an SQS queue.",
    "watch": "Upload a directory, and what comes there, until stopped.",
    "work": "Build variants: take processing rows to ready or failed.",
    "backfill": "Build variants that are missing or out of date on ready rows.",
    "transition": "Move originals to a colder storage class, where that pays.",
    "restore": "Bring archived originals back, within a budget.",
    "audit": "Compare catalog and store, both ways; finds, changes nothing.",
    "repair": "Repair what an audit found; dry unless --apply.",
    "find": "Find images by name, content, caption or date, or list the newest.",
    "show": "Show all that is known of one image, and what would repair it.",
    "url": "Print a link to an image: by the CDN or signed.",
    "export": "Hand over everything of a user: originals, metadata, checksums.",
    "get": "Download an image's original and variants, verified.",
    "erase": "Delete images for good, with a signed receipt.",
    "hold": "Hold a user's images: nobody deletes them until a release.",
    "release": "End a hold, so that a user's images may be deleted again.",
    "stats": "Count images and bytes by user, day, state or class.",
    "history": "Show who changed what, when, and how it ended.",
    "top": "Show live the backlog, rates, workers, stuck rows and the bill.",
    "cost": "Show the monthly bill: modelled, actual, and what-if.",
    "apply": "Do what a --plan file says, refusing what drifted.",
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

# What a command is called besides.
ALIASES: Final = {"ls": "find"}

# Those that a first day needs; the help shows the others below.
FIRST: Final = ("demo", "init", "doctor", "upload", "work", "find", "show", "audit", "repair", "cost", "serve", "help")

EXAMPLES: Final = """
imgctl demo
imgctl upload ~/Pictures --user 0190b2b4-0000-7000-8000-000000000001
imgctl work --drain
imgctl help settings
"""


class ReaderLeft(Exception):
    """Whoever read stdout went away (`| head -1`); what was begun is settled, and no more is printed."""


@click.command(
    cls=Group, parts=COMMANDS, folders=FOLDERS, aliases=ALIASES, module="imgctl.cli", examples=EXAMPLES, main=FIRST
)
@click.version_option(__version__, prog_name="imgctl")
def cli() -> None:
    """Move photo archives into object storage and keep them healthy there.

    The catalog (SQL) holds a small row for each image, the store (a directory or S3) holds its bytes.
    Without any configuration both live under ./imgctl-data.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    # A command's imports make a hundred thousand objects that live to the end: to search them for garbage, again at
    # every threshold and at the exit, costs a third of a start. `run.limits` takes up the collection where work begins.
    gc.disable()
    threading.excepthook = _thread_died
    try:
        code = run(arguments)
    except Exception as error:
        _end_now(error)
    gc.freeze()
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        # Nobody reads it, and the interpreter's failure to flush it would be the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code of the table above, raises what imgctl has no name for."""
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
            # A shell asked for completions and has them.
            return ExitCode.DONE
        # Click exits by itself in one other case: EPIPE, where it printed a help text.
        return _cut_off()


def _cut_off() -> int:
    """End quietly, as programs do that SIGPIPE kills: 0 would say that all was printed."""
    # What is still in the buffer would be written at the exit, and its failure be told.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return ExitCode.CUT_OFF


def _end_now(error: BaseException) -> NoReturn:
    """End the process with a line and exit code 1, whatever threads, pools and queues stand.

    Nothing is closed or waited for: a defect says nothing of what it left behind, and a run may be killed at any time.
    """
    unexpected = ImgctlError(f"unexpected {type(error).__name__}: {error}", hint="-v shows where; please report it")
    if "imgctl.run.progress" in sys.modules:
        from imgctl.run.progress import end_drawing

        with suppress(Exception):
            end_drawing()
    _say(unexpected.line, ExitCode.ERROR)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(ExitCode.ERROR)


def _thread_died(died: threading.ExceptHookArgs) -> None:
    """A thread of imgctl that ends by an error would be waited for in vain; other libraries' threads are their own."""
    name = died.thread.name if died.thread else ""
    if died.exc_value is None or not name.startswith("imgctl "):
        threading.__excepthook__(died)
        return
    import logging

    logging.getLogger("imgctl").error("the thread %s ended", name, exc_info=died.exc_value)
    _end_now(died.exc_value)


def _usage_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return f"{text} ({context.command_path} --help)" if context else text


def _say(line: str, code: ExitCode) -> int:
    # A stderr that is full or gone leaves the code.
    with suppress(OSError):
        click.echo(f"imgctl: {line}", err=True)
    return code
