"""Settings of aeon's classifiers are chosen on cases held out of train; spaces are checked against the classes."""

from __future__ import annotations

import inspect
import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import make_set, make_splits
from vlm_tsc.classify import classical
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import run_baseline
from vlm_tsc.evaluate.search import STUDY_FILE, Range, Score, search
from vlm_tsc.evaluate.search_classical import ClassicalSearch, run_searched
from vlm_tsc.evaluate.search_space import arguments, shipped, space_of
from vlm_tsc.report import collect, table
from vlm_tsc.report.command import command_of
from vlm_tsc.run import RunFolder

KNN = "KNeighborsTimeSeriesClassifier"


@pytest.fixture(scope="module")
def entry():
    return runpy.run_path(str(Path(__file__).parents[2] / "eval" / "baselines.py"))["main"]


def written(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_space_names_arguments_of_its_class(name):
    space = space_of(name, None)
    known = set(inspect.signature(type(classical.make_baseline(name))).parameters)
    assert space and {key.partition(".")[0] for key in space} <= known
    usual = classical.parameters(name)
    for key, choices in space.items():
        if isinstance(choices, tuple) and "." not in key:
            assert usual[key] in choices, "the search can come back to what holds without one"


def test_the_class_name_and_the_short_name_have_one_space():
    assert space_of("QUANTClassifier", None) == space_of("quant", None)


def test_a_persons_own_space_has_lists_and_ranges(tmp_path):
    text = "n_kernels: {low: 100, high: 1000, log: true}\nestimator: [null]\nclass_weight: [null, balanced]\n"
    assert space_of("RocketClassifier", written(tmp_path / "a.yaml", text)) == {
        "n_kernels": Range(100, 1000, log=True, whole=True),
        "estimator": (None,),
        "class_weight": (None, "balanced"),
    }
    text = "proba_normalization: {low: 1e-3, high: 0.5}\n"
    assert space_of("RDSTClassifier", written(tmp_path / "b.yaml", text)) == {
        "proba_normalization": Range(0.001, 0.5, log=False)
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n_kernel: [1]", "did you mean n_kernels?"),
        ("random_state: [1, 2]", "random_state of RocketClassifier cannot be chosen"),
        ("n_kernels: []", "cannot be used"),
        ("n_kernels: 5", "cannot be used"),
        ("n_kernels: {low: 5, high: 5}", "low below high"),
        ("n_kernels: {low: 0, high: 5, log: true}", "above 0 with log"),
        ("n_kernels: {low: 1, high: 5, step: 2}", "cannot be used"),
        ("n_kernels: {low: 1, high: .inf}", "cannot be used"),
        ("estimator: [null]\nestimator.alpha: [1]", "as a whole and by its keys"),
        ("a: [1]\nb: [1]", "2 problems"),
    ],
)
def test_a_wrong_space_is_refused_with_its_line(tmp_path, text, says):
    with pytest.raises(InputError) as refused:
        space_of("RocketClassifier", written(tmp_path / "mine.yaml", text))
    assert says in str(refused.value) and "mine.yaml, line" in str(refused.value)


def test_what_has_nothing_to_choose_says_so(tmp_path):
    for name in ("majority", "1nn-ed"):
        with pytest.raises(InputError, match="there is nothing to choose"):
            space_of(name, None)
    with pytest.raises(InputError, match="no search space is shipped") as refused:
        space_of("SummaryClassifier", None)
    assert "summary_stats" in str(refused.value) and "quant" in str(refused.value)
    with pytest.raises(InputError, match="n_neighbors of 1nn-dtw cannot be chosen"):
        space_of("1nn-dtw", written(tmp_path / "a.yaml", "n_neighbors: [1, 3]"))


def test_keys_of_a_mapping_are_chosen_one_by_one():
    values = {"distance": "dtw", "distance_params.window": 0.1, "distance_params.itakura_max_slope": None}
    expected = {"distance": "dtw", "distance_params": {"window": 0.1, "itakura_max_slope": None}}
    assert arguments(values) == expected


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_votes_of_several_neighbours_are_aeons(weights):
    train, test = make_set(9, 0), make_set(7, 1)
    y = np.array(["a", "b", "c"])[np.arange(9) % 3]
    classifier = classical.make_baseline(KNN, chosen={"n_neighbors": 4, "weights": weights, "distance": "euclidean"})
    classifier.fit(train.X, y)
    found = np.concatenate(list(classical.probabilities_in_chunks(classifier, test.X, 3)))
    np.testing.assert_allclose(found, classifier.predict_proba(test.X), rtol=1e-12)
    assert 0 < found.max() < 1


def test_a_distance_point_by_point_gets_series_of_one_length():
    short = replace(make_set(4, 0), X=list(make_set(4, 0, length=20).X))
    long = replace(make_set(4, 1), X=list(make_set(4, 1, length=30).X))
    for distance, lengths in (("euclidean", (20, 20)), ("dtw", (20, 30))):
        parts = classical.as_needed(KNN, short, long, {"distance": distance})
        assert tuple(part[0].shape[-1] for part in parts) == lengths


def test_the_best_window_on_held_out_cases_is_the_runs_and_every_trial_is_told(tmp_path):
    splits = make_splits()
    space = written(tmp_path / "mine.yaml", "distance_params.window: [0.0, 0.5, 1.0]")
    document = run_searched("1nn-dtw", splits, tmp_path / "runs", ClassicalSearch(3, space))
    folder = tmp_path / "runs" / "Slopes" / "1nn-dtw-search"
    facts = json.loads((folder / "search.json").read_text())
    for trial in facts["trials"]:  # the same, by aeon alone
        chosen = {"distance_params": {"window": trial["distance_params.window"]}}
        alone = classical.make_baseline("1nn-dtw", 0, chosen).fit(splits.train.X, splits.train.y)
        assert trial["accuracy"] == (alone.predict(splits.validation.X) == splits.validation.y).mean()
    best = min(facts["trials"], key=lambda one: one["log_loss"])
    assert facts["chosen"] == {"distance_params.window": best["distance_params.window"]}
    assert (len(facts["trials"]), facts["held_out"]) == (3, [4]) and (folder / STUDY_FILE).exists()
    assert document["n_train"] == 16, "the run itself trains on all of train"
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["search"] == {"trials": 3, "names": ["distance_params.window"]}
    assert command_of(RunFolder(folder)) == (
        f"python eval/baselines.py 1nn-dtw --dataset Slopes --search 3 --search-space {space}"
    )
    assert "1NN-DTW, searched" in table(collect(tmp_path / "runs" / "Slopes", "official"))


def test_an_interrupted_search_goes_on_and_a_finished_one_is_not_done_again(tmp_path, monkeypatch):
    space = written(tmp_path / "mine.yaml", "n_neighbors: {low: 1, high: 5}\nweights: [uniform, distance]")
    splits, five = make_splits(), ClassicalSearch(5, space)
    whole = run_searched(KNN, splits, tmp_path / "whole", five)
    make, made = classical.make_baseline, []

    class Killed(BaseException):
        pass

    def killed(name, seed=0, chosen=classical.DEFAULTS):
        made.append(dict(chosen))
        if sum(map(bool, made)) == 4:
            raise Killed
        return make(name, seed, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(classical, "make_baseline", killed)
        with pytest.raises(Killed):
            run_searched(KNN, splits, tmp_path / "killed", five)
    again = run_searched(KNN, splits, tmp_path / "killed", five)
    facts = [
        (tmp_path / which / "Slopes" / f"{KNN}-search" / "search.json").read_text() for which in ("whole", "killed")
    ]
    assert facts[0] == facts[1] and again["accuracy"] == whole["accuracy"]
    monkeypatch.setattr("vlm_tsc.evaluate.search_classical._score", None)
    monkeypatch.setattr(classical, "probabilities_in_chunks", None)
    assert run_searched(KNN, splits, tmp_path / "killed", five) == again


def test_the_test_part_has_no_say(tmp_path, monkeypatch):
    space = written(tmp_path / "mine.yaml", "n_neighbors: [1, 3]")
    splits = make_splits()
    others = replace(splits, test=make_set(10, 9, "test"))
    found = []
    for name, one in (("a", splits), ("b", others)):
        run_searched(KNN, one, tmp_path / name, ClassicalSearch(2, space))
        found.append((tmp_path / name / "Slopes" / f"{KNN}-search" / "search.json").read_text())
    assert found[0] == found[1]


def test_what_aeon_refuses_ends_the_trial_alone(tmp_path):
    space = written(tmp_path / "mine.yaml", "distance: [no-such-distance, euclidean]")
    run_searched(KNN, make_splits(), tmp_path, ClassicalSearch(4, space))
    facts = json.loads((tmp_path / "Slopes" / f"{KNN}-search" / "search.json").read_text())
    assert facts["chosen"] == {"distance": "euclidean"}
    assert {one["log_loss"] is None for one in facts["trials"]} == {
        one["distance"] != "euclidean" for one in facts["trials"]
    }
    with pytest.raises(InputError, match="does not take these settings"):
        one = written(tmp_path / "one.yaml", "distance: [no-such-distance]")
        run_searched(KNN, make_splits(), tmp_path / "none", ClassicalSearch(1, one))


def test_a_search_leaves_the_run_without_one_as_it_is(tmp_path):
    plain = run_baseline("1nn-dtw", make_splits(), tmp_path)
    run_searched("1nn-dtw", make_splits(), tmp_path, ClassicalSearch(1))
    names = sorted(path.name for path in (tmp_path / "Slopes").iterdir())
    assert names == ["1nn-dtw", "1nn-dtw-search"]
    assert run_baseline("1nn-dtw", make_splits(), tmp_path) == plain


def test_values_that_were_tried_are_not_tried_again(tmp_path):
    tried = []

    def score(values, number):
        tried.append(values["k"])
        return Score(values["k"], 0.5)

    found = search(tmp_path / "s.db", "key", {"k": Range(1, 3, log=False, whole=True)}, 12, score, seed=0)
    assert sorted(tried) == [1, 2, 3] and len(found.trials) == 12 and found.chosen == {"k": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["majority", "--search", "3"], "there is nothing to choose"),
        (["vision-probe", "--search", "3"], "there is nothing to choose"),
        (["SummaryClassifier", "--search", "3"], "no search space is shipped"),
        (["quant", "--search-space", "mine.yaml"], "how many settings"),
        (["quant", "--search", "2", "--search-space", "nowhere.yaml"], "no such file"),
        (["quant", "--search", "0"], "--search"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_read(entry, words, says, capsys):
    assert entry([*words, "--dataset", "GunPoint"]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and "Traceback" not in captured.err


def test_from_the_command_line(entry, slopes_file, tmp_path, capsys):
    data = ["--dataset", str(slopes_file), "--test", str(tmp_path / "slopes_test.npz"), "--vlm-root", str(tmp_path)]
    space = written(tmp_path / "mine.yaml", "interval_depth: [1, 2]")
    assert entry(["quant", *data, "--search", "2", "--search-space", str(space)]) == 0
    assert "QUANT, searched" in capsys.readouterr().out
    assert len(list(tmp_path.glob("runs/*/quant-search*/search.json"))) == 1
