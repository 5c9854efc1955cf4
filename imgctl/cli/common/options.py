"""Options as fields of a frozen dataclass, declared once; click's parameters are derived from them."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, TypeVar, cast, get_args, get_origin
from uuid import UUID

import click

from imgctl.cli.common.types import AMOUNT, DURATION, FILE, TEXT, TIME, USER, OneOf
from imgctl.config.load import setting_field

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from imgctl.ops.common.rows import Chosen
    from imgctl.store.catalog.queries.lookups import Scope

T = TypeVar("T")

# The click type for a field's annotation, unless the field sets its `kind`.
_KINDS: Mapping[object, click.ParamType[object]] = {
    UUID: USER,
    datetime: TIME,
    float: DURATION,
    Decimal: AMOUNT,
    Path: FILE,
    int: click.IntRange(min=1),
    str: TEXT,
}


def option(
    default: T,
    doc: str,
    *,
    kind: click.ParamType[object] | None = None,
    name: str = "",
    metavar: str = "",
    text: str = "",
) -> T:
    """Declare an option: its default, shown as `text` if set, and a line of help.

    Its name is the field's (`--older-than`) unless `name` is set; a bool is a flag, a tuple may be repeated.
    """
    rules = {"doc": doc, "kind": kind, "name": name, "metavar": metavar, "text": text}
    value: T = field(default=default, metadata=rules)
    return value


def flag(doc: str) -> bool:
    """Declare an option without a value."""
    return option(default=False, doc=doc)


def switch(name: str, doc: str) -> bool:
    """Declare an option that is on unless its `--no-…` form is given."""
    return option(default=True, doc=doc, name=name)


def required(_: type[T], doc: str, *, kind: click.ParamType[object] | None = None, metavar: str = "") -> T:
    """Declare a required option."""
    value: T = field(metadata={"doc": doc, "kind": kind, "name": "", "metavar": metavar, "text": ""})
    return value


def argument(metavar: str, *, kind: click.ParamType[object] | None = None) -> str:
    """Declare a required positional argument."""
    value: str = field(metadata={"argument": metavar, "kind": kind})
    return value


def optional(metavar: str) -> str | None:
    """Declare an optional positional argument."""
    value: str | None = field(default=None, metadata={"argument": metavar, "kind": None})
    return value


def file_argument(metavar: str) -> Path:
    """Declare a positional argument that names a file."""
    value: Path = field(metadata={"argument": metavar, "kind": FILE})
    return value


def arguments(metavar: str) -> tuple[str, ...]:
    """Declare any number of positional arguments; at least one if the metavar is not in brackets."""
    value: tuple[str, ...] = field(metadata={"argument": metavar, "kind": None})
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a command; this base has none of its own."""


@contextmanager
def stdin_file(option: str) -> Iterator[Path]:
    """Copy the standard input that an option names to a temporary file, which can be read twice, and yield its path."""
    from imgctl.ops.upload.lists import standard_input
    from imgctl.run.scratch import Scratch

    with Scratch("stdin") as scratch, standard_input(option) as source:
        file = scratch.path / "stdin"
        with file.open("wb") as kept:
            shutil.copyfileobj(source, kept)
        yield file


def order_of(kind: type[T], args: Options, **more: object) -> T:
    """Build an operation's order from the fields that it shares with `args`, and from `more`."""
    names = {one.name for one in fields(args)}
    same = {one.name: getattr(args, one.name) for one in fields(cast("type[Options]", kind)) if one.name in names}
    return cast("Callable[..., T]", kind)(**{**same, **more})


def parameters(options: type[Options]) -> Iterator[click.Parameter]:
    """Yield click's parameters for the fields of a command's options, in order."""
    for one in fields(options):
        rules = one.metadata
        if "argument" in rules:
            optional = str(rules["argument"]).startswith("[")
            several = get_origin(one.type) is tuple
            yield click.Argument(
                [one.name],
                type=rules["kind"] or TEXT,
                metavar=rules["argument"],
                shell_complete=_suggest if re.search(r"\b(ID|SOURCE)\b", rules["argument"]) else None,
                nargs=-1 if several else 1,
                required=not optional,
            )
        else:
            yield _option(one)


def typed_name(one: Field[object]) -> str:
    """An option's name as it is typed, without dashes before it; an argument's is the field's."""
    return str(one.metadata.get("name") or one.name).split("/")[0].lstrip("-").replace("-", "_")


def _option(one: Field[object]) -> click.Option:
    rules, annotation = one.metadata, _inner(one.type)
    several = get_origin(annotation) is tuple
    default = None if one.default is MISSING else rules["text"] or one.default
    default = default.value if isinstance(default, StrEnum) else default
    flag = annotation is bool
    kind = rules["kind"] or _kind(get_args(annotation)[0] if several else annotation)
    shown = bool(default) and not flag and not several and not isinstance(default, frozenset)
    # Click treats a default of None as a default that was set.
    make = click.Option if one.default is MISSING else partial(click.Option, default=default)
    return make(
        [rules["name"] or f"--{one.name.replace('_', '-')}", one.name],
        required=one.default is MISSING,
        type=None if flag else kind,
        is_flag=flag,
        multiple=several,
        metavar=rules["metavar"] or ("N" if isinstance(kind, click.IntRange) else "FILE" if kind is FILE else None),
        show_default=shown,
        help=rules["doc"],
        shell_complete=_suggest if kind is USER else None,
    )


def _suggest(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from imgctl.cli.common.suggest import suggest

    return suggest(ctx, param, incomplete)


def _kind(annotation: object) -> click.ParamType[object] | None:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return OneOf(annotation)
    return _KINDS.get(annotation)


def _inner(annotation: object) -> object:
    """`T` of `T | None`."""
    rest = [one for one in get_args(annotation) if one is not NoneType]
    return rest[0] if NoneType in get_args(annotation) else annotation


def setting_option(setting: str, doc: str) -> click.Option:
    """Return the option that overrides a setting: `--max-attempts` for `work.max_attempts`; `doc` replaces its help."""
    found, last = setting_field(setting), setting.rpartition(".")[2]
    text = doc or f"{found.metadata['doc'][:1].upper()}{found.metadata['doc'][1:]}."
    metavar = _UNITS.get(found.metadata["unit"]) or ("N" if isinstance(found.default, int) else _TEXTS[last])
    section, name = setting.split(".")
    return click.Option(
        [option_name(setting), setting.replace(".", "_")], metavar=metavar, help=f"{text} [{section}] {name}"
    )


def option_name(setting: str) -> str:
    """Return the name of the option that overrides a setting."""
    return _FLAGS.get(setting, f"--{setting.rpartition('.')[2].replace('_', '-')}")


_UNITS = {"seconds": "DURATION", "bytes": "SIZE"}
_TEXTS = {
    "url": "URL",
    "endpoint_url": "URL",
    "ping_url": "URL",
    "file": "FILE",
    "card": "FILE",
    "journal": "FILE",
    "textfile": "FILE",
    "scheduler": "URL",
    "host": "ADDRESS",
    "sqs": "URL",
    "dead_letter": "URL",
    "inbox": "PREFIX",
}
_FLAGS = {
    "catalog.url": "--catalog",
    "store.url": "--store",
    "store.endpoint_url": "--store-endpoint-url",
    "log.file": "--log-file",
    "metrics.port": "--metrics-port",
    "metrics.textfile": "--metrics-textfile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOptions(Options):
    """Options that choose rows by user and by time."""

    user: UUID | None = option(None, "Only this user's images.")
    since: datetime | None = option(None, "Uploaded at this time or later: 24h, 2026-11-22.")
    until: datetime | None = option(None, "Uploaded before this time: 90d, 2026-11-22.")

    @property
    def scope(self) -> "Scope":
        """The options as a scope of the catalog."""
        from imgctl.store.catalog.queries.lookups import Scope

        return Scope(user_id=self.user, since=self.since, until=self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeOptions(RangeOptions):
    """Options that choose rows by user, by time, or by a file of ids."""

    ids_from: Path | None = option(
        None,
        "Only the images in this file: on each line an id, a key or a JSON object with an id.",
        kind=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE|-",
    )

    @property
    def is_scoped(self) -> bool:
        """Whether the options choose rows."""
        return bool(self.user or self.since or self.until or self.ids_from)

    @contextmanager
    def chosen(self) -> "Iterator[Chosen]":
        """Yield the options as operations take them."""
        from imgctl.ops.common.rows import Chosen

        if self.ids_from is None or str(self.ids_from) != "-":
            yield Chosen(scope=self.scope, ids_from=self.ids_from)
            return
        with stdin_file("--ids-from") as file:
            yield Chosen(scope=self.scope, ids_from=file)
