"""The record of a run in the table `operations`."""

from contextlib import closing

from sqlalchemy import text

from imgctl.ops.common.operation_record import Recording
from imgctl.ops.common.transactions import InProcess
from imgctl.store.catalog.engine import open_catalog


def test_the_end_of_a_run_is_recorded_though_the_database_restarts(postgres_url: str) -> None:
    recording = Recording("work", {}, user_id=None, report=None)
    with closing(open_catalog(postgres_url)) as catalog, closing(open_catalog(postgres_url)) as administrator:
        recording.begin(InProcess(catalog))
        with administrator.write() as connection:
            ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database()"
            connection.execute(text(f"{ended} AND pid <> pg_backend_pid()"))

        recording.end(0, {"ready": 1})

        with administrator.read() as connection:
            found = connection.execute(text("SELECT exit_code, counts FROM operations")).all()
    assert found == [(0, '{"ready": 1}')]
