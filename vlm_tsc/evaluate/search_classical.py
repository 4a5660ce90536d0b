"""Settings of a classifier of aeon, chosen on cases held out of train before its run begins."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.classify import classical
from vlm_tsc.evaluate.baseline import Chosen, aeons_words, baseline_folder, run_baseline
from vlm_tsc.evaluate.search import Part, Range, Score, Space, choose
from vlm_tsc.evaluate.search_space import arguments, space_of

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

CHUNK = 100  # cases whose distances are in memory at once


@dataclass(frozen=True)
class ClassicalSearch:
    """How many settings to try, and the user's own file of what to choose; None is the shipped one."""

    n_trials: int
    space: Path | None = None


def run_searched(
    name: str,
    splits: Splits,
    runs: Path | str,
    search: ClassicalSearch,
    *,
    given: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Choose settings on cases held out of train, then run the baseline with them; see `search.choose`, `run_baseline`.

    The run's folder, `<name>-search`, holds `search.json` (what was chosen, every trial) besides the files of any run.
    The test cases are not looked at until the settings are chosen.

    Raises
    ------
    InputError
        When there is nothing to choose, the user's space is wrong, or no setting could be trained.
    """
    space = space_of(name, search.space)
    folder = baseline_folder(searched_name(name, seed), splits, runs).path
    plain = {key: asdict(one) if isinstance(one, Range) else list(one) for key, one in space.items()}
    determines = {"classifier": name, "parameters": classical.parameters(name), "space": plain}
    determines["aeon"] = metadata.version("aeon")

    def scores(parts: list[Part], values: dict[str, Any], _: str) -> Iterator[Score]:
        return (_score(name, seed, arguments(values), *part) for part in parts)

    found = choose(folder, splits, determines, space, search.n_trials, scores, seed=seed)
    chosen = Chosen(arguments(found), _asked(search, space), searched_name(name, seed))
    document = run_baseline(name, splits, runs, given=given, seed=seed, limit_s=None, chosen=chosen)
    assert isinstance(document, dict)  # no limit, so it was run
    return document


def searched_name(name: str, seed: int) -> str:
    """What the run is called: which cases are held out depends on the seed, whether the classifier draws or not."""
    return f"{name}-search{f'-seed{seed}' if seed else ''}"


def _asked(search: ClassicalSearch, space: Space) -> dict[str, Any]:
    """What config.yaml says of the search; `options` as they are typed."""
    file = [] if search.space is None else ["--search-space", str(search.space)]
    words = ["--search", str(search.n_trials), *file]
    return {"search": {"trials": search.n_trials, "names": list(space)}, "options": shlex.join(words)}


def _score(name: str, seed: int, chosen: Mapping[str, Any], train: SeriesSet, held_out: SeriesSet) -> Score:
    """Fitted on `train` with these arguments, judged on `held_out`; what aeon refuses ends the trial alone."""
    with aeons_words(name, "a trial of the search", chosen):
        X_train, X = classical.as_needed(name, train, held_out, chosen)
        classifier = classical.make_baseline(name, seed, chosen).fit(X_train, train.y)
        answered = np.concatenate(list(classical.probabilities_in_chunks(classifier, X, CHUNK)))
    columns = [held_out.class_names.index(str(label)) for label in classifier.classes_]
    probabilities = np.zeros((held_out.n_cases, len(held_out.class_names)))  # a class that the fold lacks
    probabilities[:, columns] = answered
    return Score.of(probabilities, np.array([held_out.class_names.index(label) for label in held_out.y]))
