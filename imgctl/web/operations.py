"""What operators and their machines ask: is it alive, is it ready, how is it doing."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from imgctl.web.face import OwnFace
from imgctl.web.gate import Reader
from imgctl.web.model import HealthAnswer, refusals
from imgctl.web.problem import RETRY_SECONDS, Refusal

router = APIRouter(tags=["operations"])
_PLAIN: dict[int | str, dict[str, object]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The text format of Prometheus."}
}


@router.get("/healthz", response_model=HealthAnswer)
async def alive() -> Response:
    """Say that this process runs; asks nothing else."""
    return JSONResponse({"ok": True, "why": {}}, headers={"Cache-Control": "no-store"})


@router.get(
    "/readyz",
    response_model=HealthAnswer,
    responses={503: {"model": HealthAnswer, "description": "The catalog or the store does not answer."}},
)
def ready(face: OwnFace) -> Response:
    """Say whether the catalog and the store answer."""
    wrong = face.readiness.wrong()
    if face.stopping.is_set():
        wrong["server"] = "stopping"
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(RETRY_SECONDS)} if wrong else {})
    return JSONResponse({"ok": not wrong, "why": wrong}, status_code=503 if wrong else 200, headers=headers)


@router.get("/metrics", response_class=Response, responses={**_PLAIN, **refusals()})
def metrics(face: OwnFace, caller: Reader) -> Response:
    """Numbers for Prometheus: requests, uploads, the backlog. A token of one user may not ask."""
    if caller.user_id is not None:
        raise Refusal(403, "this token is about one user only", hint="use one for all users: NAME:read:*:HASH")
    return Response(face.metrics.text(), media_type=CONTENT_TYPE_LATEST)
