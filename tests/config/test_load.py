"""Tests of settings from flags, environment, file and defaults."""

import re
import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.config.catalog_store import SourceSettings, StoreSettings
from imgctl.config.convert import Value
from imgctl.config.load import load_settings, misspelt, variables
from imgctl.config.settings import Settings, WorkSettings
from imgctl.errors import ConfigError, ExitCode
from imgctl.model import Recipe

Plain: TypeAlias = "str | int | float | tuple[str, ...]"

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
PATHS = {".".join(path): variable for variable, path in variables(Settings()).items()}
OTHER_TEXTS: dict[str, Plain] = {
    "links.cdn": "https://images.example.org",
    "notify.webhook_url": "https://app.example.org/hook",
    "notify.ping_url": "https://hc-ping.com/some-uuid",
    "otel.sample": 0.5,
    "users.namespace": "0190b2b4-0000-7000-8000-00000000000a",
    "serve.tokens": (f"phone:read+write:*:{'0' * 64}",),
    "listen.inbox": "inbox/",
    "listen.user": "0190b2b4-0000-7000-8000-000000000001",
    "listen.user_from": ("{user}/**",),
    "variants.background": "#000000",
    "variants.keep": ("copyright",),
    "store.originals_prefix": "originals/",
    "store.variants_prefix": "variants of mine/é/",
}


def owner(path: str) -> object:
    """The default settings of the section that holds this setting."""
    node: object = Settings()
    for name in path.split(".")[:-1]:
        node = getattr(node, name)
    return node


def default(path: str) -> Plain:
    """The default of a setting."""
    value: Plain = getattr(owner(path), path.rpartition(".")[2])
    return value


def other(path: str) -> Plain:
    """Return a valid value of a setting that is not its default."""
    if path in OTHER_TEXTS:
        return OTHER_TEXTS[path]
    value, kind = default(path), get_type_hints(type(owner(path)))[path.rpartition(".")[2]]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    choices = get_args(kind) if get_origin(kind) is Literal else list(kind) if hasattr(kind, "__members__") else ()
    return next((str(choice) for choice in choices if choice != value), f"{value}-other")


def toml(path: str, value: Plain) -> str:
    """A file that sets one setting to one value."""
    section, _, name = path.rpartition(".")
    texts = "[" + ", ".join(f'"{text}"' for text in value) + "]" if isinstance(value, tuple) else f'"{value}"'
    return f"[{section}]\n{name} = {str(value).lower() if isinstance(value, (int, float)) else texts}\n"


def text_of(value: Plain) -> str:
    """A value as an environment variable holds it."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def flag_of(value: Plain) -> Value:
    return list(value) if isinstance(value, tuple) else value


def setting(settings: Settings, path: str) -> Plain:
    node: object = settings
    for name in path.split("."):
        node = getattr(node, name)
    assert isinstance(node, (str, int, float, tuple))
    return node


def load(directory: Path, text: str = "", **environ: str) -> Settings:
    """Load with a file of this text, in a directory that holds nothing else."""
    file = directory / "chosen.toml"
    file.write_text(text)
    return load_settings(file=file, environ=environ, directory=directory)


def refused(directory: Path, text: str = "", **environ: str) -> str:
    """Return the one line of the error that loading raises."""
    with pytest.raises(ConfigError) as caught:
        load(directory, text, **environ)
    return caught.value.line


def test_example_file_equals_the_defaults() -> None:
    loaded = load_settings(file=EXAMPLE, environ={})

    assert loaded == Settings(file=EXAMPLE)


def test_example_file_contains_every_setting() -> None:
    example = tomllib.loads(EXAMPLE.read_text())

    assert [path for path in PATHS if not _contains(example, path.split("."))] == []


def _contains(node: object, names: list[str]) -> bool:
    if not names:
        return True
    return isinstance(node, dict) and names[0] in node and _contains(node[names[0]], names[1:])


def test_example_file_describes_every_setting() -> None:
    lines = EXAMPLE.read_text().splitlines()
    bare = [line for before, line in pairwise(lines) if " = " in line and not before.startswith("# ")]

    assert not bare


@pytest.mark.parametrize("path", PATHS)
def test_file_overrides_default(path: str, tmp_path: Path) -> None:
    assert other(path) != default(path)
    assert setting(load(tmp_path, toml(path, other(path))), path) == other(path)


@pytest.mark.parametrize(("path", "variable"), PATHS.items())
def test_environment_overrides_file(path: str, variable: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, toml(path, default(path)), **{variable: text_of(other(path))})

    assert setting(loaded, path) == other(path)


@pytest.mark.parametrize(("path", "variable"), PATHS.items())
def test_flag_overrides_environment_and_file(path: str, variable: str, tmp_path: Path) -> None:
    file = tmp_path / "chosen.toml"
    file.write_text(toml(path, other(path)))
    environ = {variable: text_of(other(path))}

    loaded = load_settings(file=file, environ=environ, flags={path: flag_of(default(path))}, directory=tmp_path)

    assert setting(loaded, path) == default(path)


@pytest.mark.parametrize("path", PATHS)
def test_one_setting_changes_no_other(path: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, toml(path, other(path)))

    assert [name for name in PATHS if setting(loaded, name) != default(name)] == [path]


def test_variables_are_named_after_section_and_setting() -> None:
    assert PATHS["store.endpoint_url"] == "IMGCTL_STORE_ENDPOINT_URL"
    assert PATHS["variants.thumb.max_edge_px"] == "IMGCTL_VARIANTS_THUMB_MAX_EDGE_PX"


def test_no_two_settings_share_a_variable() -> None:
    assert len(set(PATHS.values())) == len(PATHS) > 20


def test_empty_variable_is_ignored(tmp_path: Path) -> None:
    assert load(tmp_path, "[work]\njobs = 3\n", IMGCTL_WORK_JOBS="").work.jobs == 3


def test_misspelt_variable_is_found_with_its_correction() -> None:
    environ = dict.fromkeys(PATHS.values(), "1") | {
        "IMGCTL_UPLOD_MEMORY": "1GiB",
        "IMGCTL_WORK_JOB": "4",
        "IMGCTL_CONFIG": "imgctl.toml",
        "IMGCTL_SOURCE_OLD_URL": "s3://old",
        "IMGCTL_SERVICE_PORT": "80",
        "IMGCTL_PORT_80_TCP_ADDR": "10.0.0.1",
        "IMGCTL_DEPLOYED_BY": "ops",
        "WORK_JOB": "4",
    }

    found = misspelt(Settings(), environ)

    assert found == {"IMGCTL_UPLOD_MEMORY": "IMGCTL_UPLOAD_MEMORY", "IMGCTL_WORK_JOB": "IMGCTL_WORK_JOBS"}


@given(jobs=st.integers(0, 1024), lease=st.floats(1, 3600))
def test_numbers_round_trip_through_text(jobs: int, lease: float) -> None:
    environ = {"IMGCTL_WORK_JOBS": str(jobs), "IMGCTL_WORK_LEASE": f"{lease:.3f}"}

    loaded = load_settings(environ=environ, directory=EXAMPLE.parent / "tests")

    assert (loaded.work.jobs, loaded.work.lease) == (jobs, float(f"{lease:.3f}"))


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ('[store]\ntimeout = "500ms"', "store.timeout", 0.5),
        ('[work]\nlease = "15m"', "work.lease", 900.0),
        ("[work]\nlease = 90", "work.lease", 90.0),
        ('[upload]\nmemory = "1GiB"', "upload.memory", 2**30),
        ('[upload]\nmemory = "2MB"', "upload.memory", 2_000_000),
        ("[upload]\nmemory = 1048576", "upload.memory", 2**20),
    ],
)
def test_durations_and_sizes_are_read_with_and_without_units(
    text: str, path: str, value: float, tmp_path: Path
) -> None:
    assert setting(load(tmp_path, text), path) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[store]\nendpont_url = 'x'", r"chosen\.toml: \[store\] endpont_url: .*did you mean endpoint_url\?"),
        ("[work]\nzzz = 1", r"\[work\] zzz: there is no such setting .*known: jobs, timeout"),
        ("[stroe]\nurl = 'x'", r"chosen\.toml: stroe: .*did you mean store\?"),
        ("[variants.thump]\nquality = 1", r"\[variants\] thump: .*did you mean thumb\?"),
        ("file = 'x'", r"file: there is no such setting"),
        ("source = 'x'", r"source is a section, not a value .*\[source.NAME\]"),
        ("[source]\nurl = 'x'", r"\[source\] url is not a table"),
        ("[source.old]\nendpont_url = 'x'", r"\[source.old\] endpont_url: .*did you mean endpoint_url\?"),
        ("[source.'a/b']\nurl = 'x'", r"\[source.a/b\]: invalid name"),
        ("[variants]\nthumb = 320", r"\[variants\] thumb is a section, not a value .*\[variants\.thumb\]"),
        ("store = 's3://photos'", r"store is a section, not a value .*\[store\]"),
        ("[upload]\nconcurrency = 'many'", r"\[upload\] concurrency: .*how many puts are in flight"),
        ("[upload]\nconcurrency = true", r"\[upload\] concurrency: True is not a number"),
        ("[upload]\nconcurrency = 1.5", r"\[upload\] concurrency: 1\.5 is not a whole number"),
        ("[upload]\nconcurrency = [1]", r"\[upload\] concurrency: \[1\] is not a number"),
        ("[store]\nurl = 1", r"\[store\] url: 1 is not a text"),
        ("[variants]\nkeep = 1", r"\[variants\] keep: 1 is not a list of names"),
        ("[variants]\nkeep = ['gps']", r"\[variants\] keep: 'gps' is invalid"),
        ("[variants]\nbackground = 'white'", r"\[variants\] background: 'white' is invalid"),
        ("[variants.full]\nformat = 'gif'", r"\[variants\.full\] format: 'gif' is not one of jpeg, webp, avif"),
        ("[log]\nlevel = 'loud'", r"\[log\] level: 'loud' is not one of debug, info"),
        ("[work]\nlease = '15 parsecs'", r"\[work\] lease: '15 parsecs' is not a duration"),
        ("[upload]\nmemory = 'much'", r"\[upload\] memory: 'much' is not a size"),
        ("[variants.thumb]\nquality = 0", r"\[variants\.thumb\] quality: 0 is below 1"),
        ("[upload]\nconcurrency = 1025", r"\[upload\] concurrency: 1025 is above 1,024"),
        ("[variants.thumb]\nquality = 101", r"\[variants\.thumb\] quality: 101 is above 100"),
        ("[work]\nmemory = '1MiB'", r"\[work\] memory: 1MiB is below"),
        ("[work\njobs = 1", r"chosen\.toml: not TOML: .*config\.example\.toml"),
        (f"jobs = {'[' * 5000}", r"chosen\.toml: not TOML: "),
        (f"jobs = {'9' * 5000}", r"chosen\.toml: not TOML: "),
    ],
)
def test_invalid_file_is_refused_with_the_setting(text: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(tmp_path, text))


def test_invalid_variable_is_refused_with_its_name(tmp_path: Path) -> None:
    assert refused(tmp_path, IMGCTL_WORK_JOBS="-1").startswith("IMGCTL_WORK_JOBS: -1 is below 0")


@pytest.mark.parametrize(
    "text",
    [
        "[serve]\ntokens = ['s3cr3t']",
        "[serve]\ntokens = 's3cr3t'",
        "[serve]\ntokens = [['s3cr3t']]",
        "[serve]\nsecret = ['s3cr3t']",
        "[notify]\nsecret = ['s3cr3t']",
        "[notify]\nwebhook_url = 'hooks.example.org/s3cr3t'",
        "[notify]\nping_url = 'hc-ping.com/s3cr3t'",
        "[catalog]\nurl = ['postgresql+psycopg://me:s3cr3t@db/photos']",
    ],
)
def test_invalid_secret_is_refused_without_its_value(text: str, tmp_path: Path) -> None:
    message = refused(tmp_path, text)

    assert re.search(r"\[(serve|notify|catalog)\] \w+: the value is", message)
    assert "s3cr3t" not in message


def test_url_with_a_trailing_line_feed_is_refused_without_its_value(tmp_path: Path) -> None:
    message = refused(tmp_path, IMGCTL_CATALOG_URL="postgresql://me:s3cr3t@db/photos\n")

    assert message.startswith("IMGCTL_CATALOG_URL: contains a line feed")
    assert "s3cr3t" not in message


def test_unreadable_home_is_ignored(tmp_path: Path) -> None:
    assert load_settings(environ={"HOME": f"/{'x' * 5000}"}, directory=tmp_path) == Settings()


@pytest.mark.parametrize("prefix", ["/a/", "a//b/", "../a/", "a/./", ".hidden/", "no-slash", "a\tb/", "l" * 200 + "/"])
def test_prefix_that_no_key_can_have_is_refused(prefix: str, tmp_path: Path) -> None:
    assert "is invalid" in refused(tmp_path, IMGCTL_STORE_ORIGINALS_PREFIX=prefix)


def test_invalid_flag_is_refused_with_its_name() -> None:
    flags, names = {"work.max_attempts": "x"}, {"work.max_attempts": "--max-attempts"}

    with pytest.raises(ConfigError, match=r"--max-attempts: .*'x'"):
        load_settings(environ={}, flags=flags, flag_names=names, directory=EXAMPLE.parent / "tests")


def test_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "chosen.toml"
    file.write_bytes(b'[store]\nurl = "\xff"\n')

    with pytest.raises(ConfigError, match=r"chosen\.toml: line 2 is not UTF-8"):
        load_settings(file=file, environ={})


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "chosen.toml"
    file.write_text("[work]\njobs = 3\n", encoding="utf-8-sig")

    assert load_settings(file=file, environ={}).work.jobs == 3


def test_file_is_read_as_utf8_in_any_locale(tmp_path: Path) -> None:
    file = tmp_path / "chosen.toml"
    file.write_text("[listen]\ninbox = 'füße/'\n", encoding="utf-8")
    program = "import sys; from imgctl.config.load import *; print(ascii(load_settings(file=Path(sys.argv[1]), environ={}).listen.inbox))"
    # Without UTF-8 mode Python takes the encoding of the locale, which is ASCII here.
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program, file], env=plain, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == ascii("füße/"), done.stderr


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(file=tmp_path / "absent.toml", environ={})

    assert caught.value.exit_code is ExitCode.USAGE
    assert "absent.toml: no such configuration file" in caught.value.line


def test_file_named_by_the_environment_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_settings(environ={"IMGCTL_CONFIG": str(tmp_path / "absent.toml")}, directory=tmp_path)


def files_everywhere(directory: Path) -> dict[str, str]:
    """Write a file to each place of the search order, each with another number of jobs; return their environment."""
    places = {1: "named.toml", 2: "variable.toml", 3: "imgctl.toml", 4: "xdg/imgctl/config.toml"}
    for jobs, place in (places | {5: "home/.config/imgctl/config.toml"}).items():
        (directory / place).parent.mkdir(parents=True, exist_ok=True)
        (directory / place).write_text(f"[work]\njobs = {jobs}\n")
    return {
        "IMGCTL_CONFIG": str(directory / "variable.toml"),
        "XDG_CONFIG_HOME": str(directory / "xdg"),
        "HOME": str(directory / "home"),
    }


def test_files_are_looked_up_in_order(tmp_path: Path) -> None:
    environ = files_everywhere(tmp_path)
    found = [load_settings(file=tmp_path / "named.toml", environ=environ, directory=tmp_path)]
    found.append(load_settings(environ=environ, directory=tmp_path))
    del environ["IMGCTL_CONFIG"]
    found.append(load_settings(environ=environ, directory=tmp_path))
    found.append(load_settings(environ=environ, directory=tmp_path / "home"))
    del environ["XDG_CONFIG_HOME"]
    found.append(load_settings(environ=environ, directory=tmp_path / "home"))

    assert [settings.work.jobs for settings in found] == [1, 2, 3, 4, 5]


def test_settings_contain_the_path_of_their_file(tmp_path: Path) -> None:
    assert load(tmp_path).file == tmp_path / "chosen.toml"


def test_defaults_apply_without_a_file(tmp_path: Path) -> None:
    assert load_settings(environ={"HOME": str(tmp_path)}, directory=tmp_path) == Settings()


def test_unknown_variables_are_ignored(tmp_path: Path) -> None:
    assert load(tmp_path, IMGCTL_SOMETHING="else").work == WorkSettings()


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().store = StoreSettings()  # type: ignore[misc]


def test_every_setting_has_a_description() -> None:
    def undocumented(node: object, path: str) -> list[str]:
        assert is_dataclass(node)
        found = []
        for field in fields(node):
            value = getattr(node, field.name)
            if is_dataclass(value):
                found += undocumented(value, f"{path}{field.name}.")
            elif not field.metadata.get("doc"):
                found.append(f"{path}{field.name}")
        return found

    assert undocumented(Settings(), "") == ["store.anonymous", "sources", "file"]


def test_default_settings_make_the_default_recipe() -> None:
    assert Settings().variants.recipe() == Recipe()


def test_a_source_has_the_same_options_as_a_store() -> None:
    others = {"timeout": 5.0, "retries": 3, "requester_pays": True, "addressing": "path", "anonymous": True}
    named: dict[str, Any] = {
        field.name: others.get(field.name, f"some {field.name}") for field in fields(SourceSettings)
    }
    source = SourceSettings(**named)

    store = source.as_store()

    assert {name: getattr(store, name) for name in named} == named
    assert store.as_source(source.url) == replace(source, anonymous=False)
