"""The bare web framework, for comparison with `imgctl serve`: reads bodies, returns constants."""

import sys

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()
ANSWER = {"id": "0190b2b4-0000-7000-8000-000000000001", "status": "ready"}


@app.post("/images", status_code=201)
async def take(request: Request) -> dict[str, str]:
    """Read a body and discard it."""
    async for _ in request.stream():
        pass
    return ANSWER


@app.get("/images/{image_id}")
def get(image_id: str) -> dict[str, str]:
    """Return a constant, in a thread like every handler that queries a database."""
    return ANSWER


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", access_log=False)
