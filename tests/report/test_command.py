"""The command of a report gives the run's settings again."""

from __future__ import annotations

import shlex

import pytest

from tests.report.conftest import make_run
from vlm_tsc.config import load_settings, resolved_yaml, settings_from, settings_from_cli
from vlm_tsc.files import write_text
from vlm_tsc.report.command import command_of, folded

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
