"""The two addresses of a SageMaker endpoint, GET /ping and POST /invocations, over any saved classifier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from vlm_tsc.classify.saved import n_channels_of, n_timepoints_of
from vlm_tsc.errors import InputError
from vlm_tsc.use.payload import (
    OUTPUTS,
    TYPES,
    Expected,
    Payload,
    accepted,
    read_payload,
    refuse_unanswered,
    write_answer,
)
from vlm_tsc.use.worker import Busy, Worker

LIMIT = 6 * 2**20  # bytes of a request, SageMaker's for answers in real time
DRAINED = 10 * LIMIT  # read and dropped, because a client that is still sending does not listen
ADDRESSES = "GET /ping, POST /invocations"


def make_app(worker: Worker, expected: Expected | None = None) -> FastAPI:
    """The application around a worker, which it starts and stops.

    Parameters
    ----------
    expected : Expected, optional
        What the run of the model takes; without it, what the model says of itself.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        await run_in_threadpool(worker.stop)

    # no generated pages: they take their scripts from a host elsewhere
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(InputError, _bad_input)
    app.add_exception_handler(AnyHTTPException, _refused)

    @app.get("/ping", response_model=None)
    async def ping() -> Response:
        return Response(status_code=200 if worker.is_ready else 503)

    @app.post("/invocations", response_model=None)
    async def invocations(request: Request) -> Response:
        return await _invoked(request, worker, expected)

    return app


async def _invoked(request: Request, worker: Worker, expected: Expected | None) -> Response:
    if not worker.is_ready:
        raise _refusal(503, "the model is not loaded yet", fix="GET /ping says 200 when it is")
    content_type = _content_type(request)
    wanted = accepted(request.headers.get("accept") or "*/*", content_type)
    if wanted is None:
        got = request.headers.get("accept")
        raise _refusal(406, "there is no such answer", where="the Accept header", got=got, allowed=TYPES)
    body = await _body(request)
    kind, asked = wanted
    classifier = worker.classifier
    expected = expected or Expected(n_channels_of(classifier), n_timepoints_of(classifier))
    payload = await run_in_threadpool(read_payload, body, content_type, expected)
    output = _output(request, payload, asked)
    probabilities = await _answered(worker, payload)
    refuse_unanswered(probabilities)
    text = await run_in_threadpool(write_answer, probabilities, classifier.classes_.tolist(), kind, output)
    return Response(text, media_type=kind)


def _content_type(request: Request) -> str:
    given = request.headers.get("content-type", "")
    kind = given.split(";")[0].strip().lower()
    if kind not in TYPES:
        where = "the Content-Type header"
        raise _refusal(415, "cases are not read in this form", where=where, got=given or "none", allowed=TYPES)
    return kind


async def _body(request: Request) -> bytes:
    body, size = bytearray(), 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= LIMIT:
                body += chunk
            elif size > DRAINED:
                break
    except ClientDisconnect:
        raise _refusal(400, "the connection ended before the request did") from None
    if size > LIMIT:
        allowed = f"{LIMIT:,} bytes"
        raise _refusal(413, "the request is too large", got=f"more than {allowed}", allowed=allowed, fix="fewer cases")
    return bytes(body)


def _output(request: Request, payload: Payload, asked: str | None) -> str:
    """Labels or probabilities: what the address says, else the body, else the Accept header, else labels."""
    unknown = [name for name in request.query_params if name != "output"]
    if unknown:
        raise InputError("unknown parameters", where="the address", got=unknown, allowed="output")
    choices = {"the address": request.query_params.get("output"), "the body": payload.output}
    choices["the Accept header"] = asked
    where, output = next(((k, v) for k, v in choices.items() if v is not None), ("", OUTPUTS[0]))
    if output not in OUTPUTS:
        raise InputError("there is no such output", where=f"output in {where}", got=str(output)[:40], allowed=OUTPUTS)
    return output


async def _answered(worker: Worker, payload: Payload) -> Any:
    try:
        return await asyncio.wrap_future(worker.submit(payload.cases))
    except Busy:
        raise _refusal(503, "too many requests wait already", fix="try again, with fewer at a time") from None
    except InputError:
        raise
    except Exception as error:
        raise _refusal(500, "the model failed on these cases", got=type(error).__name__, fix="see its log") from error


def _refusal(status: int, what: str, **details: Any) -> HTTPException:
    return HTTPException(status, str(InputError(what, **details)))


async def _bad_input(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    detail = error.detail
    if error.status_code in (404, 405):  # the framework's own words do not say what there is
        detail = str(InputError(detail, allowed=ADDRESSES))
    return JSONResponse({"error": detail}, status_code=error.status_code, headers=error.headers)
