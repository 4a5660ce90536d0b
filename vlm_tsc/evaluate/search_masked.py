"""The masked transformer's learning rate and epochs, chosen on cases held out of train before its run begins."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.splits import Splits
from vlm_tsc.classify.masked_transformer.hyperparameters import Hyperparameters
from vlm_tsc.evaluate.search import Part, Range, Score, Space, choose
from vlm_tsc.evaluate.trained import Search, answer

SEARCHED = ("lr", "epochs")
AROUND = 4.0  # the learning rate may be this many times smaller or larger than the usual one


def space_of(hyperparameters: Hyperparameters, names: Iterable[str], n_cases: int) -> Space:
    """What is chosen: the rate around the usual one; half, all or twice the usual passes over so many cases."""
    rate, epochs = hyperparameters.rate(), hyperparameters.n_epochs(n_cases)
    space: dict[str, Any] = {
        "lr": Range(rate / AROUND, rate * AROUND),
        "epochs": tuple(sorted({max(1, epochs // 2), epochs, 2 * epochs})),
    }
    return {name: space[name] for name in names}


def search_masked(
    folder: Path,
    splits: Splits,
    hyperparameters: Hyperparameters,
    search: Search,
    train: Callable[[Splits, Hyperparameters, Path], Any],
    *,
    determines: Mapping[str, Any],
    seed: int,
) -> Hyperparameters:
    """The hyperparameters with the chosen ones in them; see `search.choose`.

    A trial is trained as the run will be: where the split has a validation part, this chooses the epoch and judges;
    else folds of train judge the last epoch.

    Parameters
    ----------
    folder : Path
        The run's.
    train : callable
        (splits, hyperparameters, folder) → a model for `answer`; looks at no test case.
    determines : mapping
        JSON values that, with the cases and the seed, determine a trial's score.
    """
    trials = folder / "trials"  # models of one trial, so that an interrupted one goes on

    def scores(parts: list[Part], values: dict[str, Any], trial: str) -> list[Score]:
        found = []
        for i, (cases, held_out) in enumerate(parts):
            chooses = held_out if splits.validation is not None else None
            tried = hyperparameters.model_copy(update=values)
            model = train(Splits(cases, chooses, held_out, splits.split), tried, trials / f"{trial}-{i}")
            codes = np.array([held_out.class_names.index(label) for label in held_out.y])
            found.append(Score.of(answer(model, held_out).probabilities, codes))
        shutil.rmtree(trials, ignore_errors=True)
        return found

    space = space_of(hyperparameters, search.names, splits.train.n_cases)
    return hyperparameters.model_copy(
        update=choose(folder, splits, determines, space, search.n_trials, scores, seed=seed)
    )
