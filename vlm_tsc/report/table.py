"""The table that `train.py` ends with: every finished run of one set and split, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlm_tsc.report.runs import Row, Run, base_name, rows

COLUMNS = {  # key in metrics.json → the two lines of its heading
    "accuracy": ("", "accuracy"),
    "balanced_accuracy": ("bal.", "acc."),
    "macro_f1": ("macro", "F1"),
    "accuracy_blank_image": ("blank", "picture"),
    "unparsed_rate": ("un-", "parsed"),
    "train_seconds": ("train", "time"),
}
GAP = "  "
SAME = ("dataset", "split", "n_cases")  # runs that differ in one of these were not tested on the same cases


def table(
    runs: Sequence[Run], published: Mapping[str, float] | None = None, *, notes: Sequence[str] = (), width: int = 80
) -> str:
    """The runs of one dataset and split as text.

    Parameters
    ----------
    runs : sequence of metrics
        The first decides dataset and split; runs on other cases are left out, and their number is said. Runs that
        differ in nothing but their seed are one row: means, and for the accuracy ± standard deviation (n - 1).
    published : mapping of method to accuracy, optional
        Shown in a block of its own, and only when the split is official.
    notes : sequence of str
        Lines for below the table, never broken, e.g. the command that runs a baseline which was not run.
    width : int
        Characters a line.

    Raises
    ------
    ValueError
        Without a run there is nothing to show.
    """
    if not runs:
        raise ValueError("a table needs at least one run")
    comparable = [run for run in runs if all(run[key] == runs[0][key] for key in SAME)]
    found = rows(comparable, tuple(COLUMNS))
    others = published if published and runs[0]["split"] == "official" else {}
    below = footnotes(found, comparable, len(runs) - len(comparable))
    below = [line for text in below for line in textwrap.wrap(text, width, subsequent_indent=GAP)]
    return "\n".join([*_header(comparable, width), *_block(found, others, width), *below, *notes])


def _header(runs: Sequence[Run], width: int) -> list[str]:
    """What every accuracy below belongs to."""
    models = [run for run in runs if run.get("base")] or list(runs)
    first = models[0]
    validation = f" + {first['n_validation']} validation" if first.get("n_validation") else ""
    facts = [
        first["dataset"],
        f"{first['split']} split",
        f"{first['n_train']} train{validation} and {first['n_cases']} test cases",
        f"{len(first['class_names'])} classes",
        *([several("base", (base_name(run["base"]) for run in models))] if first.get("base") else []),
        several("seed", sorted(run["seed"] for run in models)),
        several("commit", short_commits(models)),
    ]
    return _filled(facts, width)


def short(commit: str | None) -> str:
    """Seven digits, and a plus where files differed from the commit."""
    return f"{commit[:7]}{'+' if commit.endswith('+dirty') else ''}" if commit else "unknown"


def short_commits(runs: Sequence[Run]) -> list[str]:
    """Each once, in the order of the runs."""
    return list(dict.fromkeys(short(run["commit"]) for run in runs))


def several(word: str, values: Iterable[Any]) -> str:
    distinct = list(dict.fromkeys(map(str, values)))
    return f"{word}{'s' if len(distinct) > 1 else ''} {', '.join(distinct)}"


def _filled(facts: list[str], width: int) -> list[str]:
    """The facts joined by dots, as many to a line as fit."""
    lines = [facts[0]]
    for fact in facts[1:]:
        joined = f"{lines[-1]} · {fact}"
        lines = [*lines[:-1], joined] if len(joined) <= width else [*lines, fact]
    return [line for text in lines for line in textwrap.wrap(text, width)]


def _block(found: list[Row], published: Mapping[str, float], width: int) -> list[str]:
    """Heading, rows and published accuracies, aligned."""
    keys = [key for key in COLUMNS if any(row.figures[key] is not None for row in found)]
    best = max(rounded(row) for row in found)
    body = [[row.name, *(cell(key, row, best) for key in keys)] for row in found]
    others = [[method, f"{accuracy:.3f}"] for method, accuracy in published.items()]
    heading = [["method" if line else "", *(COLUMNS[key][line] for key in keys)] for line in (0, 1)]
    widths = [max(len(cells[i]) for cells in [*heading, *body]) for i in range(1, len(keys) + 1)]
    names = max(len(cells[0]) for cells in [*heading, *body, *others])
    widths.insert(0, min(names, width - sum(widths) - len(GAP) * len(widths)))
    rule = "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
    lines = [rule, *_lines(heading, widths), rule, *_lines(body, widths)]
    if others:
        lines += [f"{'── published, official split ':─<{len(rule)}}", *_lines(others, widths)]
    return [*lines, rule]


def _lines(cells: list[list[str]], widths: list[int]) -> list[str]:
    """Names and accuracies start, all other figures end, at the edge of their column."""
    return [
        GAP.join(
            cut(text, size).ljust(size) if i < 2 else text.rjust(size)
            for i, (text, size) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in cells
    ]


def cell(key: str, row: Row, best: float) -> str:
    value = row.figures[key]
    if value is None:
        return "–"
    if key == "accuracy":
        star = "*" if rounded(row) == best else " "
        return f"{value:.3f}{star}" + ("" if row.deviation is None else f" ± {row.deviation:.3f}")
    if key == "unparsed_rate":
        return f"{100 * value:.1f} %"
    return duration(value) if key == "train_seconds" else f"{value:.3f}"


def rounded(row: Row) -> float:
    return round(row.figures["accuracy"] or 0.0, 3)  # equal as printed is equally good


def duration(seconds: float) -> str:
    """Up to three figures: 0.4 s, 152 s, 24 min, 1.2 h."""
    if seconds < 599.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def cut(text: str, width: int) -> str:
    """At most `width` characters; what is too long loses its middle, because names differ at both ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + "…" + text[len(text) - tail :]


def footnotes(found: list[Row], runs: Sequence[Run], n_left_out: int) -> list[str]:
    has_deviation = any(row.deviation is not None for row in found)
    deviation = "; ± standard deviation over seeds; without it, one seed" if has_deviation else ""
    lines = [f"* best measured here{deviation}"]
    models = short_commits([run for run in runs if run.get("base")])
    baselines = short_commits([run for run in runs if not run.get("base")])
    if models and set(baselines) - set(models):
        lines.append(f"the baselines are of {several('commit', baselines)}")
    trained_on = [run["n_train"] for run in runs if run.get("base")]
    if trained_on and any(run["n_train"] > min(trained_on) for run in runs if not run.get("base")):
        lines.append("baselines that choose no checkpoint train on the validation cases too")
    seen = sorted({run["encoder"] for run in runs if run.get("encoder_saw_this_set")})
    if seen:
        lines.append(f"pre-trained on the training part of this very set: encoder {', '.join(seen)}")
    shared = sorted({run["encoder"] for run in runs if run.get("encoder_seen_test_cases")})
    if shared:
        lines.append(f"pre-trained on some of these test cases: encoder {', '.join(shared)}")
    if n_left_out:
        lines.append(f"left out: {n_left_out} of another dataset, split or test part")
    return lines + [f"warning: {row.name}: {text}" for row in found for text in row.warnings]
