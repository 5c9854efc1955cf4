"""The application: its routes, health checks, error handlers, and the OpenAPI document."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from imgctl import __version__
from imgctl.errors import ImgctlError
from imgctl.run.telemetry.prometheus import CONTENT_TYPE
from imgctl.web import bucket_events, erasing, events, exports, images, uploads
from imgctl.web.app_state import AppState, State
from imgctl.web.auth import Reader, Scope, check_all_users
from imgctl.web.gallery import routes as gallery
from imgctl.web.middleware import CLIENT_CLOSED, Middleware
from imgctl.web.problem import RETRY_SECONDS, Refusal, on_error
from imgctl.web.schemas import HealthAnswer, Problem, refusals

DESCRIPTION = """\
A picture is safe once `POST /images` has returned. Workers then build its variants: poll the image, stream its events
or configure a webhook. Errors are `application/problem+json` (RFC 9457), with the next step in `hint`.
"""

router = APIRouter(tags=["operations"])
_PLAIN: dict[int | str, dict[str, object]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The text format of Prometheus."}
}


def make_app(state: AppState) -> ASGIApp:
    """Return the server as an ASGI application, which closes `state` when it ends."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        state.close()

    app = FastAPI(
        title="imgctl",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.shared = state
    routers = [images.router, erasing.router, exports.router, uploads.router, events.router, bucket_events.router]
    routers += [router, gallery.router]
    if state.links.own:
        routers.append(images.blobs)
    for route in (route for one in routers for route in one.routes if isinstance(route, APIRoute)):
        route.operation_id = route.operation_id or f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"
        # Not include_router: with it each request would be matched against the routes twice.
        app.router.routes.append(route)
    for kind in (Refusal, ImgctlError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, on_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.openapi = _document(app, tokens=bool(state.auth.tokens))  # type: ignore[method-assign]
    return Middleware(app, state)


@router.get("/healthz", operation_id="operations_alive", response_model=HealthAnswer)
async def alive() -> Response:
    """Report that this process runs."""
    return JSONResponse({"ok": True, "why": {}}, headers={"Cache-Control": "no-store"})


@router.get(
    "/readyz",
    operation_id="operations_ready",
    response_model=HealthAnswer,
    responses={503: {"model": HealthAnswer, "description": "The catalog or the store does not respond."}},
)
def ready(state: State) -> Response:
    """Report whether the catalog and the store respond."""
    wrong = state.readiness.wrong()
    if state.stopping.is_set():
        wrong["server"] = "stopping"
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(RETRY_SECONDS)} if wrong else {})
    return JSONResponse({"ok": not wrong, "why": wrong}, status_code=503 if wrong else 200, headers=headers)


@router.get("/metrics", operation_id="operations_metrics", response_class=Response, responses={**_PLAIN, **refusals()})
def metrics(state: State, caller: Reader) -> Response:
    """Return metrics for Prometheus: requests, uploads, the backlog. Tokens of one user are rejected."""
    check_all_users(caller, Scope.READ)
    return Response(state.metrics.text(), media_type=CONTENT_TYPE)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """Note the client's disconnect in log and metrics; nobody receives this response."""
    return Response(status_code=CLIENT_CLOSED)


def _without_tokens(document: "dict[str, dict[str, dict[str, dict[str, object]]]]") -> None:
    """Remove the token requirement from every operation."""
    document["components"].pop("securitySchemes", None)
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)


def _document(app: FastAPI, *, tokens: bool) -> "Callable[[], dict[str, object]]":
    def openapi() -> dict[str, object]:
        if not app.openapi_schema:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = Problem.model_json_schema()
            if not tokens:
                _without_tokens(document)
            app.openapi_schema = document
        return app.openapi_schema

    return openapi
