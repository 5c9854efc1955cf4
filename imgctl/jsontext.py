"""JSON that others wrote."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - as json.loads
    """Return the value of a JSON text; ValueError for any other, and for one nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None
