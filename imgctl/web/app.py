"""The application: every route, how refusals are answered, and the document that describes both."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from imgctl import __version__
from imgctl.errors import ImgctlError
from imgctl.web import blobs, events, images, operations, uploads
from imgctl.web.face import Face
from imgctl.web.gallery import routes as gallery
from imgctl.web.model import Problem
from imgctl.web.outer import Outer
from imgctl.web.problem import Refusal, on_bug, on_http_exception, on_imgctl_error, on_invalid, on_refusal

DESCRIPTION = """\
Send a picture, and it is safe once this server has answered. Workers build its variants; poll, listen to its events
or have a webhook called to learn when. Whatever is refused says what to do next, as `application/problem+json`.
"""


def make_app(face: Face) -> ASGIApp:
    """The server as an ASGI application; it closes its face when it ends."""
    app = api(face)
    return Outer(app, face)


def api(face: Face) -> FastAPI:
    """The routes alone."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        face.close()

    app = FastAPI(
        title="imgctl",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    app.state.face = face
    routers = [images.router, uploads.router, events.router, operations.router, gallery.router]
    if face.links.own:
        routers.append(blobs.router)
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(ImgctlError, on_imgctl_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_bug)
    app.openapi = _document(app, tokens=bool(face.tokens))  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


def _without_tokens(document: "dict[str, dict[str, dict[str, dict[str, object]]]]") -> None:
    """Say of nothing that it wants a token."""
    document["components"].pop("securitySchemes", None)
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)


def _document(app: FastAPI, *, tokens: bool) -> "Callable[[], dict[str, object]]":
    def openapi() -> dict[str, object]:
        if not app.openapi_schema:
            found = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
            )
            schemas = found.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = Problem.model_json_schema()
            if not tokens:
                _without_tokens(found)
            app.openapi_schema = found
        return app.openapi_schema

    return openapi
