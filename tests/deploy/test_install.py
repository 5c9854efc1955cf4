"""The wheel of `make dist` installs into an empty venv and works there, and the container's build steps work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.test_files import BIN, DEPLOY
from tools.docs import ROOT, commands
from tools.wheels import UNREACHABLE, extras, pythons

DIST = os.environ.get("IMGCTL_DIST", "")
needs_dist = pytest.mark.skipif(not DIST, reason="run by `make dist`")
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
# The size of gcr.io/distroless/python3-debian12 unpacked (du -b), and the largest size of the image.
BASE_BYTES, MOST_BYTES = 51_200_000, 250_000_000


def bare(**more: str) -> dict[str, str]:
    """Return an environment without this repository and the user's settings."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_", "HTTP"))}
    return {**kept, "PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", **more}


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(words, cwd=cwd, env=bare(**environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def steps() -> Iterator[tuple[str, str]]:
    """Yield the instructions of the Containerfile with their arguments."""
    whole = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE))
    for line in filter(None, whole.splitlines()):
        yield line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]


def last(instruction: str) -> str:
    return [given for name, given in steps() if name == instruction][-1]


def test_every_extra_of_the_page_is_checked_for_wheels_and_no_other() -> None:
    page = (ROOT / "docs/operations/install.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| extra | for |\n")

    assert sorted(re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], re.MULTILINE)) == sorted(extras())


def test_hadolint_accepts_the_containerfile() -> None:
    done = subprocess.run([BIN / "hadolint", DEPLOY / "Containerfile"], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_mistake_in_a_containerfile_is_found() -> None:
    done = subprocess.run(
        [BIN / "hadolint", "-"], input=CONTAINERFILE.replace("WORKDIR /src", "WORKDIR src"), text=True, check=False,
        capture_output=True,
    )  # fmt: skip

    assert "DL3000" in done.stdout


def test_container_runs_as_nobody_and_has_a_health_check() -> None:
    assert last("USER") == "65532:65532"
    assert "HEALTHCHECK" in dict(steps())
    assert last("FROM").endswith(":nonroot")
    assert json.loads(last("CMD")) == ["work"]


def test_copied_files_exist_and_are_part_of_the_context() -> None:
    kept = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").split()
    copied = [one for name, given in steps() if name == "COPY" and "--from" not in given for one in given.split()[:-1]]

    assert all(list(ROOT.glob(one)) for one in copied)
    assert {f"!{one.split('/')[0]}" for one in copied} <= set(kept)


def test_lock_of_the_image_pins_versions_of_the_whole_lock() -> None:
    pinned = set(re.findall(r"^\S+==\S+", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))

    for lock in DEPLOY.glob("*.lock"):
        assert set(re.findall(r"^\S+==\S+", lock.read_text(encoding="utf-8"), re.MULTILINE)) <= pinned


@needs_dist
def test_wheel_in_an_empty_venv_passes_the_demo_and_contains_its_pages(tmp_path: Path) -> None:
    [wheel] = (ROOT / DIST).glob("*.whl")
    venv = tmp_path / "venv"
    run(PYTHON, "-m", "venv", venv, cwd=tmp_path)
    run(venv / "bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    output = run(venv / "bin/imgctl", "demo", "--directory", tmp_path / "demo", cwd=tmp_path)

    assert "10 ready" in output
    assert "camera raws work" in output
    pages = {page.stem for page in (venv / "share/man/man1").iterdir()}
    assert pages == {"imgctl", *(f"imgctl-{name.replace(' ', '-')}" for name in commands())}
    assert "Install" in run(venv / "bin/imgctl", "help", "start", cwd=tmp_path)
    for line in ("serve", "work --metrics-port 9108"):
        refused = subprocess.run(
            [venv / "bin/imgctl", *line.split()], cwd=tmp_path, env=bare(), capture_output=True, text=True, check=False
        )
        assert (refused.returncode, "pip install 'imgctl[" in refused.stderr) == (2, True)


@needs_dist
def test_wheel_with_the_oldest_versions_that_it_permits_passes_the_demo(tmp_path: Path) -> None:
    [wheel] = (ROOT / DIST).glob("*.whl")
    python, oldest = tmp_path / "venv/bin/python", tmp_path / "oldest.txt"
    run(PYTHON, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    # By pyproject.toml, because the dependencies of a wheel are not direct ones.
    wanted = ("--extra", "serve", "--extra", "video", "--extra", "watch", ROOT / "pyproject.toml")
    resolve = (
        BIN / "uv",
        "pip",
        "compile",
        "--quiet",
        "--python",
        python,
        "--resolution",
        "lowest-direct",
        "-o",
        oldest,
    )
    done = subprocess.run((*resolve, *wanted), cwd=tmp_path, env=bare(), capture_output=True, text=True, check=False)
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip("no package index can be reached by uv")
    assert done.returncode == 0, done.stderr
    run(BIN / "uv", "pip", "install", "--quiet", "--python", python, "-r", oldest, cwd=tmp_path)
    run(BIN / "uv", "pip", "install", "--quiet", "--python", python, "--no-deps", wheel, cwd=tmp_path)

    output = run(tmp_path / "venv/bin/imgctl", "demo", "--directory", tmp_path / "demo", cwd=tmp_path)

    assert "10 ready" in output
    run(python, "-c", "import imgctl.web.app", cwd=tmp_path)
    pinned = re.findall(r"^(?:click|pyvips)==([\d.]+)", oldest.read_text(encoding="utf-8"), re.MULTILINE)
    permitted = re.findall(
        r'"(?:click|pyvips)(?:\[binary\])?>=([\d.]+)', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert [found[: len(one)] for found, one in zip(pinned, permitted, strict=True)] == permitted


@needs_dist
@pytest.mark.parametrize("version", [one for one in pythons() if not PYTHON.name.endswith(one)])
def test_wheel_passes_the_demo_on_every_other_python_of_this_machine(version: str, tmp_path: Path) -> None:
    python = next(found(version), None)
    if python is None:
        pytest.skip(f"no Python {version} runs here")
    [wheel] = (ROOT / DIST).glob("*.whl")
    run(python, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    run(tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    output = run(tmp_path / "venv/bin/imgctl", "demo", "--directory", tmp_path / "demo", cwd=tmp_path)

    assert "10 ready" in output


def found(version: str) -> Iterator[str]:
    """Return the working Pythons of a version: those on PATH (some only print what to install), and pyenv's."""
    named = shutil.which(f"python{version}")
    kept = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    for python in filter(None, (named, *map(str, sorted(kept)))):
        if (
            subprocess.run([python, "-c", "import ssl, venv"], env=bare(), capture_output=True, check=False).returncode
            == 0
        ):
            yield python


@needs_dist
def test_steps_of_the_container_build_an_installation_that_passes_the_demo(tmp_path: Path) -> None:
    source, image = tmp_path / "src", tmp_path / "image"
    source.mkdir()
    image.mkdir()
    left_out = []
    for instruction, given in steps():
        words = given.split()
        if instruction == "RUN" and "apt-get" in given:
            left_out.append(given)
        elif instruction == "RUN":
            here = given.replace("/opt/imgctl", f"{image}/opt/imgctl").replace("/data", f"{image}/data")
            here = here.replace("/tmp/demo", f"{image}/demo").replace("python3 -m venv", f"{PYTHON} -m venv")
            run("sh", "-c", here, cwd=source, LOCK="requirements.lock")
        elif instruction == "COPY" and "--from" not in given:
            place(words[:-1], source / words[-1])

    assert len(left_out) == 1
    venv = image / "opt/imgctl"
    weight = sum(one.lstat().st_size for one in venv.rglob("*"))
    print(f"the image weighs {(weight + BASE_BYTES) / 1e6:.0f} MB unpacked")
    assert weight + BASE_BYTES < MOST_BYTES
    program = [word.replace("/opt/imgctl", str(venv)) for word in json.loads(last("ENTRYPOINT"))]
    assert "imgctl, version" in run(*program, "--version", cwd=image / "data")
    run(*program, "init", cwd=image / "data")
    health = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    run(*[word.replace("/opt/imgctl", str(venv)) for word in health], cwd=image / "data")
    run(*program, *json.loads(last("CMD")), "--drain", cwd=image / "data")


def place(names: list[str], target: Path) -> None:
    """Copy files like COPY in the Containerfile."""
    for file in (file for name in names for file in ROOT.glob(name)):
        if file.is_dir():
            shutil.copytree(file, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target / file.name)


def test_image_is_built_by_the_command_in_its_file() -> None:
    first = CONTAINERFILE.splitlines()[0].removeprefix("# ")

    assert shlex.split(first)[:4] == ["docker", "build", "-f", "deploy/Containerfile"]
