"""The generated parts of the documentation: `python -m tools.docs --write` writes them, tests/test_docs.py compares.

The command reference and the tables of docs/reference come from the commands, the exit codes and the settings
themselves; `config.example.toml` comes from the settings.
"""

import argparse
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import click

from imgctl.cli.common.layout import EXIT_CODES, Command, Group
from imgctl.cli.main import COMMANDS, cli
from imgctl.config.catalog_store import SourceSettings
from imgctl.config.settings import Settings
from imgctl.imaging.formats import KNOWN, Format, Kind
from imgctl.run.telemetry.metrics import ALL

ROOT = Path(__file__).parent.parent
README, EXAMPLE = ROOT / "README.md", ROOT / "config.example.toml"
SCHEMA = ROOT / "docs/reference/ndjson.schema.json"
PAGES = [*sorted(ROOT.glob("[A-Z]*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
WIDTH = 100
# An escaped bar in a table cell.
BAR = "\\|"
HEADER = """\
# Every setting of imgctl with its default. Copy the settings that you change to ./imgctl.toml or
# ~/.config/imgctl/config.toml. Write durations as 30s, 15m, 24h or 90d, and sizes as 500KB, 1MiB or 2GiB.
# `make docs` generates this file.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLine:
    """One setting as the documentation shows it: `section` and `name` as in TOML, `default` as a TOML value."""

    section: str
    name: str
    default: str
    doc: str

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return f"IMGCTL_{self.section}_{self.name}".replace(".", "_").upper()


def setting_lines(node: object = None, section: str = "") -> Iterator[SettingLine]:
    """Every setting in the order of the settings' classes."""
    node = Settings() if node is None else node
    assert is_dataclass(node)
    for field in fields(node):
        value = getattr(node, field.name)
        if is_dataclass(value):
            yield from setting_lines(value, f"{section}.{field.name}".lstrip("."))
        elif field.metadata:
            default = toml_value(value, field.metadata["unit"])
            yield SettingLine(section=section, name=field.name, default=default, doc=field.metadata["doc"])


def toml_value(value: object, unit: str) -> str:
    """A setting's value as people write it in TOML: `"60s"`, `"512MiB"`, `16`, `"jpeg"`, `[]`."""
    if unit == "seconds":
        return f'"{value:g}s"'
    if unit == "bytes" and isinstance(value, int):
        return f'"{_bytes(value)}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{name}"' for name in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:_}" if value >= 10_000 else str(value)
    return f'"{value}"'


def _bytes(size: int) -> str:
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size and size % 2**power == 0:
            return f"{size >> power}{unit}"
    return str(size)


def example_toml() -> str:
    """The text of `config.example.toml`."""
    lines, section = [HEADER], ""
    for line in setting_lines():
        if line.section != section:
            section = line.section
            lines.append(f"\n[{section}]\n")
        lines.append(f"# {line.doc}\n{line.name} = {line.default}\n")
    # A [source] table needs a name, so its settings are shown as comments.
    lines.append("\n# A bucket to upload from: imgctl upload source:old\n# [source.old]\n")
    lines += [f"# {line.doc}\n# {line.name} = {line.default}\n" for line in source_lines()]
    return "".join(lines)


def source_lines() -> Iterator[SettingLine]:
    """Every setting of a [source.NAME] table."""
    return setting_lines(SourceSettings(), "source.NAME")


def settings_table() -> str:
    """Every setting, its environment variable, its default and what it means."""
    rows = [
        f"| `[{line.section}] {line.name}` | `{line.variable}` | `{line.default}` | {line.doc} |"
        for line in (*setting_lines(), *source_lines())
    ]
    return "\n".join(["| setting | environment | default | what it is |", "|---|---|---|---|", *rows])


def exit_table() -> str:
    """The exit codes and what they mean."""
    rows = [
        f"| {code} | {meaning.replace('|', BAR)} |"
        for code, meaning in re.findall(r"^ +(\d+)  (.+)$", EXIT_CODES, re.MULTILINE)
    ]
    return "\n".join(["| code | meaning |", "|---:|---|", *rows])


def commands() -> dict[str, Command | Group]:
    """Every command by its name, loaded; those of a group by two: `cost model`."""
    return {name: command for name in COMMANDS for name, command in _loaded(cli, name)}


def _loaded(group: click.Group, name: str, above: str = "") -> Iterator[tuple[str, Command | Group]]:
    with click.Context(group) as context:
        command = group.get_command(context, name)
        assert isinstance(command, Command | Group)
        yield f"{above}{name}", command
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                yield from _loaded(command, below, f"{above}{name} ")


def help_of(name: str, command: click.Command, *, columns: int = WIDTH) -> str:
    """Return the output of `imgctl NAME --help` on a terminal of this width."""
    title = f"imgctl {name}".strip()
    context = command.make_context(title, [], resilient_parsing=True, terminal_width=columns, max_content_width=WIDTH)
    return command.get_help(context)


def command_reference() -> str:
    """Return the `--help` of imgctl and of every command, without the table of exit codes, which has its own page."""
    parts = []
    for name, command in {"": cli, **commands()}.items():
        title = f"imgctl {name}".strip()
        text = help_of(name, command).split("\n\n  Exit codes:")[0]
        parts.append(f"## `{title}`\n\n```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)


SHOWN = {
    Kind.PICTURE: "the picture",
    Kind.RAW: "the camera's preview, else developed",
    Kind.FILM: "a poster frame",
}
SAYS_BY_KIND = {Kind.PICTURE: "date, caption", Kind.RAW: "date, caption", Kind.FILM: "date, caption"}
SIZE_ALONE = (
    Format.BMP,
    Format.PNM,
    Format.TGA,
    Format.PCX,
    Format.ICO,
    Format.SGI,
    Format.DDS,
    Format.QOI,
    Format.MPEG,
)
SAYS = dict.fromkeys(SIZE_ALONE, "none")
SAYS |= dict.fromkeys((Format.CRW, Format.AVI, Format.MTS, Format.WEBM, Format.MKV), "date")


def formats_table() -> str:
    """Return the table of known formats: upload support, contents of variants, metadata read, extra, and extensions."""
    lines = ["| format | kind | upload | variants | metadata | extra | names |", "|---|---|---|---|---|---|---|"]
    for row in KNOWN.values():
        names = " ".join(f"`.{name}`" for name in row.extensions)
        shown = SHOWN[row.kind] if row.supported else "–"
        read = (SAYS.get(row.format) or SAYS_BY_KIND[row.kind]) if row.supported else "–"
        taken, extra = "yes" if row.supported else "no", f"`{row.extra}`" if row.extra else "–"
        lines.append(f"| `{row.format}` | {row.kind} | {taken} | {shown} | {read} | {extra} | {names} |")
    return "\n".join(lines)


def records_tables() -> str:
    """Return the tables of the records that commands print with --json, from docs/reference/ndjson.schema.json."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    parts: list[str] = []
    for name, node in schema.items():
        shapes = node.get("anyOf", [node])
        parts.append(f"## `{name}`" if "anyOf" in node else f"## {name.replace('_', ' ').capitalize()}")
        for shape in shapes:
            fields = dict(shape["properties"])
            kind = fields.pop("type", {}).get("const")
            parts.append((f"**`{kind}`** " if kind else "") + shape["description"])
            rows = [f"| `{field}` | {_kind(of, required=field in shape['required'])} |" for field, of in fields.items()]
            parts.append("\n".join(["| field | what it is |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _kind(of: dict[str, Any], *, required: bool) -> str:
    """A field's type in words."""
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        words = f"[{name.replace('_', ' ')}](#{name.replace('_', '-')})"
    elif "anyOf" in of:
        words = " or ".join(_kind(one, required=True) for one in of["anyOf"])
    elif "enum" in of:
        words = ", ".join("null" if one is None else f"`{one}`" for one in of["enum"])
    elif of["type"] == "array" and "items" in of:
        words = f"list of {_kind(of['items'], required=True)}"
    elif of["type"] == "object" and isinstance(of.get("additionalProperties"), dict):
        words = f"object of {_kind(of['additionalProperties'], required=True)}"
    elif of.get("pattern", "").startswith("^-?"):
        words = "decimal or null" if "null" in of["type"] else "decimal"
    else:
        types = of["type"] if isinstance(of["type"], list) else [of["type"]]
        words = " or ".join(str(of.get("format", one)) if one == "string" else str(one) for one in types)
    about = f": {of['description']}" if "description" in of and "anyOf" not in of else ""
    return f"{words}{about}{'' if required else ' (not always there)'}"


def metrics_table() -> str:
    """Every metric, its labels, and what it is."""
    rows = [
        f"| `{one.name}`{' {' + ', '.join(one.labels) + '}' if one.labels else ''} | {one.kind} | {one.doc} |"
        for one in ALL
    ]
    return "\n".join(["| metric | type | what it is |", "|---|---|---|", *rows])


GENERATED = {
    "commands": command_reference,
    "formats": formats_table,
    "metrics": metrics_table,
    "records": records_tables,
    "settings": settings_table,
    "exit-codes": exit_table,
}


def filled(page: str) -> str:
    """Return a page with the text between its markers generated again."""
    for marker, make in GENERATED.items():
        opening, closing = f"<!-- {marker} -->", f"<!-- /{marker} -->"
        if opening in page:
            before, rest = page.split(opening)
            page = f"{before}{opening}\n{make()}\n{closing}{rest.split(closing)[1]}"
    return page


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the arguments of every `imgctl …` at the beginning of a line, after prompts and variables."""
    joined = text.replace("\\\n", " ")
    for found in re.finditer(r"^ *(?:\$ )?(?:[A-Z][A-Z0-9_]*=\S+ +)*imgctl (.+)$", joined, re.MULTILINE):
        words = shlex.split(found[1], comments=True)
        end = next((at for at, word in enumerate(words) if word in ("|", ">", ">>", "&&", "2>")), len(words))
        yield words[:end]


def parse(arguments: list[str]) -> str:
    """Parse a command line as imgctl would, without running it; returns the command's name, raises click's errors."""
    group: click.Group = cli
    names: list[str] = []
    while True:
        with click.Context(group, info_name=" ".join(["imgctl", *names])) as context:
            name, command, arguments = group.resolve_command(context, arguments)
            assert name is not None
            assert command is not None
            names.append(name)
            if not isinstance(command, click.Group):
                command.make_context(name, arguments, parent=context)
                return " ".join(names)
            group = command


def main() -> None:
    """With --write, write the pages and config.example.toml; without it, print the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    if not parser.parse_args().write:
        print(example_toml(), end="")
        return
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            page.write_text(after, encoding="utf-8")
    EXAMPLE.write_text(example_toml(), encoding="utf-8")


if __name__ == "__main__":
    main()
