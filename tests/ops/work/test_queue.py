"""How the ends of attempts are written into rows."""

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobArchived
from imgctl.imaging.decoders.decode import Limits
from imgctl.model import Recipe
from imgctl.ops.work.options import Ending, Outcome, WorkOrder
from imgctl.ops.work.queue import Processing
from imgctl.run.stop import Stop
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.listen import open_wait
from tests.store.catalog.rows import queued, walk


@pytest.mark.parametrize(
    ("url", "storage_class"),
    [("s3://photos", "GLACIER"), ("az://photos", "AZURE_ARCHIVE"), ("file:///photos", "GLACIER")],
)
def test_an_original_that_proves_to_be_archived_gets_a_class_of_its_store(
    catalog: Catalog, url: str, storage_class: str
) -> None:
    queued(catalog, 1)
    order = WorkOrder(
        store=StoreSettings(url=url),
        recipe=Recipe(),
        lease_seconds=60,
        max_attempts=1,
        limits=Limits(),
        timeout_seconds=60,
    )
    queue = Processing(order, catalog=catalog, stop=Stop(), wait=open_wait(catalog))
    with catalog.write() as connection:
        (job,) = queue.turn(connection, [], 1, idle=True).jobs
    archived = Outcome(job=job, ending=Ending.FATAL, error="archived", cause=BlobArchived.__name__)

    with catalog.write() as connection:
        queue.turn(connection, [archived], 0, idle=False)
    with catalog.read() as connection:
        (row,) = walk(connection)

    assert (row.storage_class, row.attempts - row.forgiven, row.leased_until) == (storage_class, 0, None)
