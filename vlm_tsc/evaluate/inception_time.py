"""InceptionTime as a run: its hyperparameters given or searched, its weights new or those of an earlier model."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import training_cases
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.seen import n_seen
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.baseline import Answered, baseline_folder
from vlm_tsc.evaluate.search import INCEPTION_TIME, Part, Score, choose, scores_of
from vlm_tsc.evaluate.trained import NAME, Method, Search, answer, run_name, run_trained
from vlm_tsc.run import RunFolder

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

log = logging.getLogger(__name__)


def run_inception_time(
    splits: Splits,
    runs: Path | str,
    hyperparameters: Hyperparameters,
    *,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    search: Search | None = None,
    start_from: Path | None = None,
    allow_seen: bool = False,
) -> dict[str, Any]:
    """InceptionTime as a run; see `run_trained`. After `ranks.join_processes`, each process trains its own members.

    Validation cases that were carved from train are trained on: the epoch is chosen by the training loss. With a
    `search`, some hyperparameters are chosen first, on cases held out of train; what was tried and chosen is in
    `search.json` in the run's folder. With `start_from`, a run or model folder, training goes on from its weights;
    where these were trained on test cases, which `allow_seen` has to permit, metrics.json and the table say so.

    Raises
    ------
    InputError
        When `start_from` holds no InceptionTime, or one of other sizes or channels, or one that has seen test cases;
        with both it and a `search`.
    """
    if search is not None and start_from is not None:
        what = "a search chooses sizes and begins anew"
        raise InputError(what, where="--search, --start-from", fix="leave one of them out")
    train, test = training_cases(splits), splits.test
    run, chosen, asked, started, facts = run_name(hyperparameters, seed), hyperparameters, {}, {}, {}
    if start_from is not None:
        start_from, started, facts = _start(start_from, train, test, allow_seen)
        run = run_name(hyperparameters, seed, f"{NAME}-from-{started['start'][:6]}")
        asked = {"start_from": str(start_from)}
    if search is not None:
        run = run_name(hyperparameters, seed, f"{NAME}-search")
        chosen = search_inception_time(baseline_folder(run, splits, runs).path, splits, hyperparameters, search, seed)
        asked = {"parameters": hyperparameters.model_dump()}
        asked |= {"search": {"trials": search.n_trials, "names": list(search.names)}}

    def fit_and_answer(folder: RunFolder) -> Answered:
        from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier  # torch and aeon take seconds

        options = {**chosen.model_dump(), "random_state": seed, "model_dir": str(folder.path / "model")}
        classifier = InceptionTimeClassifier(**options, start_from=start_from and str(start_from))
        classifier.fit(train.X, train.y)
        return answer(classifier.model_, test)

    method = Method(NAME, run, {**chosen.model_dump(), **started}, fit_and_answer, facts=facts, asked=asked)
    return run_trained(method, splits, train, runs, seed=seed, given=given)


def _start(
    folder: Path, train: SeriesSet, test: SeriesSet, allow_seen: bool
) -> tuple[Path, dict[str, str], dict[str, Any]]:
    """The model folder that a run's or model's folder names; the hash of its weights; what metrics.json says of it.

    InputError where it was trained on test cases, by their values, whatever set and split it is of, unless that is
    allowed. What train and test have in common anyway does not count.
    """
    from vlm_tsc.classify.inception_time.ensemble import Ensemble  # torch takes seconds
    from vlm_tsc.classify.model_folder import digest
    from vlm_tsc.classify.saved import find_saved

    model = find_saved(folder).model.resolve()
    start = Ensemble.read(model)
    started, n_cases = {"start": digest(start.network.state_dict())}, None
    said = [f"from {started['start'][:6]}"]
    if start.seen is None:
        log.warning("%s does not say what it was trained on; test cases of %s may be among that", model, test.name)
    else:
        n_cases = n_seen(test.X, start.seen, besides=train.X)
    if n_cases:
        said.append(f"trained on {n_cases} of the {test.n_cases} test cases")
        if not allow_seen:
            fix = "another model, or --allow-seen: the table then says so"
            raise InputError(f"the model to go on from was {said[-1]}", where=model, got=test.name, fix=fix)
    return model, started, {"note": ", ".join(said), "start_seen_test_cases": n_cases}


def search_inception_time(
    folder: Path, splits: Splits, hyperparameters: Hyperparameters, search: Search, seed: int
) -> Hyperparameters:
    """The hyperparameters with the chosen ones in them; `search.json` in the folder says what was tried."""
    trials = folder / "trials"  # models of one trial, so that an interrupted one goes on

    def scores(parts: list[Part], values: dict[str, Any], trial: str) -> list[Score]:
        from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier

        def fit(cases: SeriesSet, part: int) -> Any:
            place = str(trials / f"{trial}-{part}")
            options = {**hyperparameters.model_dump(), **values, "random_state": seed, "model_dir": place}
            return InceptionTimeClassifier(**options).fit(cases.X, cases.y)

        found = list(scores_of(parts, fit))
        shutil.rmtree(trials, ignore_errors=True)
        return found

    determines, space = hyperparameters.model_dump(), {name: INCEPTION_TIME[name] for name in search.names}
    chosen = choose(folder, splits, determines, space, search.n_trials, scores, seed=seed)
    return hyperparameters.model_copy(update=chosen)
