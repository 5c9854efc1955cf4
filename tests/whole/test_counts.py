"""Every count is worded correctly for none, one and many, and a summary states what happened, not what would."""

import re
from pathlib import Path

import pytest

from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, Result

NOUNS = "action blob byte date day file finding image key month original orphan photo price restore row time view"
SINGULAR, PLURAL = "|".join(NOUNS.split()), "|".join(f"{noun}s" for noun in NOUNS.split())
ONE, OTHER = r"(?<![\d.,:/-])1 ", r"(?<![\d.,:/-])(?!1 )\d[\d,]* "
WRONG = (
    rf"{ONE}({PLURAL})\b",
    rf"{OTHER}({SINGULAR})\b",
    rf"{ONE}({SINGULAR}) (are|were|have|wait)\b",
    rf"{OTHER}({PLURAL}) (is|was|has|waits)\b",
    r"\b\d+ [a-z]+_[a-z_]+",
)
OWNER = ("--user", str(USER))
CHOSEN = ("--since", "2000-01-01")
LATEST = ("--grace", "0s", "--stuck-after", "0s")
STEPS: tuple[tuple[str, ...], ...] = (
    ("upload", "photos", *OWNER, "--dry-run"),
    ("upload", "photos", *OWNER),
    ("upload", "photos", *OWNER),
    ("work", "--drain"),
    ("work", "--drain"),
    ("insert", "manifest.csv", "--dry-run"),
    ("insert", "manifest.csv", "--yes"),
    ("work", "--drain"),
    ("backfill", "--force", "--dry-run"),
    ("backfill", "--force"),
    ("backfill", "--metadata", "--overwrite", "caption", "--dry-run"),
    ("backfill", "--metadata", "--overwrite", "caption"),
    ("transition", "--to", "GLACIER", *CHOSEN, "--dry-run"),
    ("transition", "--to", "GLACIER", *CHOSEN, "--min-size", "0", "--dry-run"),
    ("transition", "--to", "GLACIER", *CHOSEN, "--min-size", "0", "--plan", "moves.jsonl"),
    ("apply", "moves.jsonl", "--dry-run"),
    ("transition", "--to", "GLACIER", *CHOSEN, "--min-size", "0", "--yes"),
    ("apply", "moves.jsonl", "--yes"),
    ("backfill", "--force", "--restore", "bulk", "--dry-run"),
    ("restore", *CHOSEN, "--dry-run"),
    ("restore", *CHOSEN, "--days", "1", "--plan", "restores.jsonl"),
    ("restore", *CHOSEN, "--status"),
    ("restore", *CHOSEN, "--days", "1", "--yes"),
    ("restore", *CHOSEN, "--permanent", "--yes"),
    ("audit", *LATEST, "--deep"),
    ("audit", *LATEST, "--look", "9"),
    ("repair", *LATEST),
    ("repair", *LATEST, "--apply"),
    ("audit", *LATEST),
    ("cost", "actual", "--by", "user"),
    ("cost", "what-if", "--transition", "older-than=0d,to=GLACIER"),
    ("stats",),
    ("ls",),
)
DRY = {"--dry-run", "--plan", "--status"}
ACTING = {"upload", "work", "insert", "backfill", "transition", "restore", "apply"}


@pytest.mark.parametrize("images", [0, 1, 2])
def test_counts_and_summaries_read_right(embedded: Deployment, images: int) -> None:
    _lay_out(embedded, images)

    results = {line: _run(embedded, line, images) for line in STEPS}

    wrong = [
        f"imgctl {' '.join(line)}: {text}"
        for line, result in results.items()
        for text in (result.out + result.err).splitlines()
        if any(re.search(pattern, text) for pattern in WRONG) or (_acts(line) and re.search(r"\bwould\b", text))
    ]
    assert not wrong
    assert ("would be uploaded" in results[STEPS[0]].out) == (images > 0)


def _acts(line: tuple[str, ...]) -> bool:
    return (line[0] in ACTING or "--apply" in line) and not DRY & set(line)


def _run(deployment: Deployment, line: tuple[str, ...], images: int) -> Result:
    if line == ("audit", *LATEST, "--deep"):
        # Damage to find and to repair.
        for image in deployment.images()[:images]:
            deployment.open_store().delete([image.thumb_key or ""])
    result = deployment.run(*line)
    assert result.code in (0, 3, 4), (line, result.err)
    return result


def _lay_out(deployment: Deployment, images: int) -> None:
    photos: Path = deployment.directory / "photos"
    photos.mkdir()
    for number in range(images):
        (photos / f"{number}.jpg").write_bytes(photo(number))
        (photos / f"{number}.txt").write_text("no picture")
    store = deployment.open_store()
    lines = ["key,user_id"]
    for number in range(images):
        store.create(f"old/{number}.jpg", photo(100 + number), content_type="image/jpeg")
        lines.append(f"old/{number}.jpg,{USER}")
    (deployment.directory / "manifest.csv").write_text("\n".join(lines) + "\n")
