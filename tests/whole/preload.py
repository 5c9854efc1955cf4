"""Imports the modules of all runs once in the server that forks them; creates no client."""

from importlib import import_module
from pkgutil import walk_packages

import boto3  # noqa: F401
import botocore.endpoint
import botocore.parsers  # noqa: F401
import obstore.store  # noqa: F401
import psycopg  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite  # noqa: F401

import imgctl
from imgctl.store.blobs.s3.connect import service_models

# Few runs need the first two, which take as long as all others; only Alembic may load a migration.
LEFT_OUT = ("imgctl.web", "imgctl.run.pools.dask", "imgctl.__main__", "imgctl.store.catalog.migrations")

for module in walk_packages(imgctl.__path__, "imgctl."):
    if not module.name.startswith(LEFT_OUT):
        import_module(module.name)

for part in ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2"):
    service_models().load_service_model("s3", part)
for shared in ("endpoints", "partitions", "_retry", "sdk-default-configuration"):
    service_models().load_data(shared)
