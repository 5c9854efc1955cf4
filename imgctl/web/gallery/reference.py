"""The API reference as a page: rendered from the OpenAPI document, without scripts or styles of other sites."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import cast

from imgctl.web.gallery.pages import bar

_METHODS = ("get", "post", "put", "delete")
Document = Mapping[str, object]


def reference(document: Document) -> str:
    """Return the document as HTML."""
    info = _map(document, "info")
    operations = "".join(_operation(path, method, one) for path, method, one in _operations(document))
    intro = "".join(f"<p>{_prose(text)}</p>" for text in str(info.get("description", "")).split("\n\n"))
    link = '<a class="back" href="/openapi.json">openapi.json</a>'
    return f'{bar(link)}<main class="reference"><h1>The HTTP API of imgctl</h1>{intro}{operations}</main>'


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path in _map(document, "paths"):
        for method in _METHODS:
            one = _map(_map(_map(document, "paths"), path), method)
            if one:
                yield path, method, one


def _operation(path: str, method: str, one: Document) -> str:
    name = escape(str(one.get("operationId", "")))
    return f"""<section id="{name}">
<h2><a href="#{name}"><span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code></a></h2>
<p>{_prose(str(one.get("description") or one.get("summary") or ""))}</p>
{_parameters(one)}{_body(one)}{_responses(one)}
</section>"""


def _parameters(one: Document) -> str:
    listed = cast("list[Document]", one.get("parameters") or [])
    rows = "".join(
        f"<tr><td><code>{escape(str(each['name']))}</code>{' *' if each.get('required') else ''}</td>"
        f"<td>{escape(str(each['in']))}</td><td>{escape(_kind(_map(each, 'schema')))}</td>"
        f"<td>{_prose(str(each.get('description', '')))}</td></tr>"
        for each in listed
    )
    return f'<div class="wide"><table><tbody>{rows}</tbody></table></div>' if rows else ""


def _body(one: Document) -> str:
    body = _map(one, "requestBody")
    if not body:
        return ""
    kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in _map(body, "content"))
    return f"<p>Body: {kinds}. {_prose(str(body.get('description', '')))}</p>"


def _responses(one: Document) -> str:
    listed = _map(one, "responses")
    rows = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{_prose(str(_map(listed, status).get('description', '')))}</td></tr>"
        for status in sorted(listed)
    )
    return f"<details><summary>Responses</summary><table><tbody>{rows}</tbody></table></details>"


def _prose(text: str) -> str:
    """Return text as HTML, with `code` in backquotes."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _kind(schema: Document) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2].lower()
    choices = cast("list[Document]", schema.get("anyOf") or [])
    kinds = [_kind(one) for one in choices if one.get("type") != "null"]
    return " or ".join(kinds) if kinds else str(schema.get("format") or schema.get("type") or "")


def _map(document: Document, name: str) -> Document:
    found = document.get(name) or {}
    assert isinstance(found, Mapping)
    return found
