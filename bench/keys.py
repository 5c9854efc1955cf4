"""Measures memory and requests of an upload from a bucket of many keys: `python -m bench.keys [COUNT]…`.

The source is a synthetic server that lists COUNT keys, a thousand a page, and returns a different photo for each. The
store is `bench.sink`, the catalog SQLite. Each count is uploaded twice; the second run should request pages only.
"""

import asyncio
import json
import multiprocessing
import subprocess
import sys
import tempfile
import urllib.request
from bisect import bisect_right
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.parts import ROOT, Spent, client_environment, spent
from bench.photos import write_tree

USER = "0190b2b4-0000-7000-8000-000000000001"
DEFAULT = (10_000, 100_000)
PAGE = 1000
GOAL = 1.2


def main() -> None:
    """Upload from each count of keys; print the figures and whether they meet the goals."""
    counts = [int(text) for text in sys.argv[1:]] or list(DEFAULT)
    print("| keys | run | wall s | CPU ms a key | peak MiB | pages | objects |\n|---:|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="imgctl-bench-") as folder:
        place = Path(folder)
        write_tree(place / "one", count=1, kind="small")
        photo = next(path for path in (place / "one").rglob("*.jpg")).read_bytes()
        peaks = [_both(place / str(count), count, photo) for count in counts]
    ratio = peaks[-1] / peaks[0]
    print(f"\ngoal: memory of {counts[-1]:,} keys at most {GOAL} of that of {counts[0]:,}: {ratio:.2f}")


def _both(place: Path, count: int, photo: bytes) -> float:
    """Upload twice; return the first run's peak in MiB."""
    place.mkdir()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    source = multiprocessing.get_context("spawn").Process(target=_serve, args=(count, photo, theirs), daemon=True)
    source.start()
    port = int(ours.recv())
    with subprocess.Popen([sys.executable, "-m", "bench.sink"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        store = f"http://127.0.0.1:{int(sink.stdout.readline())}"
        try:
            first = _upload(place, port, store)
            _line(count, "first", first, _asked(port))
            _line(count, "second", _upload(place, port, store), _asked(port))
        finally:
            sink.terminate()
            source.terminate()
    return first.peak_mib


def _upload(place: Path, port: int, store: str) -> Spent:
    environment = client_environment() | {
        "IMGCTL_SOURCE_OLD_URL": "s3://old/in",
        "IMGCTL_SOURCE_OLD_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        # Adaptive concurrency grows with the length of a run, and each put in flight needs memory.
        "IMGCTL_UPLOAD_CONCURRENCY": "16",
        "IMGCTL_UPLOAD_JOURNAL": str(place / "journal"),
        "IMGCTL_CATALOG_URL": f"sqlite:///{place}/catalog.db",
        "IMGCTL_STORE_URL": "s3://bench",
        "IMGCTL_STORE_ENDPOINT_URL": store,
    }
    return spent([sys.executable, "-m", "imgctl", "upload", "source:old", "--user", USER, "--no-progress"], environment)


def _asked(port: int) -> Counter[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/requested") as answer:
        return Counter(json.load(answer))


def _line(count: int, run: str, used: Spent, requested: Counter[str]) -> None:
    figures = f"{used.wall:.1f} | {used.cpu / count * 1000:.2f} | {used.peak_mib:.0f}"
    print(f"| {count:,} | {run} | {figures} | {requested['pages']:,} | {requested['objects']:,} |", flush=True)


def _serve(count: int, photo: bytes, parent: "Connection[int, None]") -> None:
    requested = Counter[str]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(_answer(head.split(b" ", 2)[1].decode(), count, photo, requested))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _answer(target: str, count: int, photo: bytes, requested: Counter[str]) -> bytes:
    parts = urlsplit(target)
    if parts.path == "/requested":
        told = json.dumps(requested).encode()
        requested.clear()
        return _http(told)
    if "list-type" in parts.query:
        requested["pages"] += 1
        after = parse_qs(parts.query).get("start-after", [""])[0]
        return _http(_page(count, bisect_right(range(count), after, key=_key), len(photo) + 9))
    requested["objects"] += 1
    number = int(parts.path.rpartition("/")[2].removesuffix(".jpg"))
    # Bytes after the end of a JPEG are not part of the picture, but make its content unique.
    return _http(photo + b"%09d" % number, etag=f"{number:032x}")


def _page(count: int, start: int, size: int) -> bytes:
    end = min(start + PAGE, count)
    rows = "".join(
        f"<Contents><Key>{_key(number)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for number in range(start, end)
    )
    more = "true" if end < count else "false"
    return f"<ListBucketResult><Name>old</Name><IsTruncated>{more}</IsTruncated>{rows}</ListBucketResult>".encode()


def _key(number: int) -> str:
    return f"in/{number // 500:06d}/{number:09d}.jpg"


def _http(body: bytes, *, etag: str = "") -> bytes:
    tag = f'ETag: "{etag}"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n' if etag else ""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{tag}\r\n".encode() + body


if __name__ == "__main__":
    main()
