"""The short way to the catalog: an upload's transactions on Postgres, by psycopg alone.

To import SQLAlchemy and its dialect takes 0.13 s, which is a third of what an upload needs to begin. It knows one case,
the one nearly every transaction is: it works. Whatever else happens is left to the long way, which does the same again
and can explain it. The statements are those that SQLAlchemy makes of `promises`; a test compares them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from imgctl.model import Status
from imgctl.store.catalog.encode import encoded
from imgctl.store.catalog.names import HEAD, POSTGRES, WORK_CHANNEL
from imgctl.store.catalog.promising import CONTENT_COLUMNS, ID_COLUMNS, NEW_COLUMNS, Rows

T = TypeVar("T")

INSERT = """
INSERT INTO images (id, user_id, uploaded_at, original_key, sha256, bytes, content_type, width, height, caption,
                    taken_at, status)
SELECT batch.id, batch.user_id, batch.uploaded_at, batch.original_key, batch.sha256, batch.bytes, batch.content_type,
       batch.width, batch.height, batch.caption, batch.taken_at, 'uploading' AS anon_1
FROM json_to_recordset(CAST(%(batch)s::VARCHAR AS JSON)) AS
    batch(id UUID, user_id UUID, uploaded_at TIMESTAMP WITH TIME ZONE, original_key TEXT, sha256 BYTEA, bytes BIGINT,
          content_type TEXT, width INTEGER, height INTEGER, caption TEXT, taken_at TIMESTAMP WITH TIME ZONE)
WHERE true ON CONFLICT DO NOTHING RETURNING images.id
"""
FIND = """
SELECT images.id, images.original_key, images.status, batch.user_id, batch.sha256
FROM images, json_to_recordset(CAST(%(batch)s::VARCHAR AS JSON)) AS batch(user_id UUID, sha256 BYTEA)
WHERE images.user_id = batch.user_id AND substr(images.sha256, 1, 16) = substr(batch.sha256, 1, 16)
"""
STAND = """
SELECT images.id, images.user_id, images.status
FROM images, json_to_recordset(CAST(%(batch)s::VARCHAR AS JSON)) AS batch(id UUID)
WHERE images.id = batch.id
"""
CONFIRM = """
UPDATE images SET status='processing'
FROM json_to_recordset(CAST(%(batch)s::VARCHAR AS JSON)) AS batch(id UUID)
WHERE images.id = batch.id AND images.status = 'uploading' RETURNING images.id
"""
_NOTIFY = "SELECT pg_notify(%s, '')"
_VERSION = "SELECT version_num FROM alembic_version"


class ShortWayClosed(Exception):
    """Something went wrong that is not understood here; whether the transaction was committed is not known."""


class ShortWay:
    """Connections to one Postgres, each used by one thread at a time."""

    def __init__(self, arguments: Mapping[str, str]) -> None:
        self._conninfo = make_conninfo(**arguments)
        self._idle: deque[psycopg.Connection] = deque()

    def is_current(self) -> bool:
        """Whether the schema is the one this program was written for; raises ShortWayClosed."""
        return self.transact(lambda asking: asking.versions() == [HEAD])

    def transact(self, work: Callable[["Asked"], T]) -> T:
        """Do some work in one transaction; raises ShortWayClosed, or what the work raises, and then nothing is changed."""
        connection = None
        try:
            connection = self._connection()
            result = work(Asked(connection))
            connection.commit()
        except psycopg.Error as error:
            raise ShortWayClosed(str(error)) from error
        else:
            self._idle.append(connection)
            connection = None
            return result
        finally:
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """Close every connection."""
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> psycopg.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return psycopg.connect(self._conninfo)


class Asked:
    """An open transaction; `promising.Asking`."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def insert(self, rows: Rows) -> set[UUID]:
        """Insert rows as `uploading` where nothing stands in the way; returns the ids inserted."""
        return {image for (image,) in self._rows(INSERT, NEW_COLUMNS, rows)}

    def find(self, rows: Rows) -> Iterable[tuple[UUID, str | None, Status, UUID, bytes]]:
        """Id, key and status of the images with these contents, and the contents themselves."""
        found = self._rows(FIND, CONTENT_COLUMNS, rows)
        return [(image, key, Status(status), user, digest) for image, key, status, user, digest in found]

    def stand(self, rows: Rows) -> Iterable[tuple[UUID, UUID, Status]]:
        """Id, owner and status of those of the ids that exist."""
        return [(image, user, Status(status)) for image, user, status in self._rows(STAND, ID_COLUMNS, rows)]

    def confirm(self, rows: Rows) -> set[UUID]:
        """Turn `uploading` into `processing`; returns the ids that changed."""
        return {image for (image,) in self._rows(CONFIRM, ID_COLUMNS, rows)}

    def announce_work(self) -> None:
        """Tell workers that wait for something to do."""
        self._connection.execute(_NOTIFY, [WORK_CHANNEL])

    def versions(self) -> list[str]:
        """The revisions of the schema that is there."""
        return [version for (version,) in self._connection.execute(_VERSION)]

    def _rows(self, statement: str, names: tuple[str, ...], rows: Rows) -> list[TupleRow]:
        return self._connection.execute(statement, {"batch": encoded(POSTGRES, names, rows)}).fetchall()
