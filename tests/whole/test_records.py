"""Every record of --json matches docs/reference/ndjson.schema.json, with no field more or less."""

import json
from pathlib import Path
from unittest import mock

import jsonschema_rs
import pytest

from imgctl.cli.main import COMMANDS
from imgctl.pricing.estimate import Billing
from tests.parts.seaweed import S3Server
from tests.whole.deployment import USER, Deployment
from tests.whole.records import every_command
from tests.whole.sessions import at, write_photos
from tests.whole.test_cost import price_list, served
from tools.docs import SCHEMA, commands

PRINTS_NO_RECORDS = {"completion", "help"}
# These do not end: test_listen.py and test_watch.py validate them.
ENDLESS = {"listen", "watch"}
# Records that a directory never has, and records of AWS only.
ON_A_BUCKET = {"insert estimate", "backfill estimate", "transition lifecycle"}
FROM_AWS = {"transition job", "cost cards price"}
# test_serve.py validates it.
OF_A_SERVER = {"serve listening"}


def _strict(node: object) -> object:
    """Return the schema without additional fields: readers must accept new ones, but imgctl must describe them."""
    if isinstance(node, dict):
        node = {name: _strict(below) for name, below in node.items()}
        return node | {"additionalProperties": False} if "properties" in node else node
    return [_strict(one) for one in node] if isinstance(node, list) else node


def faults_of(command: str, records: list[dict[str, object]]) -> list[str]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    name = command.replace(" ", "%20")
    valid = jsonschema_rs.validator_for(
        {"$ref": f"#/$defs/{name}", "$defs": _strict(schema["$defs"])}, validate_formats=True
    )
    return [f"{command}: {json.dumps(one)}" for one in records if not valid.is_valid(one)]


def _types() -> set[str]:
    """Return every `COMMAND TYPE` in the schema."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    return {
        f"{name} {shape['properties']['type']['const']}"
        for name, node in schema.items()
        if "anyOf" in node
        for shape in node["anyOf"]
    }


def test_schema_has_every_command() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))

    leaves = {name for name in commands() if not any(other.startswith(f"{name} ") for other in commands())}
    assert leaves - PRINTS_NO_RECORDS <= schema["$defs"].keys()
    assert {one["$ref"].removeprefix("#/$defs/").replace("%20", " ") for one in schema["anyOf"]} == {
        name for name, node in schema["$defs"].items() if "anyOf" in node
    }
    jsonschema_rs.meta.validate(schema)
    assert jsonschema_rs.validator_for(schema).is_valid({"type": "summary", "looks": 1})


def test_records_of_every_command_match_the_schema(tmp_path: Path) -> None:
    write_photos(tmp_path)

    records = every_command(at(tmp_path))

    assert set(COMMANDS) - PRINTS_NO_RECORDS - ENDLESS == {name.split()[0] for name in records}
    faults = [fault for command, lines in records.items() for fault in faults_of(command, lines)]
    assert not faults, "\n".join(faults)
    assert all(lines[-1]["type"] == "summary" for lines in records.values())
    assert _types() - {
        f"{command} {one['type']}" for command, lines in records.items() for one in lines
    } == ON_A_BUCKET | FROM_AWS | OF_A_SERVER | {f"{name} {kind}" for name in ENDLESS for kind in ("file", "summary")}


@pytest.fixture
def bucket(tmp_path: Path, moto_s3: S3Server) -> Deployment:
    """A bucket with storage classes and lifecycle rules."""
    write_photos(tmp_path)
    deployment = at(tmp_path, moto_s3.settings(moto_s3.new_bucket()))
    return deployment.with_settings(STORE_ORIGINALS_PREFIX="originals/")


def test_records_that_only_a_bucket_has_match_the_schema(bucket: Deployment) -> None:
    bucket.run("init")
    bucket.run("upload", "photos", "--user", str(USER))
    bucket.run("work", "--drain")
    [*images, _] = bucket.run("ls", "--json").records
    store = bucket.open_store()
    store.create("old/1.jpg", store.get(str(images[0]["original_key"])) + b"x", content_type="image/jpeg")
    (bucket.directory / "old.csv").write_text(f"key,user_id\nold/1.jpg,{USER}\n")
    seen: set[str] = set()

    for line in (
        "insert old.csv --yes",
        "transition --to GLACIER --older-than 90d --min-size 0 --via lifecycle --yes",
        "transition --to GLACIER --older-than 0d --min-size 0 --limit 1 --yes",
        f"restore --user {USER} --yes",
        "backfill --metadata --yes --anew",
        "audit",
    ):
        command, *rest = line.split()
        result = bucket.run(command, *rest, "--json")
        assert not faults_of(command, result.records)
        seen |= {f"{command} {record['type']}" for record in result.records}

    assert seen >= ON_A_BUCKET


def _answer_for_aws() -> None:
    """Replace S3 Batch Operations, which no test server has."""
    from imgctl.ops.common import spend
    from imgctl.ops.transition import job

    job_id = "00e123a4-c0d8-41f4-a0eb-b46f9ba5b07c"
    mock.patch.object(spend, "billing", return_value=Billing.AWS).start()
    mock.patch.object(job, "create_copy_job", return_value=job_id).start()


def test_records_that_only_aws_causes_match_the_schema(bucket: Deployment, tmp_path: Path) -> None:
    bucket.run("init")
    bucket.run("upload", "photos", "--user", str(USER))
    bucket.run("work", "--drain")
    role = "arn:aws:iam::123456789012:role/batch"
    batch = ["transition", "--to", "GLACIER", "--older-than", "0d", "--min-size", "0", "--via", "batch"]
    listed = price_list(tmp_path / "list")

    moved = bucket.start(*batch, "--role-arn", role, "--yes", "--json", before=_answer_for_aws).wait()
    with served(listed) as url:
        refresh = ["refresh", "--out", "new.toml", "--region", "eu-central-1", "--url", url]
        priced = bucket.run("cost", "cards", *refresh, "--json")

    assert (moved.code, priced.code) == (0, 0), moved.err + priced.err
    assert not faults_of("transition", moved.records)
    assert not faults_of("cost cards", priced.records)
    seen = {f"transition {one['type']}" for one in moved.records}
    assert seen | {f"cost cards {one['type']}" for one in priced.records} >= FROM_AWS
