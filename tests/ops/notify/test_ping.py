"""The URL that a ping is posted to, and how long a ping may take."""

import socket
import threading
from urllib.parse import urlsplit

import pytest

from imgctl.ops.notify import ping
from imgctl.ops.notify.ping import Ping, address


@pytest.mark.parametrize(
    ("url", "suffix", "wanted"),
    [
        ("https://hc.example/uuid", "", "https://hc.example/uuid?rid=7"),
        ("https://hc.example/uuid", "start", "https://hc.example/uuid/start?rid=7"),
        ("https://hc.example/uuid/", "3", "https://hc.example/uuid/3?rid=7"),
        ("https://me:word@hc.example:8000/key/slug?create=1", "1", "https://hc.example:8000/key/slug/1?create=1&rid=7"),
        ("https://hc.example", "start", "https://hc.example/start?rid=7"),
    ],
)
def test_address_keeps_the_query_and_leaves_out_credentials(url: str, suffix: str, wanted: str) -> None:
    assert address(urlsplit(url), suffix, run="7") == wanted


def test_a_monitor_that_never_responds_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ping, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(ping, "PAUSE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Ping(f"http://127.0.0.1:{listener.getsockname()[1]}/secret", "audit")
        one.start()
        one.end(0, "")

    assert len(caplog.messages) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "ping"]


def test_a_command_does_not_wait_longer_than_it_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ping, "LONGEST_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Ping(f"http://127.0.0.1:{listener.getsockname()[1]}/secret", "audit")
        one.start()
        one.end(0, "")

    assert caplog.messages == ["the monitor at 127.0.0.1 was not pinged within 0 s"]
