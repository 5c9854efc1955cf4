"""Runs every command that prints records, on the embedded default, for validation against the schema."""

from pathlib import Path
from uuid import UUID

from tests.whole.deployment import USER, Deployment, Result

OTHER = UUID("0190b2b4-0000-7000-8000-000000000002")


def every_command(deployment: Deployment) -> dict[str, list[dict[str, object]]]:
    """Return each command's records for the pictures in `photos`: uploaded, archived, restored, damaged, repaired."""
    records: dict[str, list[dict[str, object]]] = {}
    deployment = deployment.with_settings(SERVE_SECRET="what signs receipts")

    def run(line: str, *more: str | Path) -> Result:
        words = [*line.split(), *map(str, more)]
        name = " ".join(words[:2] if words[0] == "cost" else words[:1])
        result = deployment.run(*words, "--json")
        assert result.code in {0, 1, 2, 3, 4, 5}, result.err
        records.setdefault(name, []).extend(result.records)
        return result

    place, user = deployment.directory, f"--user {USER}"
    run("init --check")
    run("init")
    run("doctor")
    run("doctor --conformance")
    run(f"upload photos {user} --dry-run")
    run(f"upload photos {user}")
    run("work --drain")
    run(f"upload photos {user}")
    run(f"verify photos {user}")
    run("demo --directory", place / "demo")

    listed = run(f"find {user}").of("image")
    first, last = (str(listed[at]["id"]) for at in (0, -1))
    blobs = place / "imgctl-data/blobs"
    manifest = place / "manifest.csv"
    manifest.write_text(f"key,user_id\n{listed[0]['original_key']},{OTHER}\nnowhere.jpg,{OTHER}\n")
    run("insert", manifest, "--dry-run")
    run("insert", manifest, "--yes")
    run("show", first)
    run("url", first, "--width", "400")
    run("get", first, "--out", place / "out")
    run(f"export {user} --variants thumb", "--out", place / "bag")
    for by in ("status", "user", "class", "day"):
        run(f"stats --by {by}")
    run("stats")
    run(f"history --id {first}")
    run("top --once")

    thumb = blobs / str(listed[3]["thumb_key"])
    head, tail = thumb.name[:35], thumb.name[36:]
    thumb.with_name(f"{head}{'0' if thumb.name[35] != '0' else '1'}{tail}").write_bytes(
        b"an orphan: no row has this id"
    )
    (blobs / "stray.txt").write_bytes(b"not ours")
    (blobs / str(listed[0]["thumb_key"])).unlink()
    (blobs / str(listed[1]["original_key"])).unlink()
    (blobs / str(listed[2]["original_key"])).write_bytes(b"short")
    audit = run("audit --grace 0s --storage-class --stale")
    (place / "findings.ndjson").write_text(audit.out)
    run("audit --deep")
    run("audit --look 2")
    run(f"audit {user}")
    run("repair", place / "findings.ndjson")
    run("repair", place / "findings.ndjson", "--apply")
    run("repair --delete-orphans --grace 0s --orphan-age 0s --apply --max-delete-percent 100")
    run("repair --undelete all --apply")
    run("work --drain")

    run("transition --to GLACIER --older-than 0d --min-size 0 --dry-run")
    run("transition --to GLACIER --older-than 0d --min-size 0 --plan moves.jsonl")
    run("apply moves.jsonl --dry-run")
    run("apply moves.jsonl --yes")
    run("transition --to DEEP_ARCHIVE --older-than 0d --min-size 0 --yes")
    run(f"export {user}", "--out", place / "cold-bag")
    run(f"restore {user} --status")
    run(f"restore {user} --dry-run")
    ids = place / "ids.txt"
    ids.write_text(f"{first}\n{last}\nnot-an-id\n")
    run("restore --ids-from", ids, "--yes")
    run(f"restore {user} --yes --days 3")
    run("backfill --dry-run")
    run("backfill --force")
    run("backfill --metadata --yes")

    run(f"erase {first} --receipt receipt.jsonl")
    run(f"erase {first} --yes")
    run(f"hold {user} --reason case-4711")
    run(f"hold {user} --reason case-4711 --object-lock")
    run("hold")
    run(f"release {user}")

    run("serve --make-token phone")

    run("cost actual")
    run("cost actual --by month")
    run("cost what-if --transition older-than=90d,to=GLACIER")
    run("cost model --uploads-per-day 1000 --views-per-upload 10 --months 2")
    run("cost model --uploads-per-day 1000 --views-per-upload 10 --profile lesson --explain")
    run("cost lab --out", place / "lab.html")
    run("cost cards")
    return records
