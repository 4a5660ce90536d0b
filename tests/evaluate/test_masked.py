"""The masked transformer as a run: chosen on validation, blind to test labels, honest about its encoder."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import make_splits
from vlm_tsc.classify.epochs import LOG_FILE
from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier
from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder
from vlm_tsc.classify.masked_transformer.encoder_folder import read_encoder, write_encoder
from vlm_tsc.classify.masked_transformer.hyperparameters import Hyperparameters
from vlm_tsc.classify.masked_transformer.options import RunOptions
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.seen import case_hashes, n_seen
from vlm_tsc.config import settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import masked, read_predictions
from vlm_tsc.evaluate.embedding import draw_embedding, embedded
from vlm_tsc.evaluate.masked import PICTURE, chosen_encoder, run_masked_transformer, run_with_options
from vlm_tsc.evaluate.search import Range
from vlm_tsc.evaluate.search_masked import space_of
from vlm_tsc.evaluate.trained import run_named
from vlm_tsc.manifest import read_manifest
from vlm_tsc.report import collect, table
from vlm_tsc.report.finished import read_finished
from vlm_tsc.resources import resource_dir
from vlm_tsc.run import RunFolder

SIZES = {"width": 8, "layers": 1, "length": 16, "patch": 4}
SMALL = Hyperparameters(**SIZES, lr=0.01, batch_size=4, epochs=20)
NAME = "masked-transformer-fresh-width8-layers1-length16-patch4-lr0.01-batch-size4-epochs20"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return run_masked_transformer(make_splits(), runs, SMALL, given={"dataset": "my.csv"}), runs


@pytest.fixture
def encoder(tmp_path):
    notes = {"name": "tiny", "task": "timemae", "sets": ["Slopes", "Other"], "steps": 1}
    write_encoder(tmp_path / "encoder", PatchEncoder(Shape(**SIZES), 7), notes)
    return tmp_path / "encoder"


def test_it_is_a_run_like_any_other(finished):
    document, runs = finished
    folder = RunFolder(runs / "Slopes" / NAME)
    assert json.loads(folder.metrics.read_text()) == document
    assert (document["classifier"], document["base"], document["accuracy"]) == ("masked-transformer", None, 1.0)
    assert (document["n_train"], document["n_validation"], document["seed"]) == (12, 4, 0)
    assert (document["encoder"], document["encoder_saw_this_set"], document["linear"]) == ("fresh", False, False)
    assert [row.id for row in read_predictions(folder.predictions)] == list(make_splits().test.ids)
    config = yaml.safe_load(folder.config.read_text())
    assert config["parameters"]["epochs"] == 20 and config["dataset"] == "my.csv"
    assert "evaluation" in read_manifest(folder).finished
    X = make_splits().test.X
    loaded = MaskedTransformerClassifier.load(folder.path / "model")
    assert loaded.predict(X).tolist() == [row.predicted for row in read_predictions(folder.predictions)]
    assert read_finished(folder.path).metrics["accuracy"] == 1.0
    assert "valid_accuracy" in (folder.path / "model" / LOG_FILE).read_text()


def test_the_picture_of_the_embeddings_is_in_the_run(finished):
    from matplotlib.image import imread

    pixels = imread(finished[1] / "Slopes" / NAME / PICTURE)
    assert pixels.shape[:2] == (480, 640)
    colours = {tuple(pixel) for pixel in pixels[:, :, :3].reshape(-1, 3).round(2)}
    assert len(colours) > 10  # points of two colours, not an empty frame


def test_neighbours_in_the_features_are_neighbours_in_the_picture():
    random = np.random.default_rng(0)
    features = np.concatenate([random.normal(0, 0.1, (20, 5)), random.normal(9, 0.1, (20, 5))]).astype(np.float32)
    points = embedded(features, 0)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(40)
    assert (distances.argmin(1) // 20 == np.arange(40) // 20).all()
    np.testing.assert_array_equal(points, embedded(features, 0))


@pytest.mark.parametrize(("n_cases", "n_classes"), [(1, 2), (3, 2), (30, 30)])
def test_pictures_of_few_cases_and_of_many_classes(tmp_path, n_cases, n_classes):
    names = [f"class {i}" for i in range(n_classes)]
    y = np.array([names[i % n_classes] for i in range(n_cases)])
    draw_embedding(tmp_path / "a.png", np.random.default_rng(0).normal(size=(n_cases, 4)), y, names, title="T")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_it_is_a_row_of_the_table(finished):
    text = table(collect(finished[1] / "Slopes", "official"))
    assert "masked transformer, fresh" in text and "very set" not in text


def test_a_finished_run_is_not_run_again(finished, monkeypatch):
    document, runs = finished
    monkeypatch.setattr(masked, "train_model", None)
    assert run_masked_transformer(make_splits(), runs, SMALL) == document


def test_labels_of_the_test_part_change_no_answer(finished, tmp_path):
    splits = make_splits()
    permuted = replace(splits, test=replace(splits.test, y=np.roll(splits.test.y, 1)))
    run_masked_transformer(permuted, tmp_path, SMALL)
    folders = [RunFolder(runs / "Slopes" / NAME) for runs in (tmp_path, finished[1])]
    a, b = (read_predictions(folder.predictions) for folder in folders)
    assert [row.probabilities for row in a] == [row.probabilities for row in b]
    assert [row.true for row in a] != [row.true for row in b]
    weights = [(folder.path / "model" / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]


def test_validation_cases_choose_the_epoch_so_others_make_another_run(finished, tmp_path):
    splits = make_splits()
    flipped = replace(splits, validation=replace(splits.validation, y=splits.validation.y[::-1].copy()))
    short = SMALL.model_copy(update={"epochs": 8})
    for one in (splits, flipped):
        run_masked_transformer(one, tmp_path, short, tsne=False)
        folder = tmp_path / "Slopes" / NAME.replace("epochs20", "epochs8") / "model"
        lines = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
        order = [(-line["valid_accuracy"], line["valid_loss"]) for line in lines]
        assert json.loads((folder / "model.json").read_text())["epoch"] == 1 + order.index(min(order))


def test_an_encoder_that_has_seen_the_set_is_refused_unless_the_table_may_say_so(encoder, tmp_path):
    found = read_encoder(encoder)
    short = Hyperparameters(linear=True, epochs=2, lr=0.01)
    with pytest.raises(InputError, match="pre-trained on the set"):
        run_masked_transformer(make_splits(), tmp_path, short, encoder=found)
    assert not (tmp_path / "Slopes").exists()
    document = run_masked_transformer(make_splits(), tmp_path, short, encoder=found, allow_seen=True, tsne=False)
    assert document["encoder_saw_this_set"] and document["encoder_sets"] == ["Slopes", "Other"]
    assert (document["encoder"], document["encoder_task"], document["linear"]) == (found.label, "timemae", True)
    text = table(collect(tmp_path / "Slopes", "official"), width=120)
    assert f"masked transformer, {found.label}, linear, pre-trained on this set" in text
    assert f"training part of this very set: encoder {found.label}" in text.replace("\n  ", " ")


def test_which_encoder_the_options_name(encoder, tmp_path):
    assert chosen_encoder(RunOptions(encoder="fresh"), tmp_path) == (None, "fresh")
    found, label = chosen_encoder(RunOptions(encoder=str(encoder)), tmp_path)
    assert label == found.label == f"tiny-{found.facts['sha256'][:6]}"
    for options, says in (
        ({"enc_ver": 1}, "a version of which"),
        ({"enc_name": "mae", "enc_ver": 1, "enc_version": 2}, "two versions"),
        ({"enc_name": "mae", "encoder": "fresh"}, "two encoders"),
        ({"enc_name": "mae"}, "no registry"),
    ):
        with pytest.raises(InputError, match=says):
            chosen_encoder(RunOptions(**options), tmp_path)


def test_the_main_job_runs_it_by_its_name_as_the_command_does_without_options(tmp_path, monkeypatch):
    assert settings_from({"dataset": "X", "baselines": "masked-transformer"}).baselines == ("masked-transformer",)
    train_model, trained_with = masked.train_model, []

    def train_short(X, codes, classes, hyperparameters, **how):
        trained_with.append((hyperparameters, how["random_state"]))
        return train_model(X, codes, classes, SMALL.model_copy(update={"epochs": 1}), **{**how, "encoder": None})

    monkeypatch.setattr(masked, "train_model", train_short)
    given = {"dataset": "Slopes", "data_dir": None, "vlm_root": tmp_path}
    document = run_named("masked-transformer", make_splits(), tmp_path, seed=2, given=given, limit_s=None)
    assert trained_with == [(Hyperparameters(), 2)] and document["encoder"] in ("fresh", "shipped")
    folder = tmp_path / "Slopes" / f"masked-transformer-{document['encoder']}-seed2"
    command = read_finished(folder).command.split()
    assert command[2:5] == ["masked-transformer", "--dataset", "Slopes"] and command[-2:] == ["--seed", "2"]


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(Path(__file__).parents[2] / "eval" / "baselines.py"))["main"]


def test_the_command(main, slopes_file, encoder, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("linear: true\nepochs: 3\nlr: 1e-2\n")
    words = ["masked-transformer", "--dataset", str(slopes_file), "--test", str(tmp_path / "slopes_test.npz")]
    words += ["--vlm-root", str(tmp_path), "--encoder", str(encoder), "--conf-file", str(tmp_path / "mine.yaml")]
    assert main(words) == 2
    assert "--allow-seen" in capsys.readouterr().err
    assert main([*words, "--epochs", "2", "--allow-seen", "--seed", "3"]) == 0
    (run,) = (tmp_path / "runs" / "slopes").iterdir()
    assert run.name.endswith("-linear-lr0.01-epochs2-seed3")
    assert len((run / "model" / LOG_FILE).read_text().splitlines()) == 2
    assert "masked transformer" in capsys.readouterr().out
    again = read_finished(run).command
    expected = f"--linear --lr 0.01 --epochs 2 --encoder {encoder} --allow-seen --seed 3"
    assert again.startswith("python eval/baselines.py masked-transformer --dataset") and again.endswith(expected)


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("linear: true\nlearning_rat: 1\n", [], "learning_rat"),
        ("epochs: 0\n", [], "line 1"),
        ("linear: true\n", ["--encode", "x"], "did you mean --encoder?"),
        ("linear: true\n", ["--encoder", "nowhere"], "no finished model"),
        ("linear: true\n", ["--width", "7"], "--width"),
    ],
)
def test_a_wrong_command_line_is_refused(main, slopes_file, tmp_path, capsys, text, words, says):
    (tmp_path / "mine.yaml").write_text(text)
    given = ["masked-transformer", "--dataset", str(slopes_file), "--test", str(tmp_path / "slopes_test.npz")]
    given += ["--vlm-root", str(tmp_path), "--conf-file", str(tmp_path / "mine.yaml")]
    assert main([*given, *words]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and "Traceback" not in captured.err


@pytest.mark.parametrize("path", sorted(resource_dir("configs/baselines").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configurations_load(path):
    assert RunOptions(**yaml.safe_load(path.read_text())).linear == ("linear" in path.stem)


def test_an_encoder_that_has_seen_test_cases_in_another_set_is_refused_unless_the_table_may_say_so(tmp_path):
    splits = make_splits()
    splits.test.X[4] = splits.train.X[0]  # whoever trains has seen it anyway
    shared = [10 * case + 3 for case in splits.test.X[:3]]  # the same recordings, not normalised
    notes = {"name": "tiny", "task": "mae", "sets": ["Sibling"], "steps": 1}
    seen = case_hashes([*shared, *splits.train.X])  # training cases do not count
    found = write_encoder(tmp_path / "encoder", PatchEncoder(Shape(**SIZES), 7), notes, seen)
    assert read_encoder(tmp_path / "encoder").n_seen(splits.test.X) == 4
    assert read_encoder(tmp_path / "encoder").n_seen(splits.test.X, besides=splits.train.X) == 3
    short = Hyperparameters(linear=True, epochs=1, lr=0.01)
    with pytest.raises(InputError, match="pre-trained on 3 of the 8 test cases"):
        run_masked_transformer(splits, tmp_path, short, encoder=found)
    document = run_masked_transformer(splits, tmp_path, short, encoder=found, allow_seen=True, tsne=False)
    assert (document["encoder_saw_this_set"], document["encoder_seen_test_cases"]) == (False, 3)
    text = table(collect(tmp_path / "Slopes", "official"), width=120).replace("\n  ", " ")
    assert f"pre-trained on some of these test cases: encoder {found.label}" in text and "very set" not in text


def test_cases_are_known_again_by_their_values_and_not_by_being_flat():
    cases = make_splits().test.X
    known = case_hashes([*cases, np.full((1, 30), 4.0)])
    assert len(known) == len(cases)
    assert n_seen((cases * 3.0 - 1.0).round(8), known) == len(cases)
    assert n_seen([np.zeros((1, 30)), cases[0][:, :-1], cases[0][:, ::-1]], known) == 0


def test_searched_settings_are_those_of_the_run_and_the_test_part_has_no_say(tmp_path):
    options = RunOptions(**SIZES, encoder="fresh", batch_size=16, epochs=2, tsne=False, search=2)
    document = run_with_options(options, make_splits(), tmp_path)
    (folder,) = (tmp_path / "Slopes").iterdir()
    assert folder.name.startswith("masked-transformer-search-fresh-")
    facts = json.loads((folder / "search.json").read_text())
    assert (len(facts["trials"]), facts["held_out"], list(facts["chosen"])) == (2, [4], ["lr"])
    assert MaskedTransformerClassifier.load(folder / "model").lr == facts["chosen"]["lr"]
    assert not (folder / "trials").exists() and "--search 2" in read_finished(folder).command
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["parameters"]["lr"] is None and config["search"] == {"trials": 2, "names": ["lr"]}

    splits = make_splits()
    turned = replace(splits, test=replace(splits.test, y=splits.test.y[::-1].copy()))
    again = run_with_options(options, turned, tmp_path)
    assert json.loads((folder / "search.json").read_text()) == facts and again["accuracy"] != document["accuracy"]
    with pytest.raises(InputError, match="nothing to choose"):
        run_with_options(options.model_copy(update={"lr": 0.1}), splits, tmp_path)


def test_what_a_search_chooses_from_lies_around_what_is_usual():
    space = space_of(Hyperparameters(), ("lr", "epochs"), 160)
    assert space == {"lr": Range(0.000125, 0.002), "epochs": (50, 100, 200)}
    assert list(space_of(Hyperparameters(lr=1.0), ("epochs",), 160)) == ["epochs"]
