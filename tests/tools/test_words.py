"""Tests of the check of words: it finds only names and phrases that the glossary replaces."""

from pathlib import Path

import pytest

from tools.words import in_file, in_name, in_prose, main


@pytest.mark.parametrize("name", ["put_flights", "PutFlight", "_flying", "HOPELESS", "lanes", "patiently"])
def test_a_replaced_word_in_a_name_is_found(name: str) -> None:
    assert len(list(in_name(name))) == 1


@pytest.mark.parametrize("name", ["in_flight", "PutInFlight", "string", "navigate", "insight", "planes", "cursor"])
def test_other_names_are_accepted(name: str) -> None:
    assert list(in_name(name)) == []


@pytest.mark.parametrize(
    "text",
    [
        "the server asks for patience",
        "x is no UUID",
        "the database is away",
        "moving 3 originals was not agreed to",
        "after so many days",
        "repair mends it",
    ],
)
def test_a_replaced_phrase_is_found(text: str) -> None:
    assert len(list(in_prose(text))) == 1


@pytest.mark.parametrize("text", ["there is no row", "it is no longer there", "puts in flight", "a recommendation"])
def test_plain_prose_is_accepted(text: str) -> None:
    assert list(in_prose(text)) == []


def test_a_hit_has_its_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "desk.py"
    module.write_text('"""Plain."""\n\n# It mends.\nlanes = 1\n')

    assert [(hit.line, hit.word) for hit in in_file(module)] == [(0, "desk"), (3, "mends"), (4, "lanes")]
    assert main([str(tmp_path)]) == 1
    assert f"{module}:4: 'lanes' → cursors" in capsys.readouterr().out


def test_a_plain_file_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "cursor.py").write_text('"""Plain."""\n')

    assert main([str(tmp_path)]) == 0


def test_a_name_in_a_document_is_accepted(tmp_path: Path) -> None:
    page = tmp_path / "records.md"
    page.write_text("`mended` is a code; it mends nothing\n")

    assert [hit.word for hit in in_file(page)] == ["mends"]


def test_values_that_scripts_rely_on_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "fate.py").write_text('MENDED = 1\nvalue = "mended"\n')

    assert main([str(tmp_path)]) == 0
