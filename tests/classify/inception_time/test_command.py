"""`eval/baselines.py inception-time train` and `predict` as a person calls them, in this process."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from vlm_tsc.classify.inception_time.ensemble import Ensemble
from vlm_tsc.classify.inception_time.hyperparameters import PRESETS, Hyperparameters
from vlm_tsc.classify.inception_time.options import RunOptions
from vlm_tsc.options import Given, validated

ROOT = Path(__file__).parents[3]
SMALL = ["--filters", "2", "--depth", "3", "--models", "2", "--batch-size", "8", "--lr", "0.01"]


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(ROOT / "eval" / "baselines.py"))["main"]


def series(n_cases, seed, labels=("walk", "run")):
    random = np.random.default_rng(seed)
    codes = np.arange(n_cases) % len(labels)
    X = 2.0 * codes[:, None] + np.linspace(0, codes, 6).T + 0.1 * random.normal(size=(n_cases, 6))
    return X.round(3), [labels[code] for code in codes]


def write(path, X, y=None):
    rows = [[*([y[i]] if y else []), *map(str, row)] for i, row in enumerate(X)]
    path.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_headed(path, X, y=None, one=False):
    """Two channels, unless `one`: the series, and the series reversed."""
    lines = ["sample,feature," + ("y_1," if y else "") + ",".join(f"x_{t}" for t in range(X.shape[1]))]
    for i, row in enumerate(X):
        for name, values in (("a", row), ("b", row[::-1]))[: 1 if one else 2]:
            lines.append(",".join([str(i), name, *([y[i]] if y else []), *map(str, values)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train(main, folder, table, *options, epochs=30):
    given = ["--training", str(table), "--model-dir", str(folder), *SMALL, "--epochs", str(epochs)]
    return main(["inception-time", "train", *given, *map(str, options)])


def predict(main, folder, table, output, *options):
    given = ["--model-dir", str(folder), "--input", str(table), "--output", str(output)]
    return main(["inception-time", "predict", *given, *options])


@pytest.fixture(scope="module")
def model(main, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    table = write(folder / "train.csv", *series(16, 0))
    valid = write(folder / "valid.csv", *series(8, 1))
    assert train(main, folder / "model", table, "--validation", valid) == 0
    return folder / "model"


@pytest.mark.parametrize("writer", [write, write_headed])
def test_a_table_is_learnt_and_another_answered(main, tmp_path, writer):
    table = writer(tmp_path / "train.csv", *series(16, 0))
    assert train(main, tmp_path / "model", table) == 0
    X, y = series(10, 2)
    assert predict(main, tmp_path / "model", writer(tmp_path / "test.csv", X), tmp_path / "out" / "answers.csv") == 0
    assert (tmp_path / "out" / "answers.csv").read_text().splitlines() == y


def test_every_epoch_is_logged(model):
    lines = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 31))
    assert all(set(line) == {"epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy"} for line in lines)
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert sorted(path.name for path in model.iterdir()) == ["log.jsonl", "model.json", "model.safetensors"]


def test_probabilities_stand_below_their_classes(main, model, tmp_path):
    table = write(tmp_path / "test.csv", series(5, 3)[0])
    assert predict(main, model, table, tmp_path / "p.csv", "--probabilities") == 0
    header, *rows = (tmp_path / "p.csv").read_text().splitlines()
    assert header == "run,walk" and len(rows) == 5
    np.testing.assert_allclose([sum(map(float, row.split(","))) for row in rows], 1)


def test_it_goes_on_from_an_earlier_model_on_other_classes(main, model, tmp_path):
    table = write(tmp_path / "train.csv", *series(18, 4, ("a", "b", "c")))
    assert train(main, tmp_path / "next", table, "--start-from", model) == 0
    assert json.loads((tmp_path / "next" / "model.json").read_text())["classes"] == ["a", "b", "c"]


X, Y = series(4, 0)
TRAIN_ERRORS = {
    "no options": (None, [], ["--training is missing", "--model-dir is missing"]),
    "no such file": ("gone.csv", [], ["no such file", "--training"]),
    "no labels": (lambda path: write(path, X + 0.5), [], ["label column seems to be missing"]),
    "one class": (lambda path: write(path, X, ["a"] * 4), [], ["one class"]),
    "a missing value": (lambda path: path.write_text("a,1,,3\nb,1,2,3\n"), [], ["missing values", "line 1"]),
    "ragged": (lambda path: path.write_text("a,1,2\nb,1,2,3\n"), [], ["line 2", "4 cells"]),
    "a wrong number": (lambda path: write(path, X, Y), ["--filters", "0", "--lr", "fast"], ["--filters", "--lr"]),
    "an unknown option": (lambda path: write(path, X, Y), ["--filter", "3"], ["did you mean --filters?"]),
    "no such model": (lambda path: write(path, X, Y), ["--start-from", "gone"], ["no finished model", "gone"]),
}


@pytest.mark.parametrize("case", TRAIN_ERRORS)
def test_what_cannot_be_trained_on_ends_in_one_message(main, tmp_path, capsys, case):
    make, options, says = TRAIN_ERRORS[case]
    table = tmp_path / (make if isinstance(make, str) else "train.csv")
    if callable(make):
        make(table)
    given = [] if make is None else ["--training", str(table), "--model-dir", str(tmp_path / "model")]
    assert main(["inception-time", "train", *given, *options]) == 2
    error = capsys.readouterr().err
    assert all(text in error for text in says) and "Traceback" not in error, error
    assert not (tmp_path / "model").exists()


def test_validation_of_other_classes_or_channels_is_refused(main, tmp_path, capsys):
    table = write(tmp_path / "train.csv", X, Y)
    assert train(main, tmp_path / "model", table, "--validation", write(tmp_path / "v.csv", X, ["new"] * 4)) == 2
    assert "a class that the training table lacks" in capsys.readouterr().err
    assert train(main, tmp_path / "model", table, "--validation", write_headed(tmp_path / "v.csv", X, Y)) == 2
    assert "number of channels" in capsys.readouterr().err
    assert train(main, tmp_path / "model", table, "--start-from", tmp_path / "model") == 2
    assert "cannot go on from itself" in capsys.readouterr().err


PREDICT_ERRORS = {
    "the labels are still there": (lambda path: write(path, X, ["1", "2", "1", "2"]), ["remove the column of labels"]),
    "too few columns": (lambda path: write(path, X[:, :4]), ["4 columns", "6, the values"]),
    "two channels": (lambda path: write_headed(path, X), ["number of channels"]),
    "other columns below a header": (lambda path: write_headed(path, X[:, :4], one=True), ["4 x_* columns", "6, the"]),
    "labels, and a last column that is always empty": (
        lambda path: path.write_text("".join(f"1,{','.join(map(str, row[:5]))},\n" for row in X)),
        ["7 columns", "remove the column of labels"],
    ),
    "words": (lambda path: path.write_text("a,b,c\n"), ["not a number", "line 1, column 1"]),
    "empty": (lambda path: path.write_text(""), ["empty"]),
    "no file": (lambda path: None, ["no such file", "--input"]),
}


@pytest.mark.parametrize("case", PREDICT_ERRORS)
def test_what_cannot_be_answered_ends_in_one_message(main, model, tmp_path, capsys, case):
    make, says = PREDICT_ERRORS[case]
    make(tmp_path / "test.csv")
    assert predict(main, model, tmp_path / "test.csv", tmp_path / "answers.csv") == 2
    error = capsys.readouterr().err
    assert all(text in error for text in says) and "Traceback" not in error, error
    assert not (tmp_path / "answers.csv").exists()


def test_a_table_of_the_right_width_is_answered_though_no_row_fills_it(main, model, tmp_path):
    table = tmp_path / "short.csv"
    table.write_text("".join(f"{','.join(map(str, row[:4]))},,\n" for row in X))
    assert predict(main, model, table, tmp_path / "answers.csv") == 0
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == len(X)


def test_a_folder_without_a_model_is_refused(main, tmp_path, capsys):
    table = write(tmp_path / "test.csv", X)
    assert predict(main, tmp_path, table, tmp_path / "answers.csv") == 2
    assert "no finished model" in capsys.readouterr().err


def test_presets_are_the_papers_numbers_and_the_seeds():
    paper = {"filters": 32, "depth": 6, "models": 5, "lr": 0.001, "batch_size": 64, "epochs": 1500}
    for preset, expected in (("paper", paper), ("seed", {**paper, "epochs": 100})):
        options, problems = validated(RunOptions, {"preset": Given(preset, "--preset", "here")}, PRESETS)
        assert not problems and options.hyperparameters() == Hyperparameters(**expected)
    given = {"preset": Given("seed", "--preset", "here"), "epochs": Given("7", "--epochs", "here")}
    assert validated(RunOptions, given, PRESETS)[0].epochs == 7


def test_the_sample_files_are_learnt(main, tmp_path):
    """samples/: one set in both layouts, which give the same model."""
    for layout in ("headerless", "headed"):
        folder = ROOT / "samples" / layout
        validation = ["--validation", folder / "valid.csv"]
        assert train(main, tmp_path / layout, folder / "train.csv", *validation, epochs=3) == 0
        assert predict(main, tmp_path / layout, folder / "test.csv", tmp_path / f"{layout}.csv") == 0
    assert (tmp_path / "headerless.csv").read_text() == (tmp_path / "headed.csv").read_text()
    weights = [(tmp_path / layout / "model.safetensors").read_bytes() for layout in ("headerless", "headed")]
    assert weights[0] == weights[1]


def test_the_sample_files_are_what_their_script_writes():
    tables = runpy.run_path(str(ROOT / "samples" / "make.py"))["tables"]()
    assert {path.relative_to(ROOT / "samples").as_posix() for path in (ROOT / "samples").rglob("*.csv")} == set(tables)
    for name, text in tables.items():
        assert (ROOT / "samples" / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("judges", ["validation", "training"])
def test_a_search_chooses_what_the_table_is_trained_with(main, tmp_path, judges):
    table, other = (write(tmp_path / f"{seed}.csv", *series(18, seed)) for seed in (0, 1))
    given = ["--training", str(table), "--model-dir", str(tmp_path / "model"), "--epochs", "2", "--models", "2"]
    given += ["--filters", "2", "--depth", "3", "--lr", "0.01", "--search", "2"]
    given += ["--validation", str(other)] if judges == "validation" else []
    assert main(["inception-time", "train", *given]) == 0
    facts = json.loads((tmp_path / "model" / "search.json").read_text())
    assert (list(facts["chosen"]), len(facts["trials"])) == (["batch_size"], 2)
    assert facts["held_out"] == ([18] if judges == "validation" else [6, 6, 6])
    trained = Ensemble.read(tmp_path / "model").hyperparameters
    assert (trained.batch_size, trained.filters) == (facts["chosen"]["batch_size"], 2)
    assert not (tmp_path / "model" / "trials").exists()
    weights = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "model").glob("*.safetensors")}
    assert main(["inception-time", "train", *given]) == 0
    assert weights == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "model").glob("*.safetensors")} != {}
    assert predict(main, tmp_path / "model", write(tmp_path / "x.csv", series(4, 2)[0]), tmp_path / "y.csv") == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--start-from", "runs"], "begins anew"),
        ([*SMALL], "there is nothing to choose"),
    ],
)
def test_a_search_that_cannot_be_is_refused(main, tmp_path, capsys, words, says):
    table = write(tmp_path / "t.csv", *series(8, 0))
    given = ["--training", str(table), "--model-dir", str(tmp_path / "model"), "--search", "2", *words]
    assert main(["inception-time", "train", *given]) == 2
    assert says in capsys.readouterr().err and not (tmp_path / "model").exists()
