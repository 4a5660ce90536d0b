"""Answer new series with a finished run: a label and the probability of every class, one row a case."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc import terminal
from vlm_tsc.archive.policies import Missing
from vlm_tsc.archive.unlabelled import table_width, unlabelled_parts
from vlm_tsc.classify.saved import Saved, digest_of, find_saved, load_classifier, run_digest
from vlm_tsc.errors import InputError
from vlm_tsc.options import model_from_cli, option
from vlm_tsc.settings import UserPath
from vlm_tsc.terminal import bar
from vlm_tsc.use.answers_file import AnswersFile
from vlm_tsc.use.csv_text import csv_text
from vlm_tsc.use.machine import MachineOptions
from vlm_tsc.use.payload import refuse_unanswered
from vlm_tsc.use.trained import Trained, trained_on

PROG = "-m vlm_tsc.use.predict"
DESCRIPTION = (
    "Answer new series with a finished run. The input has no labels: as many columns as the training series have "
    "values, or columns sample, feature, x_*, the rows of a sample together. It is read case by case and may be of any "
    "size; an .npz is read whole. The output has one row a case: its name or number, the label, the "
    "probability of every class. An interrupted command, typed again, goes on where it was."
)
CHUNK = 256  # cases answered, written and noted together: a second or two of work, whatever the size of the file
PROBABILITY = "p_"  # before a class's name in the header, so that no class can be named like another column

Case = tuple[str, np.ndarray]


class PredictOptions(MachineOptions):
    """Of `python -m vlm_tsc.use.predict RUN`."""

    run: UserPath = option("files", Path(), "Folder of a finished run, or of its model.", metavar="RUN", unset="needed")
    input: UserPath = option(
        "files",
        Path(),
        "Series without labels (.ts .tsv .txt .arff .npz .csv, each also .gz).",
        metavar="FILE",
        unset="needed",
    )
    output: UserPath = option("files", Path(), "Where the answers go.", metavar="FILE.csv", unset="needed")
    missing: Missing | None = option("answers", None, "What to do about missing values.", unset="the run's")
    views: int | None = option("answers", None, "Average over N views of a case.", unset="the run's", ge=1)


@terminal.speaks
def main(argv: list[str]) -> int:
    """Check the whole input, then answer it chunk by chunk."""
    required = ("input", "output")
    options = model_from_cli(
        argv, PredictOptions, prog=PROG, description=DESCRIPTION, required=required, positional="RUN"
    )
    folder = options.run
    if options.input.resolve() == options.output.resolve():
        raise InputError("input and output are the same file", where="--output", got=options.output)
    saved = find_saved(folder)
    trained = trained_on(saved)
    n_cases = checked_input(options.input, trained, options.missing)
    answers = AnswersFile.open(options.output, _facts(saved, options), {"input": options.input, "run": folder})
    if answers.is_finished:
        terminal.say(f"{answers.cases:,} cases are answered in {options.output} already")
        terminal.answer(output=options.output, cases=answers.cases)
        return 0
    begun = answers.cases
    seconds = _answer(folder, options, trained, answers, n_cases)
    rate = f"{(n_cases - begun) / seconds:,.0f} cases/s"
    terminal.say(f"{n_cases:,} cases answered in {options.output}{f', {begun:,} of them before' * (begun > 0)}: {rate}")
    terminal.answer(output=options.output, cases=n_cases)
    return 0


def checked_input(path: Path, trained: Trained, missing: Missing | None = None) -> int:
    """Number of cases of a file, all of which the model can take; a fault in the last row is found before any answer.

    Raises
    ------
    InputError
        With the place of the first fault.
    """
    n_cases, width = 0, table_width(path)
    if width is not None:
        trained.check_columns(path, width)
    with bar(label="checking", unit="case") as progress:  # how many there are is known when they are read
        for part in unlabelled_parts(path, CHUNK):
            progress.update(len(trained.prepared(part, missing)))
            n_cases += len(part.cases)
    return n_cases


def named_chunks(path: Path, trained: Trained, missing: Missing | None = None) -> Iterator[list[Case]]:
    """Cases of a file, each with its name or else its number counted from 1, in chunks of `CHUNK`."""
    n_before = 0
    for part in unlabelled_parts(path, CHUNK):
        cases = trained.prepared(part, missing)
        names = part.names or [str(n_before + i) for i in range(1, len(cases) + 1)]
        for start in range(0, len(cases), CHUNK):
            end = start + CHUNK
            yield list(zip(names[start:end], cases[start:end], strict=True))
        n_before += len(cases)


def _answer(folder: Path, options: PredictOptions, trained: Trained, answers: AnswersFile, n_cases: int) -> float:
    """Append the answers that are not there yet; the seconds that took, without loading the model."""
    classifier = _loaded(folder, options)
    classes = [str(label) for label in classifier.classes_]
    started, n_seen = time.perf_counter(), 0
    if answers.size == 0:
        answers.append(csv_text([["case", "label", *(PROBABILITY + label for label in classes)]]), 0)
    with bar(total=n_cases, initial=answers.cases, unit="case") as progress:
        for chunk in named_chunks(options.input, trained, options.missing):
            n_seen += len(chunk)
            if n_seen <= answers.cases:
                continue
            answers.append(csv_text(_rows(classifier, classes, chunk, options.input)), len(chunk))
            progress.update(len(chunk))
    answers.finish()
    return time.perf_counter() - started


def _loaded(folder: Path, options: PredictOptions) -> Any:
    from vlm_tsc.answer.model import be_quiet, use_all_cores

    be_quiet()
    use_all_cores()
    return load_classifier(folder, options.given("views"))


def _rows(classifier: Any, classes: Sequence[str], chunk: Sequence[Case], where: Path) -> list[list[Any]]:
    cases = [case for _, case in chunk]
    equal = len({case.shape for case in cases}) == 1
    probabilities = classifier.predict_proba(np.stack(cases) if equal else cases)
    refuse_unanswered(probabilities, [name for name, _ in chunk], where)
    best = probabilities.argmax(axis=1)
    return [
        [name, classes[i], *row] for (name, _), i, row in zip(chunk, best.tolist(), probabilities.tolist(), strict=True)
    ]


def _facts(saved: Saved, options: PredictOptions) -> dict[str, str]:
    """What determines the answers."""
    values = {name: str(getattr(options, name) or "as the run") for name in ("missing", "views", "precision")}
    return {"input": digest_of([options.input]), "run": run_digest(saved), "chunk": str(CHUNK), **values}


if __name__ == "__main__":
    sys.exit(main())
