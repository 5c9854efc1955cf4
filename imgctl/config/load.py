"""Settings from a TOML file, the environment and flags, with errors that name each unknown setting or invalid value."""

import re
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar

from imgctl.config.catalog_store import SourceSettings
from imgctl.config.convert import Value, convert
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError

D = TypeVar("D")

FILE_NAME = "imgctl.toml"
PREFIX = "IMGCTL_"
SOURCE = "source"
_KUBERNETES = r"(SERVICE_(HOST|PORT)|PORT)(_|$)"
# Deployments have variables of their own that begin like ours: a distant name is none of our settings.
_NEAR = 0.8
# The name between `source:` and a slash.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"


def load_settings(
    *,
    file: Path | None = None,
    environ: Mapping[str, str],
    flags: Mapping[str, Value] | None = None,
    flag_names: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """The settings in force: `flags` (`{"work.jobs": 4}`) over `environ` over the file over the defaults.

    `flag_names` maps a setting to its option, for errors: `{"work.jobs": "--jobs"}`.

    The file is `file`, else `$IMGCTL_CONFIG`, else `imgctl.toml` in `directory` (the current one), else
    `~/.config/imgctl/config.toml`; the last two may be absent. Raises ConfigError.
    """
    source = find_file(file, environ, directory or Path.cwd())
    settings = Settings()
    if source is not None:
        tables = _read(source)
        named = tables.pop(SOURCE, {})
        settings = _merge(settings, tables, f"{source}: ", "")
        settings = replace(settings, file=source, sources=_sources(named, f"{source}: "))
    settings = _from_environment(settings, environ)
    for name, value in (flags or {}).items():
        settings = _set(settings, name.split("."), value, (flag_names or {}).get(name, name))
    return settings


def find_file(file: Path | None, environ: Mapping[str, str], directory: Path) -> Path | None:
    """The configuration file in force, or None; ConfigError if an explicitly requested file does not exist."""
    requested = file or (Path(environ["IMGCTL_CONFIG"]) if environ.get("IMGCTL_CONFIG") else None)
    if requested is not None:
        if not _is_file(requested):
            raise ConfigError(f"{requested}: no such configuration file", hint="--config FILE, or unset IMGCTL_CONFIG")
        return requested
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    candidates = (directory / FILE_NAME, Path(home) / "imgctl" / "config.toml")
    return next((path for path in candidates if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # HOME may be another user's directory: `su` and containers don't reset it.
        return False


def setting_field(name: str) -> Field[object]:
    """The field of a setting by its path: `work.jobs`; ConfigError for an unknown setting."""
    *sections, last = name.split(".")
    node: object = Settings()
    for section in sections:
        node = getattr(node, section)
    return _field(node, last, name)


def variables(settings: Settings) -> dict[str, list[str]]:
    """The environment variables and the setting path of each: `IMGCTL_WORK_JOBS` → `["work", "jobs"]`."""
    return {PREFIX + "_".join(path).upper(): path for path in _paths(settings, [])}


def misspelt(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the environment that look like a setting's and are none, each with the nearest that is one.

    Kubernetes sets variables of this form for a Service named imgctl: `IMGCTL_SERVICE_PORT`, `IMGCTL_PORT_80_TCP`.
    """
    from difflib import get_close_matches

    known = [*variables(settings), f"{PREFIX}CONFIG"]
    endings, found = source_variables(), {}
    for variable in environ:
        text = variable.removeprefix(PREFIX)
        of_source = text.startswith(f"{SOURCE.upper()}_") and text.endswith(tuple(endings))
        if variable in known or text == variable or of_source or re.match(_KUBERNETES, text):
            continue
        if near := get_close_matches(variable, known, n=1, cutoff=_NEAR):
            found[variable] = near[0]
    return found


def source_variables() -> dict[str, str]:
    """Suffixes of the variables of [source.NAME] settings: `_ENDPOINT_URL` → `endpoint_url`, longest first."""
    names = sorted((field.name for field in fields(SourceSettings)), key=len, reverse=True)
    return {f"_{name.upper()}": name for name in names}


def _sources(tables: Value, where: str) -> dict[str, SourceSettings]:
    if not isinstance(tables, dict):
        raise ConfigError(f"{where}source is a section, not a value", hint="write [source.NAME]")
    found: dict[str, SourceSettings] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{where}[source] {name} is not a table", hint=f"write [source.NAME], and in it {name} = …"
            )
        found[_source_name(name, where)] = _merge(SourceSettings(), table, where, f"{SOURCE}.{name}")
    return found


def _source_name(name: str, where: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"{where}[source.{name}]: invalid name", hint="letters, digits, - and _")
    return name


def _sources_in(environ: Mapping[str, str], settings: Settings) -> Settings:
    """Apply the `IMGCTL_SOURCE_NAME_…` variables; a name is in lower case unless the file spells it otherwise."""
    endings, found = source_variables(), dict(settings.sources)
    known = {name.upper().replace("-", "_"): name for name in found}
    for variable, value in environ.items():
        text = variable.removeprefix(f"{PREFIX}{SOURCE.upper()}_")
        ending = next((one for one in endings if text.endswith(one) and text != one), None)
        if text == variable or ending is None or not value:
            continue
        upper_name = text.removesuffix(ending)
        name = known.get(upper_name) or _source_name(upper_name.lower(), f"{variable}: ")
        found[name] = _set(found.get(name, SourceSettings()), [endings[ending]], value, variable)
    return replace(settings, sources=found)


def _paths(node: object, path: list[str]) -> list[list[str]]:
    assert is_dataclass(node)
    found: list[list[str]] = []
    for field in fields(node):
        value = getattr(node, field.name)
        if is_dataclass(value):
            found += _paths(value, [*path, field.name])
        elif field.metadata:
            found.append([*path, field.name])
    return found


def _read(source: Path) -> dict[str, Value]:
    import tomllib

    try:
        # TOML is UTF-8, whatever the locale; Windows' editors put a mark before it.
        return tomllib.loads(source.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source}: line {line} is not UTF-8", hint="save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        # Also a number of thousands of digits, and arrays in arrays.
        raise ConfigError(f"{source}: not TOML: {error}", hint="see config.example.toml") from None
    except OSError as error:
        hint = "let the user that runs imgctl read it"
        raise ConfigError(f"{source}: cannot be read: {error.strerror or error}", hint=hint) from None


def _from_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    for variable, path in variables(settings).items():
        if environ.get(variable):
            settings = _set(settings, path, environ[variable], variable)
    return _sources_in(environ, settings)


def _set(node: D, path: list[str], value: Value, where: str) -> D:
    head, *rest = path
    field = _field(node, head, where)
    if rest:
        return _replaced(node, head, _set(getattr(node, head), rest, value, where))
    return _replaced(node, head, convert(node, field, value, where))


def _merge(node: D, table: Mapping[str, Value], where: str, section: str) -> D:
    for name, value in table.items():
        label = f"{where}[{section}] {name}" if section else f"{where}{name}"
        field = _field(node, name, label)
        current = getattr(node, name)
        if is_dataclass(current):
            below = f"{section}.{name}".lstrip(".")
            if not isinstance(value, dict):
                raise ConfigError(f"{label} is a section, not a value", hint=f"write [{below}]")
            node = _replaced(node, name, _merge(current, value, where, below))
        else:
            node = _replaced(node, name, convert(node, field, value, label))
    return node


def _replaced(node: D, name: str, value: object) -> D:
    assert is_dataclass(node) and not isinstance(node, type)
    return replace(node, **{name: value})


def _field(node: object, name: str, label: str) -> Field[object]:
    assert is_dataclass(node)
    known = {field.name: field for field in fields(node) if field.metadata or is_dataclass(getattr(node, field.name))}
    if name not in known:
        from difflib import get_close_matches

        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{label}: there is no such setting", hint=hint)
    return known[name]
