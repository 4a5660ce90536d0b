"""Parts of pages that the model is asked for; each waits for the one thread that owns the model."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from vlm_tsc.classify.saved import find_saved
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.conversation.records import images_of, texts_of
from vlm_tsc.errors import InputError
from vlm_tsc.report.cases import bars_of
from vlm_tsc.representation.png import read_png
from vlm_tsc.use.case_map import map_case
from vlm_tsc.use.explorer.asking import Style, ask_once, classify_table, tokens_of, with_markers
from vlm_tsc.use.explorer.cards import MOST_BARS
from vlm_tsc.use.explorer.charts import map_panels, series_panels
from vlm_tsc.use.explorer.opened import OpenRun, read_case
from vlm_tsc.use.explorer.pages import rendered
from vlm_tsc.use.explorer.paths import refuse_outside
from vlm_tsc.use.worker import Busy

log = logging.getLogger(__name__)
_LIMIT = 2 * 2**20  # bytes of a request
FILLS = ("interpolate", "mean")
Given = dict[str, str]


async def tokens(request: Request) -> Response:
    """The prompt of a case, cut into tokens."""
    run, row, _ = await _case(request)
    shown = await run_in_threadpool(_recorded, run, row)
    found = await _with_model(request, run, lambda model: tokens_of(model, shown))
    return _part("tokens.html.j2", tokens=found, n_tokens=sum(token.n for token in found))


async def explain(request: Request) -> Response:
    """The occlusion map of a case, of one class's answer."""
    run, row, given = await _case(request)
    label, fill = given.get("label", ""), given.get("fill", FILLS[0])
    if label not in run.index.class_names or fill not in FILLS:
        raise InputError("there is no such class or filling", got=f"{label[:100]}, {fill[:40]}", allowed=FILLS)
    case = await run_in_threadpool(read_case, run.folder.series, run.index.ids[row])

    def work(model: Any) -> Any:
        return map_case(model.asked(), run.index.ids[row], case, label, 3, fill)  # type: ignore[arg-type]

    made = await _with_model(request, run, work)
    return _part("map.html.j2", made=made, panels_given=map_panels(made), n_channels=len(case))


async def question(request: Request) -> Response:
    """The question that a style would ask about a case, as plain text without its markers."""
    run, row, given = await _case(request)
    own = _presentation(run)

    def made() -> str:
        case = read_case(run.folder.series, run.index.ids[row])
        presentation = Style.read(given, own).applied(own, run.folder.series)
        return presentation.question(case).split("<image>\n")[-1]

    return Response(await run_in_threadpool(made), media_type="text/plain")


async def attempt(request: Request) -> Response:
    """Another question or picture of a case, answered; marked as not the run's own."""
    run, row, given = await _case(request)
    own = _presentation(run)

    def prepared() -> tuple[Shown, Shown, str]:
        case = read_case(run.folder.series, run.index.ids[row])
        presentation = Style.read(given, own).applied(own, run.folder.series)
        shown = presentation.show(case)
        typed = with_markers(given.get("question", ""), len(shown.pictures))
        return replace(shown, question=typed), _recorded(run, row), presentation.legend()

    shown, recorded, legend = await run_in_threadpool(prepared)
    id_, true = run.index.ids[row], run.index.class_names[run.index.true[row]]
    length = _context_length(run)
    reply = await _with_model(request, run, lambda model: ask_once(model, shown, id_, true, length))
    bars, rest = bars_of(run, reply.prediction, MOST_BARS)
    content = {"reply": reply, "shown": shown, "bars": bars, "rest": rest, "truth": true, "size": own.size}
    content["legend"] = legend
    return _part("reply.html.j2", run=run, own=run.index.prediction(row), changed=_changed(shown, recorded), **content)


async def classify(request: Request) -> Response:
    """New series as CSV, classified."""
    given = await _given(request)
    run = await run_in_threadpool(request.app.state.runs.get, given.get("run", ""))
    text = given.get("table", "")
    found = await _with_model(request, run, lambda model: classify_table(model, text))
    shown = [(one, series_panels(one.case), bars_of(run, one.prediction, MOST_BARS)) for one in found]
    size = run.presentation.size if run.presentation else (0, 0)
    return _part("classified.html.j2", run=run, found=shown, size=size)


PARTS = {"/tokens": tokens, "/explain": explain, "/question": question, "/try": attempt, "/classify": classify}


def _changed(shown: Shown, recorded: Shown) -> list[str]:
    """What is not as in the run."""
    same = len(shown.pictures) == len(recorded.pictures) and all(
        np.array_equal(one, other) for one, other in zip(shown.pictures, recorded.pictures, strict=True)
    )
    differ = [shown.question != recorded.question, not same, shown.lead != recorded.lead]
    return list(itertools.compress(("question", "picture", "measured lead"), differ))


def _recorded(run: OpenRun, row: int) -> Shown:
    """A case as its record on disk shows it."""
    _presentation(run)
    record, folder = run.record(row), run.folder.path
    for name in images_of(record):
        refuse_outside(folder.resolve(), folder / name)
    return Shown([read_png(folder / name) for name in images_of(record)], *texts_of(record))


def _presentation(run: OpenRun) -> Presentation:
    if run.presentation is None:
        raise InputError("this run reads the series itself: there is no question to ask", where=run.name)
    return run.presentation


def _context_length(run: OpenRun) -> int | None:
    value = find_saved(run.folder.path).settings.get("context_length")
    return value if isinstance(value, int) else None


async def _case(request: Request) -> tuple[OpenRun, int, Given]:
    given = await _given(request)
    run = await run_in_threadpool(request.app.state.runs.get, given.get("run", ""))
    return run, run.row(given.get("id", "")), given


async def _given(request: Request) -> Given:
    """The fields of a request: a JSON object of texts."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LIMIT:
            raise InputError("the request is too large", allowed=f"{_LIMIT:,} bytes", fix="fewer cases")
    try:
        value = json.loads(bytes(body))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise InputError("this is no request of the explorer's own pages", allowed="a JSON object of texts")
    return value


async def _with_model(request: Request, run: OpenRun, work: Callable[[Any], Any]) -> Any:
    if not run.has_model:
        what = "this run has no model that could be asked"
        raise InputError(what, where=run.name, allowed="a run with adapter/ or model/", fix="choose another run")
    try:
        return await asyncio.wrap_future(request.app.state.models.submit(run.folder.path, work))
    except Busy:
        raise InputError("the model has too much to do", fix="wait for what was asked before") from None
    except (InputError, OSError):
        raise
    except Exception as error:
        log.exception("the model failed")
        what = "the model failed on this"
        raise InputError(what, got=f"{type(error).__name__}: {str(error)[:200]}", fix="see the terminal") from error


def _part(template: str, **content: Any) -> Response:
    return HTMLResponse(rendered(template, **content))
