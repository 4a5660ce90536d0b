"""A classical baseline as a run of its own, with the same files as any other run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import training_cases
from vlm_tsc.classify import classical
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.metrics import metrics_document, read_metrics
from vlm_tsc.evaluate.predictions import predictions_of, write_predictions
from vlm_tsc.files import write_json, write_text
from vlm_tsc.manifest import begin_stage, check_stage, commit, data_hash, finish_stage
from vlm_tsc.run import RunFolder, peak_gpu_memory_mb, peak_memory_mb
from vlm_tsc.settings import PLAIN_NAME, is_plain_name
from vlm_tsc.terminal import bar, is_first, working

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

STAGE = "evaluation"
LIMIT_S = 60.0
OPTIONS = {  # what `eval/baselines.py` takes → what it takes without being told
    "dataset": None,
    "data_dir": None,
    "test": None,
    "split": "official",
    "missing": "error",
    "lengths": "keep",
    "vlm_root": Path("."),
}


@dataclass(frozen=True)
class Chosen:
    """What a search chose before the run.

    Attributes
    ----------
    arguments : mapping
        Of the classifier's constructor, over the usual ones.
    asked : mapping
        What config.yaml says of the search: seeds of one experiment choose differently, but were asked the same.
    run : str
        Name of the run's folder.
    """

    arguments: Mapping[str, Any]
    asked: Mapping[str, Any]
    run: str


@dataclass(frozen=True)
class NotRun:
    """A baseline that was not run, because it would have taken too long.

    Attributes
    ----------
    name : str
    seconds : float
        What it would take.
    command : str
        What to type to run it all the same.
    """

    name: str
    seconds: float
    command: str

    def __str__(self) -> str:
        title = classical.ALL_TITLES.get(self.name, self.name)
        minutes = max(self.seconds / 60, 1)
        return f"{title} was not run: it would take about {minutes:.0f} min. To run it:\n  {self.command}"


def run_baseline(
    name: str,
    splits: Splits,
    runs: Path | str,
    *,
    given: Mapping[str, Any] | None = None,
    seed: int = 0,
    limit_s: float | None = LIMIT_S,
    chosen: Chosen | None = None,
) -> dict[str, Any] | NotRun:
    """Fit a baseline, answer the test part, and write predictions.jsonl, metrics.json, config.yaml and manifest.json.

    Parameters
    ----------
    name : str
        One of `classical.NAMES`, or the class name of a classifier of aeon.
    splits : Splits
    runs : path
        The folder of all runs; the baseline's is `<runs>/<dataset>/<name>`, with the split added unless it is official,
        and the seed, unless it is 0, of those beyond `classical.BASELINES`, which draw nothing at random.
    given : mapping, optional
        How `splits` was loaded (dataset, data_dir, test, missing, lengths, vlm_root), for `config.yaml` and for the
        command that is named when the baseline is not run. Default: the dataset's name.
    seed : int
        Of what a classifier draws at random.
    limit_s : float or None
        Seconds above which, by an estimate, it is not run (a nearest neighbour; of others nothing is known); None runs
        it however long it takes.
    chosen : Chosen, optional
        What a search found; default: the usual settings.

    Returns
    -------
    dict or NotRun
        The content of metrics.json: of the finished run in that folder, if that was on the same series.

    Raises
    ------
    InputError
        Unknown name; a dataset's name that cannot name a folder; series that the classifier does not take.
    """
    given = {"dataset": splits.test.name, **(given or {}), "split": splits.split}
    train, test = training_cases(splits), splits.test
    seeded = seed if chosen or name not in classical.BASELINES else 0
    run = chosen.run if chosen else f"{name}-seed{seeded}" if seeded else name
    folder = baseline_folder(run, splits, runs)
    outputs = [folder.predictions, folder.config, folder.metrics]
    arguments = chosen.arguments if chosen else {}
    digest = _digest(name, seeded, splits.split, train, test, arguments)
    state = check_stage(folder, STAGE, digest, outputs)
    if state == "done":
        say_asked(folder, _asked(chosen))
        return read_metrics(folder.metrics)
    if state == "stale":
        begin_stage(folder, STAGE, digest, outputs)  # removes figures of other series, even if this is then not run
    X_train, X_test = classical.as_needed(name, train, test, arguments)
    per_case = classical.seconds_per_case(name, X_train, X_test)
    if limit_s is not None and per_case * test.n_cases > limit_s:
        return NotRun(name, per_case * test.n_cases, baseline_command(name, given))

    begin_stage(folder, STAGE, digest, outputs)
    classifier = classical.make_baseline(name, seeded, arguments)
    answered = _fit_and_answer(name, classifier, (X_train, train.y), X_test, test.class_names, per_case)
    config = _config(name, seeded, given, chosen)
    facts = {"note": "searched"} if chosen else {}
    document = write_run(folder, name, splits, train, answered, seed, config, facts)
    finish_stage(folder, STAGE, digest, counts={"train": train.counts, "test": test.counts})
    return document


@dataclass(frozen=True)
class Answered:
    """Probabilities (n_cases, n_classes) of the test cases, columns as `class_names`; seconds to fit and to answer."""

    probabilities: np.ndarray
    train_seconds: float
    predict_seconds: float


def write_run(
    folder: RunFolder,
    name: str,
    splits: Splits,
    train: SeriesSet,
    answered: Answered,
    seed: int,
    config: str,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write predictions.jsonl, config.yaml and metrics.json of a baseline that trained on `train`; the metrics.

    `facts` are what metrics.json says besides.
    """
    test = splits.test
    rows = predictions_of(test.ids, test.y, answered.probabilities, test.class_names)
    document = metrics_document(
        rows,
        test.class_names,
        classifier=name,
        dataset=test.name,
        split=splits.split,
        seed=seed,
        commit=commit(),
        n_train=train.n_cases,
        n_validation=splits.train.n_cases + _n(splits.validation) - train.n_cases,
        train_seconds=answered.train_seconds,
        predict_seconds=answered.predict_seconds,
        peak_memory_mb=peak_memory_mb(),
        peak_gpu_memory_mb=peak_gpu_memory_mb(),
    ) | dict(facts)
    write_predictions(folder.predictions, rows)
    write_text(folder.config, config)
    write_json(folder.metrics, document)  # last: a run with a metrics.json is a finished one
    return document


def baseline_folder(name: str, splits: Splits, runs: Path | str) -> RunFolder:
    """`<runs>/<dataset>/<name>`, and `<name>-<split>` for other splits than the official: none overwrites another."""
    if not is_plain_name(splits.test.name):
        raise InputError("this cannot name a folder of runs", where="dataset", got=splits.test.name, allowed=PLAIN_NAME)
    suffix = "" if splits.split == "official" else "-" + splits.split.replace(":", "-")
    return RunFolder(Path(runs) / splits.test.name / f"{name}{suffix}")


def baseline_command(name: str, given: Mapping[str, Any]) -> str:
    """The command line that runs the baseline on the data that `given` describes, whatever it takes."""
    options = {key: given[key] for key in OPTIONS if given.get(key) not in (None, OPTIONS[key])}
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    return shlex.join(["python", "eval/baselines.py", name, *words])


def _digest(name: str, seed: int, split: str, train: SeriesSet, test: SeriesSet, arguments: Mapping[str, Any]) -> str:
    """Hash of everything that determines the figures."""
    made_with = {"parameters": classical.parameters(name, arguments), "aeon": metadata.version("aeon")}
    settings = {"classifier": name, **made_with, "split": split, "class_names": train.class_names}
    settings |= {"seed": seed} if seed else {}
    return data_hash(settings, [array for part in (train, test) for array in (*part.X, part.y, np.array(part.ids))])


def _fit_and_answer(
    name: str,
    classifier: Any,
    train: tuple[classical.Series, np.ndarray],
    X: classical.Series,
    class_names: tuple[str, ...],
    per_case: float,
) -> Answered:
    """Fit on `train` and answer the cases `X`."""
    started = time.perf_counter()
    title = classical.ALL_TITLES.get(name, name)
    with working(f"fitting {title}"), aeons_words(name, "fitting"):
        classifier.fit(*train)
    fitted = time.perf_counter()
    columns = [class_names.index(str(label)) for label in classifier.classes_]
    probabilities = np.zeros((len(X), len(class_names)))  # a class that training lacks stays at 0
    chunk = classical.chunk_size(per_case)
    with bar(None, title, total=len(X), unit="case") as answered:
        start = 0  # not answered.n, which a bar that is not shown leaves at 0
        with aeons_words(name, "answering"):
            for part in classical.probabilities_in_chunks(classifier, X, chunk):
                probabilities[start : start + len(part), columns] = part
                start += len(part)
                answered.update(len(part))
    return Answered(probabilities, fitted - started, time.perf_counter() - fitted)


@contextmanager
def aeons_words(name: str, doing: str, chosen: Mapping[str, Any] = classical.DEFAULTS) -> Iterator[None]:
    """What a classifier of aeon raises, as an InputError; not so for those of every run, which take any series.

    Where arguments were `chosen`, these may be at fault, of whichever classifier.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of whatever kind: series too short, too few, of other lengths
        if name in classical.BASELINES and not chosen:
            raise
        got = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no words'}"
        what = f"aeon's classifier does not take these {'settings, or not with these ' if chosen else ''}series"
        fix = "other settings" if chosen else "another baseline; --debug shows where aeon fails"
        raise InputError(what, where=f"{name}, {doing}", got=got, fix=fix) from error


def _config(name: str, seed: int, given: Mapping[str, Any], chosen: Chosen | None) -> str:
    values = {key: str(value) for key, value in given.items() if value is not None}
    seeded = {"seed": seed} if chosen or name not in classical.BASELINES else {}
    return config_text(
        {"classifier": name, "parameters": classical.parameters(name), **seeded, **values, **_asked(chosen)}
    )


def _asked(chosen: Chosen | None) -> Mapping[str, Any]:
    return chosen.asked if chosen else {}


def config_text(content: Mapping[str, Any]) -> str:
    """The text of a baseline's config.yaml."""
    head = "# Everything that determines this run.\n"
    return head + yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)


def say_asked(folder: RunFolder, asked: Mapping[str, Any]) -> None:
    """Let config.yaml say what was asked last: a longer search may choose what the shorter one chose."""
    config = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
    if is_first() and not asked.items() <= config.items():
        write_text(folder.config, config_text({**config, **asked}))


def _n(part: SeriesSet | None) -> int:
    return 0 if part is None else part.n_cases
