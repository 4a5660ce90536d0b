"""The command of a report gives the run's settings again."""

from __future__ import annotations

import shlex

import pytest
import yaml

from tests.report.conftest import make_run
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.config import load_settings, resolved_yaml, settings_from, settings_from_cli
from vlm_tsc.files import write_text
from vlm_tsc.report.command import command_of, folded
from vlm_tsc.run import shown_settings

GIVEN = [
    {},
    {"data_repr": "WITH_STATS", "downsample": 2, "round_to": 3, "seed": 7, "split": "resample:3"},
    {"learning_rate": 2e-4, "num_epochs": 1.5, "augment": 0.0, "lora_dropout": 0.05, "trainable": ["language"]},
    {"baselines": [], "formats": ["qwen", "vicuna"], "run_name": "my run (2)", "vlm_root": "/some where/else"},
    {"plot_downsampled_graph": True, "resume": False, "answers": "generate", "dataset": "it's $HOME; rm -rf"},
    {"base": "llava-1.5-7b", "lora_r": 64},
    {"base": "llava-1.5-7b", "llava_root": "/checkpoints", "downsampling": "lttb", "dataset": "-odd name"},
]


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: " ".join(given) or "defaults")
def test_it_gives_equal_settings(given, tmp_path):
    run = make_run(tmp_path)
    settings = settings_from({"dataset": "Waves", **given})
    write_text(run.config, resolved_yaml(settings))
    python, program, *words = shlex.split(command_of(run))
    assert (python, program) == ("python", "train.py")
    assert settings_from_cli(words, prog="train.py", description="") == load_settings(run.config) == settings


def test_it_says_only_what_differs(tmp_path):
    run = make_run(tmp_path, seed=3)
    assert command_of(run) == "python train.py --dataset Waves --data-repr BASELINE --lora-r 8 --seed 3"


def test_folding_changes_no_word():
    command = shlex.join(["python", "train.py", *(f"--option-{i}" for i in range(5)), "--name", "a b", "--x", "y" * 90])
    lines = folded(command)
    assert shlex.split(lines.replace("\\\n", " ")) == shlex.split(command)
    assert all(len(line) <= 78 or "y" * 90 in line for line in lines.splitlines())
    assert "--name 'a b'" in lines


def baseline_run(tmp_path, classifier, **content):
    run = make_run(tmp_path)
    write_text(run.config, yaml.safe_dump({"classifier": classifier, "seed": 0, "dataset": "Waves", **content}))
    return run


PAPERS = Hyperparameters().model_dump()
INCEPTION_TIME_RUNS = [
    ({"parameters": PAPERS}, ""),
    ({"parameters": {**PAPERS, "epochs": 100}, "seed": 2}, " --epochs 100 --seed 2"),
    (  # the number of filters was given, and is not searched, though it is the paper's
        {"parameters": PAPERS, "search": {"trials": 20, "names": ["depth", "lr", "batch_size"]}},
        " --filters 32 --search 20",
    ),
    ({"parameters": {**PAPERS, "start": "3f9c"}, "start_from": "/a model"}, " --start-from '/a model'"),
]


@pytest.mark.parametrize(("content", "ends"), INCEPTION_TIME_RUNS)
def test_inception_time_with_what_it_was_made_with(content, ends, tmp_path):
    run = baseline_run(tmp_path, "inception-time", **content)
    assert command_of(run) == f"python eval/baselines.py inception-time --dataset Waves{ends}"


@pytest.mark.parametrize(
    "given", [{}, {"pictures": "gasf,line", "round_to": 3}, {"base": "llava-1.5-7b", "precision": "fp32"}]
)
def test_a_probe_with_its_base_and_its_pictures(given, tmp_path):
    settings = settings_from({"dataset": "Waves", **given})
    shown = {key: value for key, value in shown_settings(settings).items() if value is not None}
    parameters = {key: list(value) if isinstance(value, tuple) else value for key, value in shown.items()}
    run = baseline_run(tmp_path, "vision-probe", parameters={"base": settings.base, "base_hash": "0", **parameters})
    _, program, name, *words = shlex.split(command_of(run))
    assert (program, name) == ("eval/baselines.py", "vision-probe")
    assert settings_from_cli(words, prog="", description="") == settings
    assert len(words) == 2 + 2 * len(given)
