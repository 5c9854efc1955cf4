"""One log file for all processes: no line is lost or torn, and none contains a credential."""

import json
import logging
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from imgctl.config.service import LogSettings
from imgctl.errors import ConfigError
from imgctl.run.logs import JsonFormatter, PlainFormatter, configure, redact
from imgctl.run.telemetry.trace import within
from tests.run.programs import ROOT

LINES = 500
PROCESSES = 4


@pytest.fixture
def clean_logging() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("", "imgctl")}
    raising = logging.raiseExceptions
    yield
    configure(LogSettings(), verbosity=0)
    logging.captureWarnings(capture=False)
    logging.raiseExceptions = raising
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _write_lines(settings: LogSettings, writer: int) -> None:
    configure(settings, verbosity=0)
    for number in range(LINES):
        logging.getLogger("imgctl.work").info("writer %d line %d", writer, number, extra={"key": "x" * (number % 40)})


def test_processes_share_a_rotating_file_without_losing_a_line(tmp_path: Path) -> None:
    file = tmp_path / "imgctl.log"
    settings = LogSettings(file=str(file), format="json", max_bytes=16384, backups=500)
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_lines, args=(settings, writer)) for writer in range(PROCESSES)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()

    files = list(tmp_path.glob("imgctl.log*"))
    records = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert len(files) > 5
    assert sorted(record["message"] for record in records) == sorted(
        f"writer {writer} line {number}" for writer in range(PROCESSES) for number in range(LINES)
    )
    assert {record["pid"] for record in records} == {process.pid for process in writers}


@pytest.mark.usefixtures("clean_logging")
def test_a_json_line_has_every_field(tmp_path: Path) -> None:
    file = tmp_path / "imgctl.log"
    configure(LogSettings(file=str(file), format="json"), verbosity=0)
    try:
        raise ValueError("odd picture")
    except ValueError:
        logging.getLogger("imgctl.work").exception("failed %s", "a.jpg", extra={"key": "a.jpg", "attempts": 2})

    record = json.loads(file.read_text())
    assert {name: record[name] for name in ("level", "logger", "message", "key", "attempts")} == {
        "level": "error", "logger": "imgctl.work", "message": "failed a.jpg", "key": "a.jpg", "attempts": 2,
    }  # fmt: skip
    assert "ValueError: odd picture" in record["exception"]
    assert record["time"].endswith("Z")
    assert len(record["time"]) == len("2026-01-01T00:00:00.000Z")


@pytest.mark.usefixtures("clean_logging")
def test_libraries_are_logged_from_warnings_on(tmp_path: Path) -> None:
    file = tmp_path / "imgctl.log"
    configure(LogSettings(file=str(file), level="debug"), verbosity=0)
    logging.getLogger("botocore").info("chatter")
    logging.getLogger("botocore").warning("trouble")
    logging.getLogger("imgctl.work").debug("detail")

    text = file.read_text()
    assert "chatter" not in text
    assert ("trouble" in text, "detail" in text) == (True, True)


@pytest.mark.usefixtures("clean_logging")
def test_configuring_twice_writes_once(tmp_path: Path) -> None:
    file = tmp_path / "imgctl.log"
    for _ in range(2):
        configure(LogSettings(file=str(file)), verbosity=0)
    logging.getLogger("imgctl.work").info("once")

    assert file.read_text().count("once") == 1


@pytest.mark.usefixtures("clean_logging")
def test_a_file_that_cannot_be_opened_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened") as caught:
        configure(LogSettings(file=str(tmp_path / "nowhere" / "imgctl.log")), verbosity=0)

    assert "--log-file" in caught.value.hint


ODD = os.fsdecode(b"a\xff\n\x1b[2J.jpg")


@pytest.mark.usefixtures("clean_logging")
def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    configure(LogSettings(file="~/imgctl.log"), verbosity=0)
    logging.getLogger("imgctl.work").info("at home")

    assert "at home" in (tmp_path / "imgctl.log").read_text()


@pytest.mark.usefixtures("clean_logging")
def test_an_odd_file_name_stays_on_one_line_without_loss(tmp_path: Path) -> None:
    files = {one: tmp_path / one for one in ("plain", "json")}
    for one, file in files.items():
        configure(LogSettings(file=str(file), format=one), verbosity=-1)  # type: ignore[arg-type]
        logging.getLogger("imgctl.work").info("put %s", ODD, extra={"file": ODD, "share": float("nan")})

    [plain], [line] = (file.read_text().splitlines() for file in files.values())
    record = json.loads(line, parse_constant=pytest.fail)
    assert plain.endswith(r" imgctl.work: put a\udcff\n\x1b[2J.jpg")
    assert (record["message"], record["file"]) == (f"put {ODD}", ODD)


@pytest.mark.usefixtures("clean_logging")
def test_the_first_lost_record_is_reported_and_the_log_recovers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "logs"
    place.mkdir()
    configure(LogSettings(file=str(place / "imgctl.log")), verbosity=0)
    logger = logging.getLogger("imgctl.work")
    logger.info("before")
    shutil.rmtree(place)
    for number in range(3):
        logger.info("lost %d", number)
    place.mkdir()
    logger.info("after")

    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"WARNING: the log file {place}/imgctl.log cannot be written (No such file or directory")
    assert "after" in (place / "imgctl.log").read_text()


def test_a_device_is_neither_rotated_nor_locked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = """
import logging
from imgctl.config.service import LogSettings
from imgctl.run.logs import configure
for file in ("/dev/full", "/dev/null", "/dev/stdout"):
    configure(LogSettings(file=file, max_bytes=4096), verbosity=0)
    for number in range(200):
        logging.getLogger("imgctl.work").info("%s line %d", file, number)
"""
    with out.open("wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, check=True, stdout=stdout, stderr=subprocess.PIPE, text=True
        )

    [line] = done.stderr.splitlines()
    assert line.startswith("WARNING: the log file /dev/full cannot be written ([Errno 28] No space left on device): ")
    assert out.read_text().count("/dev/stdout line") == 200
    assert list(Path("/dev").glob(".__*.lock")) == []
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.parametrize(("verbosity", "stderr"), [(0, ""), (1, "INFO: ours\n"), (2, "INFO: ours\nDEBUG: detail\n")])
def test_without_a_file_stderr_shows_only_imgctl_at_the_requested_level(verbosity: int, stderr: str) -> None:
    program = f"""
import logging, sys, warnings
from imgctl.config.service import LogSettings
from imgctl.run.logs import configure
configure(LogSettings(), verbosity={verbosity})
logging.getLogger("urllib3").error("theirs")
logging.getLogger("imgctl.work").info("ours")
logging.getLogger("imgctl.work").debug("detail")
warnings.warn("old", stacklevel=1)
print("concurrent_log_handler" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("False\n", stderr)


BASE64 = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+", min_size=20, max_size=60)
PLACES = st.sampled_from([
    "aws_secret_access_key={}", "aws_secret_access_key = {}", '"aws_secret_access_key": "{}"', "AWS_SECRET_ACCESS_KEY={}",
    "{{'SecretAccessKey': '{}', 'Expiration': 1}}", "aws_session_token={}", "'SessionToken': '{}'",
    "https://b.s3.amazonaws.com/a.jpg?X-Amz-Date=1&X-Amz-Signature={}&x-id=GetObject",
    "https://b.s3.amazonaws.com/a.jpg?X-Amz-Credential={}&X-Amz-Date=1",
    "https://b.s3.amazonaws.com/a.jpg?X-Amz-Security-Token={}",
    "{{'X-Amz-Security-Token': b'{}'}}", "x-amz-security-token: {}",
    "postgresql+psycopg://joe:{}@db.example/photos", "http://joe:{}@127.0.0.1:8333/bucket", "redis://:{}@host",
    "Authorization: Bearer {}", "authorization: AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host, Signature={}",
    "{{'Authorization': 'Basic {}', 'Host': 'b'}}", "{{'Authorization': b'AWS4-HMAC-SHA256 Signature={}'}}",
    "password={}",
])  # fmt: skip
KEY_IDS = st.from_regex(r"A(KIA|SIA)[A-Z2-7]{16}", fullmatch=True)
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


def _record(text: str, route: str) -> logging.LogRecord:
    error: tuple[type[Exception], Exception, None] = (ValueError, ValueError(text), None)
    message, arguments = (text.replace("%", "%%"), ()) if route == "message" else ("a %s b", (text,))
    if route in {"exception", "extra"}:
        message, arguments = "plain", ()
    record = logging.LogRecord(
        "imgctl", logging.INFO, "a.py", 1, message, arguments, error if route == "exception" else None
    )
    if route == "extra":
        record.detail = {"text": text}
    return record


@given(
    secret=BASE64, place=PLACES, before=AROUND, after=AROUND,
    route=st.sampled_from(["message", "argument", "exception", "extra"]), json_lines=st.booleans(),
)  # fmt: skip
def test_a_secret_is_redacted(
    secret: str, place: str, before: str, after: str, route: str, *, json_lines: bool
) -> None:
    assume(secret not in before + after)
    text = f"{before} {place.format(secret)} {after}"

    line = (JsonFormatter() if json_lines else PlainFormatter()).format(_record(text, route))

    assert secret not in line


@given(key_id=KEY_IDS, before=AROUND, after=AROUND)
def test_a_key_id_is_redacted(key_id: str, before: str, after: str) -> None:
    assert key_id not in redact(f"{before}{key_id} {after}")


@given(st.text(alphabet="u:/@< >'", max_size=30).map(lambda text: text.replace("u", "://")))
@example("://a:b://u<x:p@h")
def test_a_password_in_any_url_is_redacted_as_by_a_search_from_each(text: str) -> None:
    slow = re.sub(r"""(://[^\s:/@"']*:)[^\s"'<>]*@""", r"\1[redacted]@", text)

    assert redact(text) == slow


def test_a_text_of_many_urls_is_redacted_in_one_pass() -> None:
    text = "://a:" * 400_000

    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "put 2026/01/31/0198a-original.jpg: 2.4 MiB in 12 ms",
        "http://127.0.0.1:8333/bucket/a.jpg",
        "no password is set",
        "joe@example.org",
    ],
)
def test_harmless_text_is_not_redacted(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("json_lines", [False, True])
def test_lines_of_an_image_have_its_trace_id_and_others_have_none(json_lines: bool) -> None:
    formatter = JsonFormatter() if json_lines else PlainFormatter()
    record = logging.makeLogRecord({"msg": "slow", "levelname": "INFO"})
    with within("0190b2b40000700080000000000000ab"):
        inside = formatter.format(record)

    assert "0190b2b40000700080000000000000ab" in inside
    assert "trace" not in formatter.format(record)
