"""report.html: one self-contained page about a run, or about several."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from vlm_tsc import __version__
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_text
from vlm_tsc.report.cases import gallery
from vlm_tsc.report.classes import confusions, matrix, shares
from vlm_tsc.report.command import folded
from vlm_tsc.report.comparison import Grid, by_split, cost, grid
from vlm_tsc.report.curves import learning_curves
from vlm_tsc.report.facts import facts, method_table, name_of, summary, tiles
from vlm_tsc.report.finished import FinishedRun, check_finished, read_finished
from vlm_tsc.report.ranks import rank_diagram, too_few
from vlm_tsc.report.reliability import reliability
from vlm_tsc.report.runs import Run, read_run
from vlm_tsc.report.several import run_table, summary_of_runs, title_of_runs, warnings_of_runs
from vlm_tsc.report.table import cut
from vlm_tsc.run import RunFolder

_TEMPLATES = Path(__file__).resolve().parent / "templates"
REPORT = "report.html"


def write_report(paths: Sequence[Path | str], output: Path | str | None = None) -> Path:
    """Write the report of one run, or one that compares several.

    Parameters
    ----------
    paths : sequence of path
        Run folders, or folders of runs such as `runs/GunPoint` or `runs`, whose finished runs are taken.
    output : path, optional
        Default: `report.html` in the run's folder, or in the nearest folder that holds all the runs.

    Returns
    -------
    Path
        The page. One that says the same already is left untouched.

    Raises
    ------
    InputError
        Naming the run that is missing, unfinished or broken.
    """
    folders = run_folders(paths)
    one = len(folders) == 1
    page = run_page(read_finished(folders[0])) if one else runs_page(folders)
    path = Path(output) if output else _common(folders) / REPORT
    if not (path.is_file() and path.read_bytes() == page.encode()):
        write_text(path, page)
    return path


def run_folders(paths: Sequence[Path | str]) -> list[Path]:
    """Every run named, and the finished runs of every folder of runs, each once."""
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        inside = sorted({file.parent for depth in ("*", "*/*") for file in path.glob(f"{depth}/metrics.json")})
        is_run = (path / "config.yaml").is_file() or not inside
        for folder in [path] if is_run else inside:
            found.setdefault(folder.resolve(), folder)
    for folder in found.values():
        check_finished(RunFolder(folder))
    if not found:
        raise InputError("Name a run.", where="RUN", got="nothing", allowed="run folders, or folders of runs")
    return list(found.values())


def _common(folders: Sequence[Path]) -> Path:
    """The folder of a single run; else the nearest one that holds all of them."""
    first, *others = (folder.resolve() for folder in folders)
    if not others:
        return folders[0]
    return next(parent for parent in first.parents if all(other.is_relative_to(parent) for other in others))


def run_page(run: FinishedRun) -> str:
    """The page about one run."""
    cases = gallery(run)
    found, shares_left_out = shares(run)
    n_wrong = sum(run.answer(row) != row.true for row in run.predictions)
    wrong, right = ([case for case in cases if case.is_right is is_right] for is_right in (False, True))
    shown = [("Wrong", wrong), ("Right", right)]
    return _render(
        "run.html.j2",
        name=name_of(run.metrics),
        metrics=run.metrics,
        summary=summary(run),
        tiles=tiles(run),
        facts=facts(run),
        table=method_table(run),
        curves=learning_curves(run.log),
        matrix=matrix(run),
        confusions=confusions(run),
        reliability=reliability(run),
        shares=found,
        shares_left_out=shares_left_out,
        galleries=shown,
        cases_note=_cases_note(run, shown, n_wrong),
        legend=run.presentation.legend() if run.presentation else "",
        command=folded(run.command),
    )


def _cases_note(run: FinishedRun, shown: list[tuple[str, list[Any]]], n_wrong: int) -> str:
    n_shown = {title: len(cases) for title, cases in shown}
    text = f"{n_shown['Wrong']} of {n_wrong} wrong cases, the most confident first"
    text += f", and {n_shown['Right']} of {len(run.predictions) - n_wrong} right ones, the least confident last."
    if run.presentation is None:
        return f"{text} A baseline reads the series itself: no picture, no prompt."
    text += " Each is shown with the picture and the prompt that the model received."
    views, models = (run.metrics.get(key) or 1 for key in ("views", "ensemble"))
    means = [f"{views} views: the one shown, and {views - 1} augmented"] * (views > 1)
    means += [f"{models} models"] * (models > 1)
    return text + (f" Its probabilities are means over {'; and over '.join(means)}." if means else "")


def runs_page(folders: Sequence[Path]) -> str:
    """The page that compares runs."""
    runs: list[Run] = [read_run(folder) for folder in folders]
    whole = grid(runs)
    headings, cells, n_more = run_table(runs)
    return _render(
        "runs.html.j2",
        title=title_of_runs(whole),
        summary=summary_of_runs(runs, whole),
        warnings=warnings_of_runs(runs),
        parts={split: _compared(grid(part)) for split, part in by_split(runs).items()},
        run_headings=headings,
        run_rows=cells,
        n_more_runs=n_more,
    )


def _compared(table: Grid) -> dict[str, Any]:
    """What is shown of the runs of one split."""
    reason = too_few(table)
    ranks = None if reason else rank_diagram(table)
    return {"grid": table, "ranks": ranks, "too_few": reason, "cost": cost(table)}


def _render(template: str, **content: Any) -> str:
    environment = _environment()
    script = (_TEMPLATES / "copy.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # the script is ours, and must not be escaped: its hash is what the page's security policy lets run
    content |= {"script": Markup(script), "script_hash": digest, "version": __version__}
    return environment.get_template(template).render(content)


@functools.cache
def _environment() -> jinja2.Environment:
    """Escapes everything: labels and generated texts are anybody's. A name that is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cut"] = cut
    return environment
