"""The image's entry on a layout like /opt/ml elsewhere; the Dockerfile copies and calls what is there."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier
from vlm_tsc.classify.saved import load_classifier
from vlm_tsc.use import mlflow, serve
from vlm_tsc.use.container import LAYOUT, main

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "samples" / "headerless"
SMALL = {"filters": "2", "depth": "3", "models": "2", "batch-size": "8", "epochs": "2"}


@pytest.fixture
def ml(tmp_path, monkeypatch):
    """A layout with the sample training table and hyperparameters as SageMaker writes them: texts."""
    monkeypatch.setenv(LAYOUT, str(tmp_path))
    put(tmp_path, "training", "train.csv")
    set_hyperparameters(tmp_path, {**SMALL, "sagemaker_region": '"eu-west-1"', "_tuning_objective_metric": "x"})
    return tmp_path


def put(ml, channel, name):
    folder = ml / "input" / "data" / channel
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.copy(TABLES / name, folder)


def set_hyperparameters(ml, values):
    path = ml / "input" / "config" / "hyperparameters.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def test_train_writes_the_model_and_its_metrics_and_no_failure(ml, capsys):
    put(ml, "validation", "valid.csv")
    assert main(["train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("; ")[0] for line in lines if line.startswith("epoch=")] == ["epoch=1", "epoch=2"]
    for name in ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"):  # as the seed logs them
        assert re.search(rf"{name}=([0-9.]+)", lines[-1])
    assert not (ml / "output" / "failure").exists()
    model = load_classifier(ml / "model")
    assert isinstance(model, InceptionTimeClassifier) and model.filters == 2
    assert model.classes_.tolist() == ["sine", "square"]


@pytest.mark.parametrize("packed", [True, False])
def test_the_model_channel_is_gone_on_from(ml, packed, capsys):
    assert main(["train"]) == 0
    earlier = ml / "input" / "data" / "model"
    earlier.mkdir()
    if packed:
        with tarfile.open(earlier / "model.tar.gz", "w:gz") as file:
            for path in (ml / "model").iterdir():
                file.add(path, path.name)
        shutil.rmtree(ml / "model")
    else:
        earlier.rmdir()
        (ml / "model").rename(earlier)
    first = capsys.readouterr().out.splitlines()
    assert main(["train"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] != first[-1]  # the same training from other weights


def test_a_llava_is_trained_with_its_own_settings(ml, tiny_base):
    settings = {"base": str(tiny_base), "num-epochs": "0.2", "batch_size": "4", "precision": "fp32"}
    set_hyperparameters(ml, {"classifier": "llava", **settings})
    assert main(["train"]) == 0
    assert load_classifier(ml / "model").classes_.tolist() == ["sine", "square"]


def test_a_masked_transformer_is_trained_and_gone_on_from(ml, capsys):
    sizes = {"width": "8", "layers": "1", "length": "16", "patch": "4"}
    short = {"classifier": "masked-transformer", "encoder": "fresh", "epochs": "2", "batch-size": "8", "lr": "0.01"}
    set_hyperparameters(ml, {**short, **sizes})
    assert main(["train"]) == 0
    first = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch=")]
    assert len(first) == 2 and "train_loss=" in first[-1]
    model = load_classifier(ml / "model")
    assert isinstance(model, MaskedTransformerClassifier) and model.classes_.tolist() == ["sine", "square"]
    (ml / "model").rename(ml / "input" / "data" / "model")
    set_hyperparameters(ml, short)  # the sizes are those of the earlier model
    assert main(["train"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] != first[-1]
    put(ml, "validation", "valid.csv")
    assert main(["train"]) == 2
    assert "a masked transformer takes no such channel" in (ml / "output" / "failure").read_text()


def test_a_search_chooses_what_a_masked_transformer_is_trained_with(ml, capsys):
    sizes = {"width": "8", "layers": "1", "length": "16", "patch": "4", "batch-size": "8", "epochs": "2"}
    given = {"classifier": "masked-transformer", "encoder": "fresh", **sizes, "search": "2"}
    set_hyperparameters(ml, given)
    assert main(["train"]) == 0
    found = json.loads((ml / "model" / "search.json").read_text())
    assert len(found["trials"]) == 2 and set(found["chosen"]) == {"lr"}  # the epochs are given
    assert load_classifier(ml / "model").lr == found["chosen"]["lr"]
    assert not (ml / "model" / "trials").exists()
    set_hyperparameters(ml, {**given, "lr": "0.01"})
    assert main(["train"]) == 2
    assert "there is nothing to choose" in capsys.readouterr().err
    (ml / "model").rename(ml / "input" / "data" / "model")
    set_hyperparameters(ml, given)
    assert main(["train"]) == 2
    assert "a search begins anew" in capsys.readouterr().err


def test_the_failure_of_an_earlier_job_is_forgotten(ml):
    set_hyperparameters(ml, {"epochs": "many"})
    assert main(["train"]) == 2
    assert (ml / "output" / "failure").exists()
    set_hyperparameters(ml, SMALL)
    assert main(["train"]) == 0
    assert not (ml / "output" / "failure").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("search", "2"), ("report-to", "mlflow"), ("seeds", "0,1"), ("baselines", "quant"), ("split", "pooled")],
)
def test_what_a_llava_would_not_use_is_refused(ml, tiny_base, name, value):
    set_hyperparameters(ml, {"classifier": "llava", "base": str(tiny_base), "num-epochs": "0.2", name: value})
    assert main(["train"]) == 2
    said = (ml / "output" / "failure").read_text()
    assert "does not use this" in said and name.replace("-", "_") in said
    assert "learning_rate" in said and "views" in said  # what is allowed


def test_the_seed_of_a_llava_also_chooses_what_is_held_out(ml, tiny_base, monkeypatch):
    made = []
    monkeypatch.setattr(LlavaClassifier, "fit", lambda self, X, y: made.append(self))
    monkeypatch.setattr(LlavaClassifier, "save", lambda self, folder: None)
    set_hyperparameters(ml, {"classifier": "llava", "base": str(tiny_base), "seed": "3"})
    assert main(["train"]) == 0
    assert made[0].random_state == 3


def several_tables(ml):
    put(ml, "training", "valid.csv")


def no_table(ml):
    (ml / "input" / "data" / "training" / "train.csv").unlink()


def broken_archive(ml):
    folder = ml / "input" / "data" / "model"
    folder.mkdir()
    (folder / "model.tar.gz").write_bytes(b"no archive")


def archive_that_leaves_its_folder(ml):
    folder = ml / "input" / "data" / "model"
    folder.mkdir()
    with tarfile.open(folder / "model.tar.gz", "w:gz") as file:
        file.add(ml / "input" / "data" / "training" / "train.csv", "../outside.csv")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (archive_that_leaves_its_folder, "would lie outside"),
        (no_table, "there is no training table"),
        (several_tables, "train.csv, valid.csv"),
        (broken_archive, "the earlier model cannot be unpacked"),
        (lambda ml: set_hyperparameters(ml, {"epoch": "3"}), "did you mean --epochs?"),
        (lambda ml: set_hyperparameters(ml, {"epochs": "many"}), "many"),
        (lambda ml: set_hyperparameters(ml, {"classifier": "oracle"}), "inception-time, masked-transformer, llava"),
        (lambda ml: set_hyperparameters(ml, {"model-dir": "/tmp"}), "the folders decide this"),
        (lambda ml: set_hyperparameters(ml, [1]), "no JSON object"),
    ],
)
def test_what_went_wrong_stands_in_output_failure(ml, spoil, says, capsys):
    spoil(ml)
    assert main(["train"]) == 2
    assert says in (ml / "output" / "failure").read_text() and says in capsys.readouterr().err
    assert not (ml / "model" / "model.json").exists()


def test_serve_opens_the_model_folder_to_everyone_on_the_port_that_sagemaker_names(ml, monkeypatch):
    called = []
    monkeypatch.setattr(serve, "main", lambda argv: called.append(argv) or 0)
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "8123")
    assert main(["serve"]) == 0
    assert called == [[str(ml / "model"), "--host", "0.0.0.0", "--port", "8123"]]


def test_an_unknown_command_is_refused(capsys):
    assert main(["trian"]) == 2
    assert "did you mean train?" in capsys.readouterr().err


def test_mlflow_shows_the_mounted_runs_to_everyone(ml, monkeypatch):
    called = []
    monkeypatch.setattr(mlflow, "main", lambda argv: called.append(argv) or 0)
    assert main(["mlflow", "--port", "5001"]) == 0
    assert called == [[str(ml / "output" / "runs"), "--host", "0.0.0.0", "--port", "5001"]]


def test_the_dockerfile_copies_what_is_there_and_what_its_context_holds():
    text = (ROOT / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for name in line.split()}
    assert not [name for name in copied if not (ROOT / name).exists()]
    assert copied == set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M))
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.M)
    assert json.loads(entry) == ["python", "-m", main.__module__]
