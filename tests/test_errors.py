"""Tests of the error classes: exit codes, one-line texts, and pickling between processes."""

import pickle

import pytest

from imgctl import errors
from imgctl.errors import ExitCode, ImgctlError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ImgctlError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_processes_with_its_hint(kind: type[ImgctlError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("no\nstore", hint="imgctl init")))

    assert type(copy) is kind
    assert copy.line == "no store (imgctl init)"
    assert copy.exit_code in ExitCode


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_stands_in_the_tree_drawn_at_the_top(kind: type[ImgctlError]) -> None:
    (line,) = [line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line.split()]

    assert str(int(kind.exit_code)) in line.split()
