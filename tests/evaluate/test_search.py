"""Settings are chosen on cases held out of train; an interrupted search goes on to the same choice."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from tests.conftest import make_set, make_splits
from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.inception_time import run_inception_time
from vlm_tsc.evaluate.search import STUDY_FILE, Range, Score, held_out_parts, search
from vlm_tsc.evaluate.trained import Search
from vlm_tsc.report import collect, table
from vlm_tsc.report.command import command_of
from vlm_tsc.run import RunFolder

SPACE = {"rate": Range(1e-3, 1e3), "kind": ("a", "b")}


def bowl(values, number):
    """Best at rate 1 and kind b."""
    return Score(math.log10(values["rate"]) ** 2 + (values["kind"] == "a"), 0.5)


class Killed(BaseException):
    pass


def test_it_finds_a_good_setting_and_lists_every_trial(tmp_path):
    found = search(tmp_path / "s.db", "key", SPACE, 25, bowl, seed=0)
    assert found.chosen["kind"] == "b" and 0.3 < found.chosen["rate"] < 3
    assert len(found.trials) == 25 and set(found.trials[0]) == {"rate", "kind", "log_loss", "accuracy"}
    assert min(one["log_loss"] for one in found.trials) == bowl(found.chosen, 0).log_loss


def test_an_interrupted_search_goes_on_to_what_an_uninterrupted_one_finds(tmp_path):
    whole = search(tmp_path / "whole.db", "key", SPACE, 14, bowl, seed=3)
    scored = []

    def killed_at(numbers):
        def score(values, number):
            if number in numbers:
                raise Killed
            scored.append(number)
            return bowl(values, number)

        return score

    for number in (4, 12):  # once among the random trials, once among those that learn from others
        with pytest.raises(Killed):
            search(tmp_path / "killed.db", "key", SPACE, 14, killed_at({number}), seed=3)
    assert search(tmp_path / "killed.db", "key", SPACE, 14, killed_at(()), seed=3) == whole
    assert scored == list(range(14))
    assert search(tmp_path / "killed.db", "key", SPACE, 14, killed_at(range(99)), seed=3) == whole, "nothing is redone"


def test_a_broken_database_is_one_message(tmp_path):
    (tmp_path / "s.db").write_bytes(b"half of it" * 500)
    with pytest.raises(InputError, match="the database of the search cannot be used") as caught:
        search(tmp_path / "s.db", "key", SPACE, 2, bowl, seed=0)
    assert "s.db" in str(caught.value) and "delete it" in str(caught.value)


def test_trials_of_other_data_are_not_looked_at(tmp_path):
    search(tmp_path / "s.db", "one", SPACE, 2, bowl, seed=0)
    other = search(tmp_path / "s.db", "other", SPACE, 1, lambda *_: Score(9.0, 0.0), seed=0)
    assert [one["log_loss"] for one in other.trials] == [9.0]


def test_a_setting_that_cannot_be_trained_is_passed_over(tmp_path):
    def score(values, number):
        if number == 1:
            raise InputError("the training loss is not finite")
        return bowl(values, number)

    found = search(tmp_path / "s.db", "key", SPACE, 3, score, seed=0)
    assert [one["log_loss"] is None for one in found.trials] == [False, True, False]

    def never(values, number):
        raise InputError("the training loss is not finite")

    with pytest.raises(InputError, match="not finite"):
        search(tmp_path / "s.db", "never", SPACE, 2, never, seed=0)


def test_it_is_judged_by_validation_or_by_folds_of_train_never_by_test():
    splits = make_splits()
    ((train, held_out),) = held_out_parts(splits, 0)
    assert (train.ids, held_out.ids) == (splits.train.ids, splits.validation.ids)
    folds = held_out_parts(replace(splits, validation=None), 0)
    assert len(folds) == 3
    assert sorted(i for _, held_out in folds for i in held_out.ids) == sorted(splits.train.ids)
    assert all(not set(train.ids) & set(held_out.ids) for train, held_out in folds)
    with pytest.raises(InputError, match="two training cases of every class"):
        held_out_parts(replace(splits, validation=None, train=splits.train.select([0, 1, 2])), 0)


def test_the_score_is_the_log_loss_and_accuracy_of_scikit_learn():
    from sklearn.metrics import accuracy_score, log_loss

    random = np.random.default_rng(0)
    probabilities, codes = random.dirichlet([1, 1, 1], 20), random.integers(3, size=20)
    score = Score.of(probabilities, codes)
    assert score.log_loss == pytest.approx(log_loss(codes, probabilities, labels=[0, 1, 2]))
    assert score.accuracy == accuracy_score(codes, probabilities.argmax(1))


SMALL = Hyperparameters(filters=2, depth=3, models=2, epochs=2)


def test_a_run_is_trained_with_what_was_chosen_and_says_so(tmp_path, monkeypatch):
    search_two = Search(2, ("lr", "batch_size"))
    document = run_inception_time(make_splits(), tmp_path, SMALL, search=search_two)
    (folder,) = (tmp_path / "Slopes").iterdir()
    assert folder.name == "inception-time-search-filters2-depth3-models2-epochs2"
    facts = json.loads((folder / "search.json").read_text())
    trained = InceptionTimeClassifier.load(folder / "model")
    assert {"lr": trained.lr, "batch_size": trained.batch_size} == facts["chosen"]
    assert (trained.filters, len(facts["trials"]), facts["held_out"]) == (2, 2, [4])
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["search"] == {"trials": 2, "names": ["lr", "batch_size"]} and config["parameters"]["lr"] == 0.001
    assert (folder / STUDY_FILE).exists() and not (folder / "trials").exists()

    first = command_of(RunFolder(folder))
    assert "--filters 2 --depth 3 --models 2 --epochs 2 --search 2" in first and "--lr" not in first

    with monkeypatch.context() as patch:  # a longer search that chooses the same
        patch.setattr(
            "vlm_tsc.evaluate.inception_time.search_inception_time", lambda *_: trained.model_.hyperparameters
        )
        patch.setattr(InceptionTimeClassifier, "fit", None)
        run_inception_time(make_splits(), tmp_path, SMALL, search=Search(9, search_two.names))
        assert yaml.safe_load((folder / "config.yaml").read_text())["search"]["trials"] == 9
        assert command_of(RunFolder(folder)) == first.replace("--search 2", "--search 9")

    monkeypatch.setattr(InceptionTimeClassifier, "fit", None)
    assert run_inception_time(make_splits(), tmp_path, SMALL, search=search_two) == document, "nothing is redone"
    splits = make_splits()
    with pytest.raises(TypeError):  # the run itself is of other test cases, but its search is not
        run_inception_time(replace(splits, test=make_set(8, 9, "test")), tmp_path, SMALL, search=search_two)
    assert json.loads((folder / "search.json").read_text()) == facts


def test_seeds_of_a_search_are_one_row_whatever_each_chose(tmp_path):
    for seed in (0, 1):
        run_inception_time(make_splits(), tmp_path, SMALL, seed=seed, search=Search(1, ("lr",)))
    text = table(collect(tmp_path / "Slopes", "official"))
    assert text.count("InceptionTime") == 1 and "±" in text
