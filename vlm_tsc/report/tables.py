"""The comparison as files, for papers and programs: of each split a table in Markdown and CSV, and diagrams as PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm_tsc.files import write_text
from vlm_tsc.report.comparison import Entry, Grid, Method, by_split, cost, grid
from vlm_tsc.report.ranks import too_few
from vlm_tsc.report.runs import Run, read_run
from vlm_tsc.report.several import summary_of_runs, title_of_runs

_FIELDS = (
    *(
        "dataset",
        "split",
        "n_cases",
        "method",
        "published",
        "accuracy",
        "deviation",
        "train_seconds",
        "predict_seconds",
    ),
    *("base", "seeds", "commits"),
)


def write_tables(folders: Sequence[Path], output: Path) -> list[Path]:
    """Write `<split>.md` and `<split>.csv` of each split, and aeon's diagrams where there are sets enough.

    Parameters
    ----------
    folders : sequence of Path
        Finished runs, as `run_folders` gives them.
    output : Path
        A folder; files of the same names are replaced.

    Returns
    -------
    list of Path
        What was written.
    """
    written = []
    for split, runs in by_split([read_run(folder) for folder in folders]).items():
        table, name = grid(runs), split.replace(":", "-")
        pictures = _drawn(table, output / name)
        written += [
            write_text(output / f"{name}.md", markdown(table, runs, [picture.name for picture in pictures])),
            write_text(output / f"{name}.csv", tidy(table)),
            *pictures,
        ]
    return written


def _drawn(table: Grid, stem: Path) -> list[Path]:
    from vlm_tsc.report.figures import draw_cost, draw_critical_differences, draw_pairwise  # these take seconds to load

    draw = {"critical-differences": draw_critical_differences, "pairwise": draw_pairwise}
    draw = ({} if too_few(table) else draw) | ({"time": draw_cost} if cost(table) else {})
    drawn = [picture(table, stem.with_name(f"{stem.name}-{name}.png")) for name, picture in draw.items()]
    return [path for path in drawn if path is not None]


def markdown(table: Grid, runs: Sequence[Run], pictures: Sequence[str] = ()) -> str:
    """One split's table: measured methods, published ones in a block of their own, and what the figures belong to."""
    measured = [method for method in table.methods if not method.is_published]
    published = [method for method in table.methods if method.is_published]
    parts = [f"# {title_of_runs(table)}", summary_of_runs(runs, table), _table(table, measured)]
    below = (
        "Accuracy on the test cases, mean ± standard deviation over seeds where there are several; bold: best measured."
    )
    parts.append(f"{below} {table.ranks_are}" if len(table.sets) > 1 else below)
    if published:
        parts += ["## Published, official split", _table(table, published)]
    parts += [too_few(table) or "", *(f"![{name}]({name})" for name in pictures)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(table: Grid, methods: Sequence[Method]) -> str:
    lines = [["dataset", *(method.name for method in methods)], ["---"] * (1 + len(methods))]
    for cases in table.sets:
        cells = [_cell(cases.entries.get(method.name), cases.best, method.is_published) for method in methods]
        lines.append([cases.dataset, *cells])
    if len(table.sets) > 1:
        means = [f"{method.mean_accuracy:.3f}{_of(method, table)}" for method in methods]
        ranks = ["–" if method.mean_rank is None else f"{method.mean_rank:.2f}" for method in methods]
        lines += [["mean accuracy", *means], ["mean rank", *ranks]]
    return "\n".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |" for line in lines)


def _cell(entry: Entry | None, best: float, is_published: bool) -> str:
    if entry is None:
        return "–"
    text = f"{entry.accuracy:.3f}" + (f" ± {entry.deviation:.3f}" if entry.deviation is not None else "")
    return f"**{text}**" if not is_published and round(entry.accuracy, 3) == best else text


def _of(method: Method, table: Grid) -> str:
    return f" (of {method.n_sets})" if method.n_sets < len(table.sets) else ""


def tidy(table: Grid) -> str:
    """CSV, one line for each method on each set of test cases; empty where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    published = {method.name: method.is_published for method in table.methods}
    for cases in table.sets:
        for name in published:
            if (entry := cases.entries.get(name)) is not None:
                own = [cases.dataset, cases.split, cases.n_cases, name, int(published[name])]
                writer.writerow([*own, entry.accuracy, *map(_blank, _facts(entry))])
    return text.getvalue()


def _facts(entry: Entry) -> list[Any]:
    """What stands behind the accuracy, in the order of `_FIELDS`; of a published figure nothing is known."""
    if entry.row is None:
        return [None] * 6
    times = [entry.row.figures[key] for key in ("train_seconds", "predict_seconds")]
    many = [" ".join(map(str, values)) for values in (entry.row.seeds, entry.row.commits)]
    return [entry.deviation, *times, entry.row.base, *many]


def _blank(value: Any) -> Any:
    return "" if value is None else value
