"""Completion in real shells: commands, options, ids, users, named sources."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment
from tools.docs import ROOT

BIN = Path(sys.executable).parent
# The commands for each shell: load the script, complete a line, print the completions.
BASH = """
eval "$(imgctl completion bash)"
COMP_WORDS=({line}) COMP_CWORD={at} COMP_TYPE=9
_imgctl_completion imgctl && printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
autoload -U compinit && compinit -D
compadd() {{ print -l -- "${{(P)@[-1]}}" }}
_describe() {{ shift 2; print -l -- "${{(P)1[@]}}" }}
eval "$(imgctl completion zsh)" 2>/dev/null
words=({line}) CURRENT=$(({at} + 1))
_imgctl_completion
"""
FISH = "imgctl completion fish | source; complete -C '{text}'"


@pytest.fixture
def filled(embedded: Deployment) -> Deployment:
    """One image of USER, and a named source."""
    photos = embedded.directory / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_bytes(photo(1))
    assert embedded.run("upload", "photos", "--user", str(USER)).code == 0
    (embedded.directory / "imgctl.toml").write_text('[source.old]\nurl = "s3://old-photos"\n')
    return embedded


def completed(deployment: Deployment, shell: str, *words: str) -> set[str]:
    """Return a real shell's completions of the last word."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    line = ["imgctl", *words]
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(
        line=" ".join(f"'{word}'" for word in line), at=len(words), text=" ".join(line)
    )
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [program, *options, "-c", script], cwd=deployment.directory, capture_output=True, text=True, check=False,
        env={**deployment.environment(), "PATH": f"{BIN}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return {re.split(r"	|(?<!source):", one)[0] for one in done.stdout.splitlines() if one}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completes_commands_options_ids_and_users(filled: Deployment, shell: str) -> None:
    [image] = filled.images()

    assert {"transition"} <= completed(filled, shell, "trans")
    assert {"--older-than"} <= completed(filled, shell, "transition", "--old")
    assert {str(image.id)} <= completed(filled, shell, "show", str(image.id)[:6])
    assert {str(USER)} <= completed(filled, shell, "ls", "--user", "0190")
    assert completed(filled, shell, "ls", "--user", "ffff") == set()


def test_bash_completes_named_sources(filled: Deployment) -> None:
    assert "source:old" in completed(filled, "bash", "upload", "sou")


def test_catalog_that_does_not_answer_is_no_error(filled: Deployment) -> None:
    gone = filled.with_settings(CATALOG_URL="postgresql://nobody@127.0.0.1:9/none")

    assert completed(gone, "bash", "show", "01") == set()


def test_completion_makes_no_catalog(new_embedded: Deployment) -> None:
    assert completed(new_embedded, "bash", "show", "01") == set()
    assert not (new_embedded.directory / "catalog.db").exists()
