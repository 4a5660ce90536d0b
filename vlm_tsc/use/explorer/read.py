"""Pages that only read: the runs, the cases of one, a case, two runs side by side, new series; and the pictures."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request, Response

from vlm_tsc.conversation.prompt import MODES
from vlm_tsc.conversation.records import images_of
from vlm_tsc.representation.styles import STYLES
from vlm_tsc.use.explorer.asking import CHANNELS, LIMITS, MOST_CASES
from vlm_tsc.use.explorer.cards import card, cards, facts_of, listed_runs, sheet
from vlm_tsc.use.explorer.comparison import KINDS, compared, same_test
from vlm_tsc.use.explorer.opened import OpenRun, Runs, shown_name
from vlm_tsc.use.explorer.pages import rendered
from vlm_tsc.use.explorer.paths import Missing, refuse_outside, run_names
from vlm_tsc.use.explorer.selection import ORDER, SHOW, View, neighbours, page_of, selected

_PNG = b"\x89PNG\r\n\x1a\n"


def runs_page(request: Request) -> Response:
    """All runs, by their datasets."""
    runs: Runs = request.app.state.runs
    return _page(request, "runs.html.j2", listed=listed_runs(runs), folder=str(runs.root))


def cases_page(request: Request) -> Response:
    """A gallery of the cases that pass a filter."""
    run, view = _run(request), View.read(request.query_params)
    page = page_of(selected(run.index, view), view.page)
    runs: Runs = request.app.state.runs
    others = [name for name in run_names(runs.root) if name != run.name]
    beside = [name for name in others if same_test(run.metrics, runs.metrics(name))]
    content = {"view": view, "page": page, "cards": cards(run, page.rows), "facts": facts_of(run)}
    return _page(request, "cases.html.j2", run=run, **content, show=SHOW, order=ORDER, beside=beside)


def case_page(request: Request) -> Response:
    """One case: what the model was given and what it answered, and what can be asked about it."""
    run, view = _run(request), View.read(request.query_params)
    row = run.row(request.query_params.get("id", ""))
    before, after, place = neighbours(rows := selected(run.index, view), row)
    ids = run.index.ids
    content: dict[str, Any] = {"view": view, "sheet": sheet(run, row), "place": place, "n_rows": len(rows)}
    content |= {
        "before": ids[before] if before is not None else None,
        "after": ids[after] if after is not None else None,
    }
    if run.presentation:  # the run's own pictures first, in their order
        content |= {"pictures": list(dict.fromkeys([*run.presentation.styles, *STYLES]))}
    return _page(request, "case.html.j2", run=run, **content, modes=list(MODES), limits=LIMITS, channels=CHANNELS)


def compare_page(request: Request) -> Response:
    """Two runs, case by case."""
    first = _run(request)
    second = request.app.state.runs.get(request.query_params.get("with", ""))
    if not same_test(first.metrics, second.metrics):
        return _page(request, "compare.html.j2", run=first, other=second, found=None)
    found = compared(first.index, second.index)
    kind = request.query_params.get("kind", "")
    kind, view = kind if kind in KINDS else "differ", View.read(request.query_params)
    places = found.kinds[kind].nonzero()[0]
    page = page_of(places, view.page)
    pairs = [(card(first, int(found.first[i])), card(second, int(found.second[i]))) for i in page.rows]
    content = {"found": found, "kinds": KINDS, "kind": kind, "page": page, "pairs": pairs}
    return _page(request, "compare.html.j2", run=first, other=second, **content)


def classify_page(request: Request) -> Response:
    """A field for new series."""
    return _page(request, "classify.html.j2", run=_run(request), most=MOST_CASES)


def picture(request: Request) -> Response:
    """Picture `n` of a case, byte for byte as it is on disk."""
    run = _run(request)
    row = run.row(request.query_params.get("id", ""))
    names, n = images_of(run.record(row)), request.query_params.get("n", "0")
    if n not in map(str, range(len(names))):
        raise Missing("there is no such picture", got=n[:40])
    path = run.folder.path / names[int(n)]
    refuse_outside(run.folder.path.resolve(), path)
    if not path.is_file():
        raise Missing("The picture is missing.", where=path, fix="run dataset.py again to draw it")
    content = path.read_bytes()
    if not content.startswith(_PNG):  # whatever a record calls a picture, nothing else leaves by this address
        raise Missing("The picture cannot be read.", where=path, allowed="a PNG")
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"Cache-Control": "private, max-age=300", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="image/png", headers=headers)


PAGES = {
    "/": runs_page,
    "/cases": cases_page,
    "/case": case_page,
    "/compare": compare_page,
    "/classify": classify_page,
}


def _run(request: Request) -> OpenRun:
    return request.app.state.runs.get(request.query_params.get("run", ""))


def _page(request: Request, template: str, **content: Any) -> Response:
    state = request.app.state
    named = {"shown_name": lambda name: shown_name(state.runs.root, name), "token": state.token}
    return Response(
        rendered(template, **content, **named), media_type="text/html", headers={"Cache-Control": "no-store"}
    )
