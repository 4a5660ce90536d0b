"""A LLaVA's training settings, chosen on cases held out of train before its run begins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vlm_tsc.evaluate.search import Part, Range, Score, Space, choose
from vlm_tsc.run import RunFolder, training_settings
from vlm_tsc.settings import Settings

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

AROUND = 4.0  # the learning rate may be this many times smaller or larger than the given one


def space_of(settings: Settings) -> Space:
    """What is chosen: the learning rate around the given one, augmentation, label smoothing."""
    assert settings.learning_rate is not None and settings.augment is not None  # the base's YAML has them
    rate = settings.learning_rate
    return {
        "learning_rate": Range(rate / AROUND, rate * AROUND),
        "augment": tuple(sorted({0.0, 1.0, settings.augment})),
        "label_smoothing": tuple(sorted({0.0, 0.1, settings.label_smoothing})),
    }


def search_settings(settings: Settings, run: RunFolder, splits: Splits, seed: int) -> Settings:
    """`settings` with the chosen ones in them, and `run` as the run's folder; `search.json` there says what was tried.

    Each trial fine-tunes on the training cases (but for the held-out ones) as a run does. What was interrupted goes on
    after the last finished trial.

    Raises
    ------
    InputError
        Under a launcher of several processes, or when a class of train has a single case.
    """
    from vlm_tsc.answer.model import be_quiet

    be_quiet()
    from vlm_tsc.evaluate.cross_validation import one_fold

    def scores(parts: list[Part], values: dict[str, Any], _: str) -> Iterable[Score]:
        tried = settings.model_copy(update=values)
        folds = (one_fold(tried, train, held_out, seed) for train, held_out in parts)
        return (Score(fold.log_loss, fold.accuracy) for fold in folds)

    assert settings.search is not None
    determines, space = training_settings(settings), space_of(settings)
    chosen = choose(run.path, splits, determines, space, settings.search, scores, seed=seed)
    # named, and no longer to be searched: `config.yaml` then says how to make this very run again
    return settings.model_copy(
        update={**chosen, "run_name": run.path.name, "seeds": None, "seed": seed, "search": None}
    )
