"""What a study shows of its runs: a table of means, and how they stand against what was promised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.timing import table

MEAN_WITHIN, SET_WITHIN = 0.01, 0.04  # of the published accuracy
HAR = {"accuracy": 0.913, "macro_f1": 0.912}  # TimeMAE's, linear evaluation
NEIGHBOUR = "1nn-dtw"

Run = dict[str, Any]


def parity(root: Path, sets: tuple[str, ...]) -> str:
    """InceptionTime with the paper's settings against its published accuracy, set by set, on the official split."""
    from vlm_tsc.evaluate.published import published

    rows, differences = [], []
    for name in sets:
        # a search, another start or other settings have their own folders
        runs = [run for run in _runs(root, name, "official") if run["run"] == "inception-time"]
        known = published(name, "official", runs[0]["n_cases"]).get("InceptionTime") if runs else None
        if known is None:
            rows.append((name, "–", "–", "–", "–"))
            continue
        run = runs[0]
        differences.append(run["accuracy"] - known)
        seconds = f"{run['train_seconds']:.0f} s"
        rows.append((name, f"{run['accuracy']:.4f}", f"{known:.4f}", f"{differences[-1]:+.4f}", seconds))
    return "\n".join([table(("set", "ours", "published", "difference", "trained in"), rows), *_parity(differences)])


def _parity(differences: list[float]) -> list[str]:
    if not differences:
        return ["nothing to compare yet"]
    off, largest = mean(differences), max(map(abs, differences))
    return [
        f"mean difference over {len(differences)} sets {off:+.4f}: {_verdict(abs(off) <= MEAN_WITHIN, MEAN_WITHIN)}",
        f"largest deviation {largest:.4f}: {_verdict(largest <= SET_WITHIN, SET_WITHIN)}",
    ]


def _verdict(holds: bool, limit: float) -> str:
    return f"within {limit:g}" if holds else f"NOT within {limit:g}"


def masked(root: Path, sets: tuple[str, ...]) -> str:
    """Fine-tuned from the pre-trained encoder and from fresh weights, and 1NN-DTW: mean accuracy over seeds."""
    methods: dict[str, Callable[[Run], bool]] = {
        "pre-trained": lambda run: _is_transformer(run) and run["encoder"].startswith("mae-sets"),
        "fresh": lambda run: _is_transformer(run) and run["encoder"] == "fresh",
        "1NN-DTW": lambda run: run["run"] == f"{NEIGHBOUR}-pooled",
    }
    rows, means = [], {name: [] for name in methods}
    for dataset in sets:
        runs = _runs(root, dataset, "pooled")
        found = {name: [run["accuracy"] for run in runs if is_of(run)] for name, is_of in methods.items()}
        rows.append((dataset, *(_mean(figures) for figures in found.values())))
        if all(found.values()):  # a mean is over sets that every method has
            for name, figures in found.items():
                means[name].append(mean(figures))
    n = len(means["fresh"])
    overall = {name: mean(figures) for name, figures in means.items() if figures}
    rows.append((f"mean of {n}", *(f"{overall[name]:.4f}" if overall else "–" for name in methods)))
    told = [_above(overall, other) for other in ("fresh", "1NN-DTW") if overall]
    return "\n".join([table(("set", *methods), rows), *told, "pooled 60/20/20; ± over seeds"])


def _above(overall: Mapping[str, float], other: str) -> str:
    off = overall["pre-trained"] - overall[other]
    return f"pre-trained against {other}: {off:+.4f}, {'above' if off > 0 else 'NOT above'}"


def _is_transformer(run: Run) -> bool:
    return run["classifier"] == "masked-transformer" and not run["linear"]


def har(root: Path, sets: tuple[str, ...]) -> str:
    """A linear layer on TimeMAE's frozen encoder: accuracy and macro-F1 over seeds, beside what is promised."""
    runs = _runs(root, sets[0], "official")
    runs = [run for run in runs if run["classifier"] == "masked-transformer" and run["linear"]]
    runs = [run for run in runs if run["encoder_task"] == "timemae"]
    rows = [
        (f"seed {run['seed']}", *(f"{run[key]:.4f}" for key in HAR), f"{run['train_seconds']:.0f} s") for run in runs
    ]
    if runs:
        rows.append((f"mean of {len(runs)}", *(_mean([run[key] for run in runs]) for key in HAR), ""))
    rows.append(("at least", *(f"{figure:.3f}" for figure in HAR.values()), ""))
    return table(("HAR, rebuilt", "accuracy", "macro F1", "trained in"), rows) + "\npre-training is not in the seconds"


def _runs(root: Path, dataset: str, split: str) -> list[Run]:
    from vlm_tsc.report import collect  # slow to import, and --help shall not be

    return collect(root / "runs" / dataset, split)


def _mean(figures: Iterable[float]) -> str:
    figures = list(figures)
    if not figures:
        return "–"
    return f"{mean(figures):.4f}" + (f" ± {stdev(figures):.4f}" if len(figures) > 1 else "")
