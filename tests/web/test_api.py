"""Requests generated from the OpenAPI document get the responses that the document describes."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from imgctl.config.catalog_store import StoreSettings
from tests.soak import rounds
from tests.web.server import Served, served, settings_for
from tests.whole.conftest import photo

Operation = APIOperation[Any, Any, Any, Any]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one ready image."""
    place = tmp_path_factory.mktemp("described")
    store = StoreSettings(url=f"file://{place}/blobs")
    with served(settings_for(f"sqlite:///{place}/catalog.db", store, spool=str(place / "spool"))) as server:
        server.send(photo(1))
        server.work()
        yield server


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_response_is_one_of_the_documents(described: Served, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"{described.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]
    for operation in operations:
        _examine(operation, mode)

    assert len(operations) >= 12


def _examine(operation: Operation, mode: GenerationMode) -> None:
    @settings(
        max_examples=rounds(5, 100),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS)

    with suppress(Unsatisfiable):
        # An operation without parameters has no invalid requests.
        call()
