"""Compares `imgctl serve` with the bare web framework, sending and fetching pictures: `python -m bench.serve [--sink]`.

Server, clients, Postgres and SeaweedFS share one machine. The response to an upload comes once its bytes are safe: two
durable commits and a put. `--sink` replaces SeaweedFS by a store that responds at once, so that its CPU does not hide
the server's. The last figure is the server's peak memory with many large uploads at once.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

from bench.parts import ROOT, Servers, client_environment, servers, sink_servers
from bench.photos import photo

USER = "0190b2b4-0000-7000-8000-000000000001"
SEND = f"/images?user_id={USER}"
MIB = 2**20
MEMORY_SLACK_MIB = 200
LOAD = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A child that serves: its port, and its process."""

    port: int
    process: "subprocess.Popen[str]"

    def peak_mib(self) -> float:
        """Return its peak memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def cpu_seconds(self) -> float:
        """Return the CPU time that it and its children used so far."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(map(_cpu_seconds, (str(pid), *children)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A series of requests: its wall time, the server's CPU time, and the sorted times of the requests, in seconds."""

    wall: float
    cpu: float
    taken: list[float]

    def line(self) -> str:
        """Return the figures in one line."""
        p50, p99 = (self.taken[min(len(self.taken) - 1, int(len(self.taken) * share))] * 1000 for share in (0.5, 0.99))
        count = len(self.taken)
        rate, cpu = count / self.wall, self.cpu / count * 1000
        return f"{rate:,.0f} a second, p50 {p50:.1f} ms, p99 {p99:.1f} ms, CPU of the server {cpu:.2f} ms"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both servers and print the figures."""
    options = _options(arguments)
    temporary = tempfile.TemporaryDirectory(prefix="imgctl-bench-", ignore_cleanup_errors=True)
    with temporary as folder, (sink_servers if options.sink else servers)(Path(folder)) as running:
        running.new_bucket("serve")
        with _bare() as bare:
            _report("bare framework", bare, options, count())
        with _imgctl(running, "small", options.memory_mib, options.processes) as server:
            _report("imgctl serve", server, options, count())
        with _imgctl(running, "large", options.memory_mib) as server:
            _memory(server, options)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=400, help="pictures of 2.5 MB")
    parser.add_argument("--gets", type=int, default=4000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--processes", type=int, default=1, help="[serve] processes")
    parser.add_argument("--sink", action="store_true", help="a store that responds at once and keeps nothing")
    parser.add_argument("--large", type=int, default=50, help="uploads of 50 MB at once")
    parser.add_argument("--memory-mib", type=int, default=256, help="[serve] memory")
    return parser.parse_args(arguments)


@contextmanager
def _bare() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _child([sys.executable, "-m", "bench.bare", str(port)], {}) as process:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield Server(port=port, process=process)


@contextmanager
def _imgctl(running: Servers, name: str, memory_mib: int, processes: int = 1) -> Iterator[Server]:
    settings = {
        "IMGCTL_CATALOG_URL": running.new_database(name),
        "IMGCTL_STORE_URL": f"s3://serve/{name}",
        "IMGCTL_STORE_ENDPOINT_URL": running.endpoint_url,
        "IMGCTL_SERVE_MEMORY": f"{memory_mib}MiB",
        "IMGCTL_SERVE_PROCESSES": str(processes),
    }
    # A sink fails the check of the store, after the tables are created.
    init = [sys.executable, "-m", "imgctl", "init", "-q"]
    stderr = None if running.keeps else subprocess.DEVNULL
    subprocess.run(init, cwd=ROOT, env=client_environment() | settings, check=running.keeps, stderr=stderr)
    with _child([sys.executable, "-m", "imgctl", "serve", "--port", "0", "--json", "-q"], settings) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        yield Server(port=int(url.rpartition(":")[2]), process=process)


@contextmanager
def _child(command: list[str], settings: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    environment = client_environment() | settings
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _report(name: str, server: Server, options: argparse.Namespace, numbers: "count[int]") -> None:
    template = photo("camera", 0)
    lock, ids = threading.Lock(), list[str]()

    def send(connection: HTTPConnection) -> None:
        with lock:
            number = next(numbers)
        # A new content each time: bytes after the end of a JPEG are ignored.
        ids.append(_asked(connection, "POST", SEND, template + number.to_bytes(8))["id"])

    def get(connection: HTTPConnection) -> None:
        _asked(connection, "GET", f"/images/{ids[0]}", None)

    uploads = _timed(server, send, options.uploads, options.clients)
    gets = _timed(server, get, options.gets, options.clients)
    calm = _timed(server, get, options.gets, options.clients, rate=LOAD * options.gets / gets.wall)
    size = len(template) / 1e6
    print(f"{name}: {uploads.line()} (POST of {size:.1f} MB)")
    print(f"{name}: {gets.line()} (GET /images/ID); peak memory {server.peak_mib():.0f} MiB")
    print(f"{name}: {calm.line()} (GET /images/ID at {LOAD:.0%} of that)")


def _memory(server: Server, options: argparse.Namespace) -> None:
    head = photo("camera", 0)
    padding = bytes(50 * 10**6 - len(head) - 8)

    def send(connection: HTTPConnection, number: int) -> None:
        _asked(connection, "POST", SEND, head + padding + number.to_bytes(8))

    before, began = server.peak_mib(), time.monotonic()
    with ThreadPoolExecutor(options.large) as threads:
        list(threads.map(lambda number: send(_connection(server), number), range(options.large)))
    peak, bound = server.peak_mib(), options.memory_mib + MEMORY_SLACK_MIB
    verdict = "within" if peak <= bound else "ABOVE"
    print(f"imgctl serve: {options.large} uploads of 50 MB at once in {time.monotonic() - began:.1f} s")
    print(f"imgctl serve: peak memory {peak:.0f} MiB ({before:.0f} before), {verdict} the {bound} MiB allowed")


def _connection(server: Server) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", server.port, timeout=600)


def _asked(connection: HTTPConnection, method: str, path: str, body: bytes | None) -> dict[str, str]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    data = answer.read()
    if answer.status not in (200, 201):
        raise SystemExit(f"{method} {path}: {answer.status} {data[:200]!r}")
    found: dict[str, str] = json.loads(data)
    return found


def _timed(
    server: Server, ask: Callable[[HTTPConnection], None], times: int, clients: int, rate: float = 0.0
) -> Measured:
    """Send requests from several clients, each with a connection of its own.

    With a `rate` requests are scheduled at this rate, and each is measured from its scheduled time.
    """
    local, taken = threading.local(), list[float]()
    began = time.monotonic()

    def one(number: int) -> None:
        if not hasattr(local, "connection"):
            local.connection = _connection(server)
        due = began + number / rate if rate else time.monotonic()
        time.sleep(max(0.0, due - time.monotonic()))
        ask(local.connection)
        taken.append(time.monotonic() - due)

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(one, range(clients)))
        taken.clear()
        began, used = time.monotonic(), server.cpu_seconds()
        list(threads.map(one, range(times)))
        return Measured(wall=time.monotonic() - began, cpu=server.cpu_seconds() - used, taken=sorted(taken))


def _cpu_seconds(pid: str) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
