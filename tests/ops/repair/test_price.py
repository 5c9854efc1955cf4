"""The price of a repair's reads and copies, computed before they are sent."""

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.ops.audit.findings import Code, Finding, Why
from imgctl.ops.common.spend import terms_of
from imgctl.ops.repair.options import RepairOrder
from imgctl.ops.repair.price import repair_price

S3 = StoreSettings(url="s3://photos", region="us-east-1")
SAFE = Finding(code=Code.STUCK_UPLOADING, why=Why.BYTES_SAFE, detail="", bytes=20 * 2**20)
UNNAMED = Finding(code=Code.MISSING_VARIANT, why=Why.NOT_NAMED, detail="", bytes=100_000)
ORPHAN = Finding(code=Code.ORPHAN_BLOB, why=Why.NO_ROW, detail="", bytes=100_000)
OTHERS = [
    Finding(code=Code.STUCK_UPLOADING, why=Why.BYTES_MISSING, detail=""),
    Finding(code=Code.FAILED, detail="", bytes=3_000_000),
    Finding(code=Code.MISSING_ORIGINAL, detail=""),
]
TRASH = RepairOrder(apply=True, delete_orphans=True)


def price(findings: list[Finding], order: RepairOrder, *, store: StoreSettings = S3, endpoint: str = "") -> str:
    return repair_price(findings, order, terms_of(Settings(store=store), endpoint_url=endpoint))


def test_reads_and_copies_are_counted_and_priced() -> None:
    # 3 pieces of 8 MiB for 20 MiB, 1 for a variant: 40,000 GETs at $0.0004 and 20,000 copies at $0.005 per 1,000.
    text = price([SAFE, UNNAMED, ORPHAN, ORPHAN] * 10_000 + OTHERS, TRASH)

    assert text.startswith(
        "to read 20,000 blobs (196 GiB) to prove their repairs and copy 20,000 orphans to the trash costs up to"
    )
    assert " up to $0.116 for requests (aws us-east-1," in text
    assert text.endswith(
        "plus a price per GB for blobs in STANDARD_IA, ONEZONE_IA, GLACIER_IR, and for transfer out of the region"
    )


def test_only_orphans_that_are_moved_are_priced_in_a_dry_run_too() -> None:
    assert price([ORPHAN], RepairOrder(apply=True)) == ""
    assert price([ORPHAN], RepairOrder(delete_orphans=True)) == price([ORPHAN], TRASH)
    assert price([ORPHAN], TRASH).startswith("to copy 1 orphan to the trash costs up to $0.000005 ")


def test_what_sends_no_such_request_has_no_price() -> None:
    assert price(OTHERS, TRASH) == ""
    assert price([SAFE, ORPHAN], TRASH, store=StoreSettings(url="file:///photos")) == ""


def test_only_classes_with_a_price_for_reading_are_named() -> None:
    google, azure = (price([SAFE], TRASH, store=StoreSettings(url=url)) for url in ("gs://photos", "az://photos"))

    assert "in NEARLINE, COLDLINE" in google
    assert "GLACIER" not in google + azure


def test_the_price_at_another_endpoint_is_that_of_aws() -> None:
    assert "price unknown for this endpoint; AWS us-east-1 would charge" in price(
        [SAFE], TRASH, endpoint="http://127.0.0.1:9"
    )
