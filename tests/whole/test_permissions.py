"""The documented permissions and cron lines: grants and policy suffice and allow no more, cron lines parse."""

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.parts.proxy import fault_proxy
from tests.parts.seaweed import S3Server
from tests.whole.deployment import USER, Deployment
from tests.whole.sessions import at, write_photos
from tools.docs import ROOT, parse


def blocks(page: str, language: str) -> list[str]:
    """The page's code blocks of a language."""
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found
    return found


def test_granted_roles_do_their_work_and_no_more(tmp_path: Path, postgres_url: str) -> None:
    [grants] = blocks("docs/operations/permissions.md", "sql")
    # Roles belong to the server, not to the database.
    name = f"role_{make_url(postgres_url).database}"
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    statements = re.sub(r"--.*", "", grants).replace("imgctl", name).split(";")
    write_photos(tmp_path)

    def as_role(role: str) -> Deployment:
        return Deployment(
            directory=tmp_path,
            catalog_url=make_url(postgres_url).set(username=role).render_as_string(hide_password=False),
            store=at(tmp_path).store,
            settings={"IMGCTL_SERVE_SECRET": "secret"},
        )

    with engine.connect() as connection:
        try:
            for statement in filter(str.strip, statements):
                connection.execute(text(statement))
            uploads, repairs, reads = as_role(name), as_role(f"{name}_repair"), as_role(f"{name}_reader")
            done = {
                line: deployment.run(*line.split())
                for deployment, lines in (
                    (uploads, (f"upload photos --user {USER}", "work --drain", "backfill --stale", "audit")),
                    (reads, ("find", "stats", "cost actual", "audit --grace 0s", f"verify photos --user {USER}")),
                    (
                        repairs,
                        (
                            "repair --apply",
                            f"hold --user {USER} --reason case",
                            f"release --user {USER}",
                            f"erase --user {USER} --confirm-user {USER} --yes",
                        ),
                    ),
                )
                for line in lines
            }
            refused = reads.run("upload", "photos", "--user", "0190b2b4-0000-7000-8000-000000000002")
        finally:
            for role in ("_repair", "_reader", ""):
                connection.execute(text(f"DROP OWNED BY {name}{role}"))
                connection.execute(text(f"DROP ROLE {name}{role}"))
    engine.dispose()

    assert not {line: result.err for line, result in done.items() if result.code not in {0, 3}}
    assert refused.code == 1
    assert "permission denied" in refused.err


def test_policy_allows_what_uploads_workers_and_audits_ask_and_no_more(tmp_path: Path, moto_s3: S3Server) -> None:
    [policy] = blocks("docs/operations/permissions.md", "json")
    bucket = moto_s3.new_bucket()
    requested: set[tuple[str, str]] = set()
    write_photos(tmp_path)

    with fault_proxy(
        moto_s3.endpoint_url, policy=lambda method, path, _: requested.add(action(method, path, bucket))
    ) as proxy:
        deployment = at(tmp_path, moto_s3.settings(bucket)).through(proxy.url)
        verify = f"verify photos --user {USER} --journal none"
        for line in ("init", "doctor", f"upload photos --user {USER}", "work --drain", "audit --deep", verify):
            assert deployment.run(*line.split()).code in {0, 3}

    allowed = [
        (one, statement["Resource"].replace("my-photos", bucket))
        for statement in json.loads(policy)["Statement"]
        for one in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    assert not {one for one in requested if not any(one[0] == name and fnmatch(one[1], on) for name, on in allowed)}
    used = {name for name, on in allowed for one in requested if one[0] == name and fnmatch(one[1], on)}
    # This test has no interrupted multipart upload.
    assert {name for name, _ in allowed} - used == {"s3:AbortMultipartUpload"}


def action(method: str, path: str, bucket: str) -> tuple[str, str]:
    """Return the permission that a request needs, and its resource."""
    key, _, query = path.partition("?")
    resource = f"arn:aws:s3:::{key.strip('/')}"
    if (method, query) == ("POST", "delete"):
        # Its body lists the keys. They are those of the store check: the audit after it finds nothing missing.
        return "s3:DeleteObject", f"{resource}/.imgctl-check/one"
    if key.strip("/") == bucket:
        return "s3:ListBucket" if query.startswith("list-type=2") else f"{method} {path}", resource
    names = {"PUT": "s3:PutObject", "GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}
    known = not query or query.startswith("x-id=") or "partNumber=" in query
    return (names[method] if known else f"{method} {path}"), resource


@pytest.mark.parametrize("versions", [False, True], ids=["plain", "versions"])
def test_table_lists_what_erasures_and_holds_ask(tmp_path: Path, moto_s3: S3Server, versions: bool) -> None:
    bucket, requested = "erased-with-versions" if versions else "erased", set[str]()
    moto_s3.client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=versions)
    write_photos(tmp_path)

    def note(method: str, path: str, _number: int) -> None:
        asked = path.partition("?")[2].partition("&")[0].partition("=")[0]
        requested.add(SUBRESOURCES.get((method, asked)) or action(method, path, bucket)[0])

    with fault_proxy(moto_s3.endpoint_url, policy=note) as proxy:
        deployment = at(tmp_path, moto_s3.settings(bucket)).through(proxy.url).with_settings(SERVE_SECRET="secret")
        deployment.run("upload", "photos", "--user", str(USER))
        requested.clear()
        held = deployment.run("hold", "--user", str(USER), "--reason", "case", *["--object-lock"] * versions)
        released = deployment.run("release", "--user", str(USER))
        by_hold = set(requested)
        requested.clear()
        erased = deployment.run("erase", "--user", str(USER), "--confirm-user", str(USER), "--yes")

    assert [held.code, released.code, erased.code] == [0, 0, 0]
    assert requested - permitted("erase", versions=versions) == set()
    assert by_hold - permitted("hold --object-lock", versions=versions) == set()
    assert "s3:PutObjectLegalHold" in by_hold or not versions


SUBRESOURCES = {
    ("GET", "versioning"): "s3:GetBucketVersioning",
    ("GET", "versions"): "s3:ListBucketVersions",
    ("GET", "uploads"): "s3:ListBucketMultipartUploads",
    ("PUT", "legal-hold"): "s3:PutObjectLegalHold",
}


def permitted(command: str, *, versions: bool) -> set[str]:
    """Return what the page's policy and its table allow to a command, on a bucket with or without versions."""
    [policy] = blocks("docs/operations/permissions.md", "json")
    page = (ROOT / "docs/operations/permissions.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"^\| `{command}`[, ].*$", page, re.MULTILINE)
    always, _, versioned = row.partition("on a bucket with versions")
    return set(re.findall(r"s3:\w+", policy + always + (versioned if versions else "")))


def test_commands_of_cron_parse() -> None:
    lines = [line for block in blocks("docs/guides/cron.md", "cron") for line in block.splitlines()]
    commands = [found[1] for line in lines if (found := re.search(r"/bin/imgctl (.*)$", line))]
    times = [line.split()[:5] for line in lines if line[:1].isdigit()]

    assert [parse(shlex.split(command)) for command in commands] == ["upload", "work"]
    assert all(re.fullmatch(r"\*|\d+(,\d+)*|\*/\d+", one) for time in times for one in time)
