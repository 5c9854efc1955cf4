"""Runs the documentation's `sh` blocks line by line, with stand-ins for the machines, directories and ids in them.

A line that begins with imgctl runs in its own process; `export` applies to the rest of the page; `imgctl serve` runs
until the end of the page; other lines, and blocks that are scripts, run in bash, where `imgctl` is that of this
checkout.
"""

import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

from tests.parts.ports import free_port
from tests.whole.deployment import USER, Deployment, Run

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*=")
# Done, some items failed, findings: the allowed exit codes with stand-ins.
ENDS = {0, 3, 4}


def blocks_of(page: str) -> list[str]:
    """Return the page's `sh` blocks."""
    return _BLOCK.findall(page)


def lines_of(block: str) -> Iterator[str]:
    """Yield the commands of a block; a script is one command."""
    if block.startswith("#!"):
        yield block
        return
    for line in block.replace("\\\n", " ").splitlines():
        if typed := re.sub(r"(^|\s+)# .*$", "", line).strip():
            yield typed


@dataclass(slots=True, kw_only=True)
class Shell:
    """The environment in which a page's blocks run."""

    deployment: Deployment
    # Patterns of names in a page, and their stand-ins.
    stand_ins: Mapping[str, str]
    _serving: list[Run] = field(default_factory=list)

    def run(self, line: str) -> str:
        """Run one line; return the error, or an empty text."""
        for named, instead in self.stand_ins.items():
            line = re.sub(named, lambda _, to=instead: to, line)  # type: ignore[misc]
        words = shlex.split(line)
        if words[0] == "export":
            self.deployment = self.deployment.in_environment(**dict(word.split("=", 1) for word in words[1:]))
            return ""
        own = dict(word.split("=", 1) for word in words if _VARIABLE.match(word))
        words = [word for word in words if word not in {f"{name}={value}" for name, value in own.items()}]
        deployment = self.deployment.in_environment(**own)
        if words[:2] == ["imgctl", "serve"] and len(words) == 2:
            return self._serve()
        if words[0] != "imgctl":
            return self._bash(line, deployment)
        if words[1] == "work" and "--drain" not in words:
            words += ["--max-duration", "1s"]
        target = deployment.directory / words.pop() if words[-2] == ">" else None
        result = deployment.run(*(words[1:-1] if target else words[1:]))
        if target:
            target.write_text(result.out)
        return "" if result.code in ENDS else f"$ {line}\n{result.out}{result.err}(exit code {result.code})"

    def _bash(self, line: str, deployment: Deployment) -> str:
        ours = deployment.directory / "bin"
        ours.mkdir(exist_ok=True)
        (ours / "imgctl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m imgctl "$@"\n')
        (ours / "imgctl").chmod(0o755)
        environment = deployment.environment() | {"PATH": f"{ours}:/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(
            ["bash", "-c", line], cwd=deployment.directory, env=environment, capture_output=True, text=True, check=False
        )
        return "" if done.returncode in ENDS else f"$ {line}\n{done.stdout}{done.stderr}(exit code {done.returncode})"

    def _serve(self) -> str:
        port = free_port()
        run = self.deployment.start("serve", "--port", str(port))
        self._serving.append(run)
        self.stand_ins = {**self.stand_ins, "127.0.0.1:8080": f"127.0.0.1:{port}"}
        while run.process.exitcode is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").close()
                return ""
            except OSError:
                time.sleep(0.05)
        return f"$ imgctl serve\n{run.err.read_text()}"

    def close(self) -> list[str]:
        """Stop the servers; return the errors of those that failed."""
        wrong = []
        for run in self._serving:
            run.process.terminate()
            if (code := run.wait().code) not in {0, 130, -signal.SIGTERM}:
                wrong.append(f"imgctl serve ended with {code}: {run.err.read_text()}")
        return wrong


def write_stage(directory: Path, keys: list[str]) -> None:
    """Write the files that the pages name: photos, lists and manifests; `keys` are foreign blobs in the store."""
    photos = sorted(path for path in (directory / "photos").rglob("*.jpg"))
    places = ("nas/2023", "nas/2024", f"nas/{USER}", f"nas/by-owner/{USER}/2024", "takeout", "Pictures", "album")
    for number, place in enumerate(places):
        (directory / place).mkdir(parents=True)
        # A comment after the end of the JPEG makes its content unique.
        (directory / place / f"{number}.jpg").write_bytes(photos[0].read_bytes() + place.encode())
    for number in (1, 2):
        with ZipFile(directory / f"takeout-{number}.zip", "w") as archive:
            archive.writestr("Takeout/a.jpg", photos[0].read_bytes() + b"%d" % number)
    (directory / "tapes").mkdir()
    for name in ("2003.tar", "2004.tgz"):
        with tarfile.open(directory / "tapes" / name, "w:gz" if name.endswith("gz") else "w") as tape:
            tape.add(photos[0], f"{USER}/{name}.jpg")
    (directory / "photo.jpg").write_bytes(photos[0].read_bytes() + b"sent")
    (directory / "album/album.csv").write_text(f"path,user_id\n6.jpg,{USER}\n")
    (directory / "old-bucket.csv").write_text("key,user_id\n" + "".join(f"{key},{USER}\n" for key in keys))
    (directory / "last.stamp").touch()
    for place in ("node_exporter", "state"):
        (directory / place).mkdir()
