"""The estimated cost of an export, by store and target."""

from decimal import Decimal
from uuid import UUID

import pytest

from imgctl.model import Sized
from imgctl.ops.export.cost import Found, estimate
from imgctl.ops.export.options import ExportOrder
from imgctl.pricing.card_files import load_card

TERABYTE = Found(originals={"STANDARD": Sized(objects=1000, size=10**12)}, variants={}, unfinished=0)


@pytest.mark.parametrize(
    ("card", "store", "out", "leaves"),
    [
        ("aws-us-east-1", "s3://photos", "bag.zip", True),
        ("aws-us-east-1", "s3://photos", "s3://bags/1", False),
        ("gs-us-central1", "gs://photos", "s3://bags/1", True),
        ("az-eastus2", "az://photos", "s3://bags/1", True),
    ],
)
def test_bytes_that_leave_the_provider_are_priced_as_transfer(card: str, store: str, out: str, *, leaves: bool) -> None:
    order = ExportOrder(user=UUID(int=1), out=out)

    cost = estimate(load_card(card), TERABYTE, order, store_url=store)

    assert (cost.one_off > Decimal(50)) is leaves
    assert any("target bucket" in one for one in cost.assumptions) is (leaves and out.startswith("s3://"))
