"""Checks that imgctl installs without a compiler: `python -m tools.wheels WHEEL`.

It resolves imgctl and its extras from wheels alone. It tests each Python in pyproject.toml on x86-64 and arm64, and
prints every combination that does not resolve, with the resolver's reason; exit 1. It needs a package index; without
one it prints a message and passes.
"""

import re
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path

from tools.docs import ROOT

MACHINES = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
# Pure Python, published only as source; libvips comes as its own wheel.
PURE = "pyvips"
OF_DEVELOPERS = {"test", "dist", "docs", "bench", "dev"}
UNREACHABLE = re.compile(r"error sending request|Failed to fetch|dns error|Connect|timed out|offline", re.IGNORECASE)


def pythons() -> list[str]:
    """Return the versions in pyproject.toml: 3.11, 3.12, …"""
    return re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )


def extras() -> list[str]:
    """Return the extras in pyproject.toml, except those for work on imgctl itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [name for name in project["optional-dependencies"] if name not in OF_DEVELOPERS]


def resolve(wheel: Path, python: str, machine: str) -> str:
    """Return the resolver's error, or an empty text if everything has wheels."""
    command = [
        str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--no-header", "--only-binary", ":all:", "--no-binary", PURE,
        "--python-version", python, "--python-platform", machine, "-",
    ]  # fmt: skip
    asked = f"imgctl[{','.join(extras())}] @ file://{wheel.resolve()}"
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def main() -> None:
    """Resolve every combination."""
    [wheel] = map(Path, sys.argv[1:])
    wrong = {}
    for python, machine in product(pythons(), MACHINES):
        if why := resolve(wheel, python, machine):
            wrong[f"Python {python} on {machine}"] = why
    for name, why in wrong.items():
        print(f"{name}: {why}", file=sys.stderr)
    if wrong and all(UNREACHABLE.search(why) for why in wrong.values()):
        print("skipped: no package index can be reached")
        return
    print(
        f"{len(pythons()) * len(MACHINES) - len(wrong)} of {len(pythons()) * len(MACHINES)} combinations install from wheels"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
