"""The explorer's addresses: pages that read (GET), and parts of pages that the model is asked for (POST)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from vlm_tsc.errors import InputError
from vlm_tsc.use.explorer import asked, read
from vlm_tsc.use.explorer.guard import Guard
from vlm_tsc.use.explorer.model_thread import ModelThread
from vlm_tsc.use.explorer.opened import Runs
from vlm_tsc.use.explorer.pages import rendered, script, style
from vlm_tsc.use.explorer.paths import Missing

log = logging.getLogger(__name__)
_FILES = {"style.css": ("text/css", style), "explore.js": ("text/javascript", script)}


def make_app(root: Path, models: ModelThread, host: str, port: int) -> FastAPI:
    """The application.

    Parameters
    ----------
    root : Path
        Real path of the folder of runs, from `paths.checked_root`.
    models : ModelThread
        Started and stopped with the application.
    host, port : str, int
        Where it listens: requests to other names are refused.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        models.start()
        yield
        await run_in_threadpool(models.stop)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.runs, app.state.models, app.state.token = Runs(root), models, secrets.token_urlsafe(24)
    app.add_middleware(Guard, host=host, port=port, token=app.state.token)
    for kind, handler in ((InputError, _refused), (HTTPException, _no_page), (OSError, _unread), (Exception, _failed)):
        app.add_exception_handler(kind, handler)
    app.add_api_route("/static/{name}", _static, response_model=None)
    for path, page in read.PAGES.items():
        app.add_api_route(path, page, response_model=None, response_class=HTMLResponse)
    app.add_api_route("/picture", read.picture, response_model=None)
    for path, part in asked.PARTS.items():
        app.add_api_route(path, part, methods=["POST"], response_model=None, response_class=HTMLResponse)
    return app


def _static(name: str) -> Response:
    if name not in _FILES:
        raise HTTPException(404)
    kind, content = _FILES[name]
    return Response(content(), media_type=kind, headers={"Cache-Control": "private, max-age=3600"})


async def _refused(request: Request, error: Exception) -> Response:
    return _problem(request, 404 if isinstance(error, Missing) else 400, str(error))


async def _no_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(request, error.status_code, str(InputError(error.detail, where=request.url.path[:200])))


async def _unread(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return _problem(request, 500, str(InputError(error.strerror or "a file cannot be read", where=error.filename)))


async def _failed(request: Request, error: Exception) -> Response:
    """What nobody foresaw: the page stays calm, and whoever started the explorer sees the traceback."""
    text = InputError("something in the explorer failed", got=type(error).__name__, fix="see its terminal")
    return _problem(request, 500, str(text))


def _problem(request: Request, status: int, text: str) -> Response:
    if request.method == "POST":
        return HTMLResponse(rendered("problem_part.html.j2", text=text), status)
    token = request.app.state.token
    return HTMLResponse(rendered("problem.html.j2", text=text, token=token), status)
