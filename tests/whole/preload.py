"""What a run of imgctl imports, imported once in the server that forks the runs; no client is made here."""

import boto3  # noqa: F401
import botocore.endpoint
import botocore.parsers  # noqa: F401
import obstore.store  # noqa: F401
import psycopg  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite  # noqa: F401

import imgctl.cli.transition_job
import imgctl.cli.upload
import imgctl.ops.parts
import imgctl.ops.upload.pipeline
import imgctl.store.catalog.upgrade  # noqa: F401
