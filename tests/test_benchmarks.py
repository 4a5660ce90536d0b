"""The benchmarks run and say what they measured; how fast anything is, is not for a test to judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from threading import Barrier
from types import SimpleNamespace

import pytest
import torch

from benchmarks import (
    accuracy,
    explore,
    finetune,
    finetune_sides,
    inception_time,
    large,
    scoring_ways,
    serve,
    startup,
    studies,
    study_tables,
    training_ways,
    ways,
)
from benchmarks.__main__ import NAMES, main
from benchmarks.large_parts import Peak
from benchmarks.rendering import LENGTHS, run
from benchmarks.timing import WIDTH, Row, in_turn, medians, own_clock, table, timed
from tests.conftest import make_set
from vlm_tsc.answer.ask import ask
from vlm_tsc.answer.batch import encode_prompts
from vlm_tsc.answer.model import load_model
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.files import write_json


def test_rendering_compares_ours_the_peer_and_the_limit():
    result = run(quick=True)
    assert [row.what for row in result.rows] == [f"{LENGTHS[0]} points", f"{LENGTHS[-1]} points"]
    assert [row.target for row in result.rows] == [25, 8]
    for row in result.rows:
        assert min(row.ours, row.peer, row.limit) > 0
        assert row.ratio == row.peer / row.ours and row.limit_share == row.limit / row.ours
        assert row.verdict() in result.table
    assert max(map(len, str(result).splitlines())) <= WIDTH


def test_sides_are_measured_in_turn_and_each_takes_its_parts():
    seen: list[str] = []
    clock = iter(range(100))
    sides = {name: timed(seen.append, [name + "0", name + "1"], lambda _: 2, lambda: next(clock)) for name in "ab"}
    assert medians(in_turn(sides, rounds=2)) == {"a": 0.5, "b": 0.5}
    assert seen == ["a0", "b0", "a1", "b1"]


def test_a_ratio_below_its_target_is_marked():
    assert Row("x", ours=1.0, peer=30.0, limit=0.5, target=25).verdict() == "30.0x ≥ 25x"
    assert Row("x", ours=1.0, peer=20.0, limit=0.5, target=25).verdict() == "20.0x BELOW 25x"


def test_columns_are_aligned():
    assert table(("a", "bb"), [("ccc", "d")]) == "a    bb\n───────\nccc   d"


def test_without_its_peer_the_finetune_benchmark_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = finetune.run(quick=True)
    assert "pip install trl" in str(result) and not result.rows
    assert max(map(len, str(result).splitlines())) <= WIDTH


PICTURES = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY"), (32, 32))


@pytest.mark.parametrize("change", [ways.every_logit, ways.cached_tower, ways.fused_attention])
def test_a_way_that_shall_compute_the_same_does(tiny_base, change):
    shown = [PICTURES.show(case) for case in make_set(4, 0).X]
    model, processor = load_model(tiny_base)
    before = ask(model, processor, shown, ("A", "B"), batch_size=2).probabilities
    change(model, processor)
    for _ in range(2):  # the second time from what was cached
        after = ask(model, processor, shown, ("A", "B"), batch_size=2).probabilities
        assert after == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("change", [ways.merged_tokens, ways.dropped_tokens])
def test_a_way_with_fewer_image_tokens_has_a_quarter_of_them(tiny_base, change):
    shown = [PICTURES.show(case) for case in make_set(4, 0).X]
    model, processor = load_model(tiny_base)

    def tokens() -> int:
        return int((encode_prompts(processor, shown)["input_ids"] == model.config.image_token_id).sum())

    assert tokens() == 4 * 16
    before = ask(model, processor, shown, ("A", "B"), batch_size=4).probabilities
    change(model, processor)
    assert tokens() == 4 * 4
    assert (ask(model, processor, shown, ("A", "B"), batch_size=4).probabilities != before).any()


def test_where_nothing_can_be_compiled_the_table_says_so(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    why = ways.why_not_compiled()
    assert why is not None and "needs a C++ compiler on a CPU, and no-such-compiler is not here" in why
    plain = training_ways.Figures(seconds=0.1, loss=0.5, accuracy=0.75, log_loss=0.6)
    found = {name: [plain] for name in training_ways.WAYS} | {"compiled": [why]}
    text = training_ways.shown(found | {"logits of every token": [replace(plain, seconds=0.2)]})
    assert "0.50x" in text and text.splitlines()[-1] == f"compiled: {why}"
    assert max(map(len, text.splitlines()[:-1])) <= WIDTH


@pytest.mark.long
def test_every_way_is_measured():
    rows = [*training_ways.run(quick=True).rows, *scoring_ways.run(quick=True).rows]
    assert {name for name, _ in rows} >= {*training_ways.WAYS, *scoring_ways.WAYS} - {"compiled"}


def test_a_study_runs_every_set_command_and_seed_once():
    study = studies.Study(("A", "B"), (0, 1), (("train.py", "--data-repr", "X"), ("train.py",)))
    runs = list(studies.commands_of(study))
    assert len(runs) == len(set(map(tuple, runs))) == 8
    assert runs[0] == ["train.py", "--data-repr", "X", "--dataset", "A", "--seed", "0"]
    development = studies.STUDIES["development"]
    assert list(studies.commands_of(development, ["Wine", "Nowhere"])) == [
        ["train.py", "--dataset", "Wine", "--seed", "0"]
    ]
    assert len(set(development.sets)) == 20


def test_what_comes_before_a_study_is_run_once_or_once_a_seed():
    har, masked = studies.STUDIES["har"], studies.STUDIES["masked"]
    assert [words[-3:] for words in studies.before_of(har)] == [
        [f"timemae-{seed}", "--seed", str(seed)] for seed in har.seeds
    ]
    encoders = {words[words.index("--encoder") + 1] for words in studies.commands_of(har)}
    assert encoders == {f"{{root}}/runs/pretrain/timemae-{seed}/encoder" for seed in har.seeds}
    (before,) = studies.before_of(masked)
    left_out = before[before.index("--exclude") + 1].split(",")
    assert set(masked.sets) < set(left_out)


def finished(root, dataset, run, **facts):
    folder = root / "runs" / dataset / run
    usual = {"dataset": dataset, "base": None, "balanced_accuracy": 0.5, "n_train": 9, "n_validation": 0}
    usual |= {"class_names": ["a", "b"], "train_seconds": 60.0, "seed": 0, "macro_f1": 0.5, "commit": "abc"}
    write_json(folder / "metrics.json", usual | facts)


def test_parity_stands_beside_the_published_accuracies(tmp_path):
    from vlm_tsc.evaluate import published

    sizes = {"Coffee": 28, "GunPoint": 150}
    known = {name: published(name, "official", n)["InceptionTime"] for name, n in sizes.items()}
    for name, off in (("Coffee", 0.0), ("GunPoint", -0.06)):
        facts = {"split": "official", "classifier": "inception-time", "n_cases": sizes[name]}
        finished(tmp_path, name, "inception-time", accuracy=known[name] + off, **facts)
        finished(tmp_path, name, "inception-time-search", accuracy=0.1, **facts)
    text = study_tables.parity(tmp_path, ("Coffee", "GunPoint", "Plane"))
    assert "mean difference over 2 sets -0.0300: NOT within 0.01" in text
    assert "largest deviation 0.0600: NOT within 0.04" in text and "60 s" in text
    assert "nothing to compare" in study_tables.parity(tmp_path, ("Plane",))


def test_the_pre_trained_encoder_stands_beside_fresh_weights_and_dtw(tmp_path):
    pooled = {"split": "pooled", "n_cases": 9}
    for dataset, gain in (("Coffee", 0.1), ("Plane", 0.2)):
        for seed in (0, 1):
            for label, share in (("mae-sets-1a2b", 0.7 + gain), ("fresh", 0.7)):
                facts = {"classifier": "masked-transformer", "encoder": label, "linear": False, "seed": seed}
                finished(tmp_path, dataset, f"{label}-{seed}", accuracy=share + 0.02 * seed, **facts, **pooled)
        finished(tmp_path, dataset, "1nn-dtw-pooled", classifier="1nn-dtw", accuracy=0.75, **pooled)
    text = study_tables.masked(tmp_path, ("Coffee", "Plane", "Beef"))
    assert "mean of 2           0.8600           0.7100   0.7500" in text
    assert "0.8100 ± 0.0141" in text, "Coffee, over seeds"
    assert "against fresh: +0.1500, above" in text and "against 1NN-DTW: +0.1100, above" in text
    assert "pooled 60/20/20" in text


def test_linear_evaluation_on_har_is_a_mean_over_seeds_beside_what_is_promised(tmp_path):
    for seed, share in ((0, 0.91), (1, 0.93)):
        facts = {"classifier": "masked-transformer", "encoder_task": "timemae", "linear": True, "split": "official"}
        finished(tmp_path, "HAR", f"run-{seed}", seed=seed, accuracy=share, macro_f1=share, n_cases=9, **facts)
    text = study_tables.har(tmp_path, ("HAR",))
    assert "mean of 2     0.9200 ± 0.0141  0.9200 ± 0.0141" in text and "rebuilt" in text and "0.913" in text


def test_a_study_whose_pre_training_failed_is_not_gone_on_with(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(accuracy, "_ran", lambda command, *_: ran.append(command) or "vlm_tsc.pretrain" not in command)
    assert accuracy._run(studies.STUDIES["har"], None, tmp_path) == 3 == len(ran)


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="two cores are needed")
def test_side_by_side_each_command_has_its_share_of_the_cores_and_trainings_of_a_set_follow_each_other(
    tmp_path, monkeypatch
):
    ran, both = [], Barrier(2)

    def run(command, dataset, _):
        if command[-1] == "0":
            both.wait(60)  # which only ends where two sets are under way at once
        ran.append((dataset, command[-1], frozenset(os.sched_getaffinity(0))))
        return dataset == "A"

    monkeypatch.setattr(accuracy, "_ran", run)
    assert accuracy._run(studies.Study(("A", "B"), (0, 1)), None, tmp_path, jobs=2) == 2
    of = {name: [one[1:] for one in ran if one[0] == name] for name in "AB"}
    assert [[seed for seed, _ in runs] for runs in of.values()] == [["0", "1"]] * 2
    first, second = ({cores for _, cores in runs} for runs in of.values())
    assert len(first) == len(second) == 1 and not set.union(*map(set, first)) & set.union(*map(set, second))


def test_without_a_gpu_the_large_base_is_not_measured(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = large.run()
    assert "no GPU" in str(result) and not result.rows


@pytest.mark.long
def test_every_part_of_the_large_benchmark_runs_on_a_tiny_replica():
    pytest.importorskip("trl", reason="TRL is not installed: it is no dependency")
    trained, scored, *_ = large.run(quick=True).rows  # then, on a GPU, the peaks
    assert min(trained.ours, trained.peer, scored.ours, scored.peer) > 0


# What a machine for one GPU measurement may lack: all that neither loads nor trains a model.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        return None if name.split(".")[0] in sys.argv[1].split(",") else super().find_spec(name, *rest)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from benchmarks import large
sys.exit(large.main(sys.argv[2:]))
"""


@pytest.mark.long
def test_the_large_benchmark_needs_neither_its_peer_nor_what_loads_no_model(tmp_path):
    lacking = "trl,datasets,aeon,deepspeed,mlflow,optuna,wandb,tensorboard,fastapi,uvicorn,tsdownsample"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, lacking, "--quick", "--output", str(tmp_path / "found.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    trained, scored = json.loads((tmp_path / "found.json").read_text())["parts"]
    assert min(trained["row"]["ours"], trained["row"]["limit"], scored["row"]["ours"]) > 0
    assert "of the peak" in trained["text"] and "SFTTrainer" not in trained["text"]


def test_a_part_that_fails_does_not_lose_the_others(capsys):
    def failing(error: Exception):
        def part():
            raise error

        return part

    too_large = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")
    told = "first: out of memory (CUDA out of memory. Tried to allocate)"
    assert large.attempt("first", failing(too_large)) == (told, None)
    assert large.attempt("first", failing(ImportError("no bits")))[0] == "first: not measured (no bits)"
    assert "FAILED (ValueError: odd)" in large.attempt("first", failing(ValueError("odd")))[0]
    assert large.attempt("second", lambda: ("text", 1)) == ("text", 1)
    assert "ValueError: odd" in capsys.readouterr().err, "with its traceback"


def test_parts_are_written_as_they_come_and_none_begins_too_late(tmp_path, capsys):
    report = large._Report(100.0, tmp_path / "found.json")
    report.measure("peak", lambda: ("1 GB", Peak("lora", 1e9, 1.05e9)))
    report.seconds = -1.0
    report.measure("scoring", lambda: pytest.fail("begun"))
    first, second = json.loads((tmp_path / "found.json").read_text())["parts"]
    assert first == {"what": "peak", "text": "1 GB", "row": {"what": "lora", "measured": 1e9, "estimated": 1.05e9}}
    assert second["row"] is None and "not begun" in second["text"] and "1 GB" in capsys.readouterr().err


def test_a_steady_jobs_seconds_are_between_its_losses():
    lines = [{"loss": 2.0}, {"loss": 1.0}, {"train_runtime": 600.0}]
    marks = [(10, 100.0), (30, 160.0)]
    job = SimpleNamespace(steady=True, batch=3, cases=90)
    assert finetune_sides._logged(job, lines, marks) == (1.0, [2.0, 1.0])
    assert finetune_sides._logged(SimpleNamespace(**vars(job) | {"steady": False}), lines, marks)[0] == 600 / 90


def test_on_one_thread_of_a_cpu_other_work_is_not_counted(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for threads, clock in ((1, time.process_time), (2, time.perf_counter)):
        monkeypatch.setattr("torch.get_num_threads", lambda n=threads: n)
        assert own_clock() is clock


@pytest.mark.long
def test_inception_time_is_measured_against_its_members_in_turn():
    rows = inception_time.run(quick=True).rows
    assert [row.what for row in rows][:3] == ["together", "in turn", "Conv1d"]
    assert min(row.seconds for row in rows) > 0


def test_an_unknown_benchmark_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["speed"])
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)


def test_the_endpoint_answers_as_batch_prediction_does_under_load():
    result = serve.run(quick=True)
    (row,) = result.rows
    assert (row.n, row.errors, row.other_labels) == (64, 0, 0)
    assert min(row.memory_mb) > 0 and row.verdict() in result.table
    assert replace(row, memory_mb=(300.0, 300.0, 321.0)).verdict() == "NOT AS PROMISED"
    assert max(map(len, str(result).splitlines())) <= WIDTH


def test_the_explorer_is_looked_at_page_by_page():
    result = explore.run(quick=True)
    (row,) = result.rows
    assert 0 < row.median <= row.slowest and row.first > 0 and row.memory_mb > 0
    assert replace(row, first=2.1).cells()[1][2] == "ABOVE 2 s" and row.cells()[1][2] in result.table
    assert max(map(len, str(result).splitlines())) <= WIDTH


def test_a_start_is_measured_in_fresh_processes_and_the_last_row_has_the_aim():
    first, last = startup.started({"nothing": "pass", "work": "sum(range(10**7))"}, rounds=1)
    assert first.aim is None and last.aim == startup.AIM
    assert 0 < first.processor < last.processor and first.clock > 0
    assert replace(last, clock=2.1).cells()[-1] == "ABOVE 2 s" and replace(last, clock=1.9).cells()[-1] == "≤ 2 s"
