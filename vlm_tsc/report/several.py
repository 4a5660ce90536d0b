"""What the page about several runs says in words, and its list of runs."""

from __future__ import annotations

from collections.abc import Sequence

from vlm_tsc.report.comparison import Grid
from vlm_tsc.report.facts import name_of
from vlm_tsc.report.runs import Run
from vlm_tsc.report.table import duration, short, short_commits

MOST_RUNS = 500  # rows of the list; the means hold all
_HEADINGS = [
    *("run", "method", "split", "seed", "accuracy", "blank picture"),
    *("training", "answering", "peak memory", "commit"),
]


def title_of_runs(table: Grid) -> str:
    """How many methods on how many datasets; the dataset's name where there is only one."""
    names = list(dict.fromkeys(cases.dataset for cases in table.sets))
    measured = [method for method in table.methods if not method.is_published]
    where = names[0] if len(names) == 1 else f"{len(names)} datasets"
    return f"{_several(len(measured), 'method')} on {where}"


def summary_of_runs(runs: Sequence[Run], table: Grid) -> str:
    """Splits, seeds and commits of the accuracies below."""
    splits = ", ".join(dict.fromkeys(cases.split for cases in table.sets))
    seeds = ", ".join(str(seed) for seed in sorted({run["seed"] for run in runs}))
    models, baselines = [run for run in runs if run["base"]], [run for run in runs if not run["base"]]
    parts = {"models": models, "baselines": baselines}
    commits = [f"of the {name} {', '.join(short_commits(part))}" for name, part in parts.items() if part]
    return f"{_several(len(runs), 'run')}. Split: {splits}. Seeds: {seeds}. Commits: {'; '.join(commits)}."


def warnings_of_runs(runs: Sequence[Run]) -> list[str]:
    """The warnings of the models; a majority class is expected to give one answer."""
    return [f"{_place(run)}: {text}" for run in runs if run["base"] for text in run.get("warnings", ())]


def run_table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]], int]:
    """Headings and cells of the list of runs, and how many runs are too many for it."""
    ordered = sorted(runs, key=lambda run: (run["dataset"], run["split"], not run["base"], name_of(run), run["seed"]))
    return _HEADINGS, [_cells(run) for run in ordered[:MOST_RUNS]], max(0, len(runs) - MOST_RUNS)


def _cells(run: Run) -> list[str]:
    blank, memory = run.get("accuracy_blank_image"), run.get("peak_memory_mb")
    seconds = [run.get(key) for key in ("train_seconds", "predict_seconds")]
    return [
        f"{run['dataset']}/{run['run']}",
        name_of(run),
        run["split"],
        str(run["seed"]),
        f"{run['accuracy']:.3f}",
        "–" if blank is None else f"{blank:.3f}",
        *("–" if value is None else duration(value) for value in seconds),
        "–" if memory is None else f"{memory / 1000:.2f} GB",
        short(run["commit"]),
    ]


def _place(run: Run) -> str:
    return f"{run['dataset']}, {run['run']}"


def _several(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
