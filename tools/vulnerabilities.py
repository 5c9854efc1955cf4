"""Checks pinned requirements for vulnerabilities: `python -m tools.vulnerabilities LOCK`; exit 1 if there are any.

pip-audit reads PyPI's advisories. If PyPI is unreachable, this prints that nothing was checked, and passes.
"""

import json
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Check every pinned requirement."""
    program = Path(sys.executable).with_name("pip-audit")
    options = ["--disable-pip", "--progress-spinner", "off", "--timeout", "10", "--format", "json"]
    done = subprocess.run(
        [program, "--requirement", sys.argv[1], *options], capture_output=True, text=True, check=False
    )
    try:
        told = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        told = []
    asked = [one for one in told if "vulns" in one]
    if not asked:
        why = "" if told else f": {done.stderr.strip()[-200:]}"
        print(f"skipped: no advisories can be had here for the {len(told)} packages{why}")
        return
    wrong = [f"{one['name']} {one['version']}: {bad['id']}" for one in asked for bad in one["vulns"]]
    print("\n".join([*wrong, f"{len(wrong)} known vulnerabilities in {len(asked)} of {len(told)} packages"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
