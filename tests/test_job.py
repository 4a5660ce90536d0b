"""The main job from end to end, on a tiny base: what is written, what is done again, and what nothing depends on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import dataset
import train
from tests.conftest import make_set
from vlm_tsc import job
from vlm_tsc.archive.store import read_splits
from vlm_tsc.config import load_settings
from vlm_tsc.conversation.rationale import with_lead
from vlm_tsc.conversation.records import images_of, read_records
from vlm_tsc.finetune import session
from vlm_tsc.finetune.adapter import base_hash
from vlm_tsc.finetune.checkpoints import last_whole_checkpoint
from vlm_tsc.job import presentation_of
from vlm_tsc.manifest import begin_stage
from vlm_tsc.representation import analysis_text
from vlm_tsc.representation.png import read_png
from vlm_tsc.run import RunFolder

FAST = ["--num-epochs", "0.5", "--batch-size", "4", "--baselines", "none", "--precision", "fp32"]


def write_sets(folder: Path, train_set, test_set) -> list[str]:
    for name, cases in (("mine.npz", train_set), ("test.npz", test_set)):
        np.savez(folder / name, X=cases.X, y=cases.y)
    return ["--dataset", str(folder / "mine.npz"), "--test", str(folder / "test.npz"), "--vlm-root", str(folder)]


def only_run(folder: Path) -> RunFolder:
    (found,) = (folder / "runs").glob("*/*")
    return RunFolder(found)


def test_the_job_writes_what_it_says_and_does_nothing_twice(tiny_base, tmp_path, capsys):
    given = [*write_sets(tmp_path, make_set(12, 0), make_set(10, 1)), "--base", str(tiny_base)]
    assert dataset.main(given) == 0
    text = capsys.readouterr().out
    assert "down" in text and "every value" in text and "tokens a case" in text
    assert train.main([*given, *FAST]) == 0
    assert "blank" in capsys.readouterr().out
    runs = sorted((tmp_path / "runs" / "mine").iterdir())
    run = RunFolder(runs[-1] if (runs[-1] / "metrics.json").exists() else runs[0])
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        *("config.yaml", "manifest.json", "series.npz", "images", "train.json", "test.json"),
        *("adapter", "predictions.jsonl", "metrics.json", "report.html"),
    }
    metrics = json.loads(run.metrics.read_text())
    assert metrics["n_cases"] == 10 and metrics["split"] and metrics["commit"] and metrics["seed"] == 0
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.name != "config.yaml"}
    assert train.main([*given, *FAST]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.name != "config.yaml"}


def test_other_trainers_formats_are_written_beside_and_go_when_they_are_stale(tiny_base, tmp_path):
    given = [*write_sets(tmp_path, make_set(6, 0), make_set(4, 1)), "--base", str(tiny_base), "--run-name", "r"]
    assert dataset.main([*given, "--formats", "sharegpt,vicuna"]) == 0
    run = only_run(tmp_path)
    for name in ("sharegpt", "vicuna"):
        assert len(json.loads((run.path / name / "train.json").read_text())) == 6
        assert len(json.loads((run.path / name / "test.json").read_text())) == 4
    written = json.loads((run.path / "sharegpt" / "train.json").read_text())
    assert all((run.path / image).is_file() for record in written for image in record["images"])
    assert dataset.main([*given, "--data-repr", "TEXT_ONLY"]) == 0
    assert not (run.path / "sharegpt").exists()


def test_the_data_on_disk_are_the_presentation_of_the_series(tiny_base, tmp_path):
    given = write_sets(tmp_path, make_set(6, 0, n_channels=2), make_set(4, 1, n_channels=2))
    assert dataset.main([*given, "--base", str(tiny_base), "--data-repr", "WITH_STATS"]) == 0
    run = only_run(tmp_path)
    presentation, splits = presentation_of(run), read_splits(run.series)
    for path, cases in ((run.train, splits.train), (run.test, splits.test)):
        records = read_records(path, images_in=run.path)
        assert [record["id"] for record in records] == list(cases.ids)
        for record, case, label in zip(records, cases.X, cases.y, strict=True):
            shown = presentation.show(case)
            assert record["conversations"][0]["value"] == shown.question
            assert presentation.builder.answer_map.label_of(record["conversations"][1]["value"]) == label
            np.testing.assert_array_equal(read_png(run.path / images_of(record)[0]), shown.pictures[0])


@pytest.mark.parametrize("mode", ["WITH_SIGNAL_ANALYSIS", "WITH_RATIONALE"])
def test_what_was_measured_stands_in_the_question_or_in_the_answer(tiny_base, tmp_path, mode):
    given = [*write_sets(tmp_path, make_set(6, 0), make_set(4, 1)), "--base", str(tiny_base), "--data-repr", mode]
    assert dataset.main(given) == 0
    run = only_run(tmp_path)
    presentation, splits = presentation_of(run), read_splits(run.series)
    for path, cases in ((run.train, splits.train), (run.test, splits.test)):
        for record, case, label in zip(read_records(path), cases.X, cases.y, strict=True):
            human, gpt = (turn["value"] for turn in record["conversations"])
            shown, letter = presentation.show(case), {"down": "A", "up": "B"}[label]
            assert human == shown.question and gpt == with_lead(shown.lead, letter)
            assert (analysis_text(case) in human) == (mode == "WITH_SIGNAL_ANALYSIS")
            assert (analysis_text(case) in gpt) == (mode == "WITH_RATIONALE")
            assert f"Answer: {letter}" not in human


@pytest.mark.parametrize("pictures", ["line,differences", "spectrogram,gasf,stack,recurrence"])
def test_several_pictures_of_a_case(tiny_base, tmp_path, pictures):
    given = [*write_sets(tmp_path, make_set(8, 0), make_set(4, 1)), "--base", str(tiny_base)]
    assert train.main([*given, *FAST, "--pictures", pictures]) == 0
    run = only_run(tmp_path)
    presentation, test = presentation_of(run), read_splits(run.series).test
    for record, case in zip(read_records(run.test, images_in=run.path), test.X, strict=True):
        assert record["conversations"][0]["value"].startswith(
            "<image>\n" * (pictures.count(",") + 1) + "The plots show"
        )
        for path, picture in zip(images_of(record), presentation.pictures(case), strict=True):
            np.testing.assert_array_equal(read_png(run.path / path), picture)
    drawn = presentation.pictures(test.X[0])
    assert len({picture.tobytes() for picture in drawn}) == len(drawn)


def test_an_interrupted_data_stage_ends_in_the_same_bytes(tiny_base, tmp_path, monkeypatch):
    from vlm_tsc.conversation import prepare

    folders = []
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
        folders.append(tmp_path / name)
    given = [[*write_sets(f, make_set(6, 0), make_set(4, 1)), "--base", str(tiny_base)] for f in folders]
    assert dataset.main(given[0]) == 0
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(prepare, "write_records", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        dataset.main(given[1])
    half = next((only_run(folders[1]).images).glob("*.png"))
    half.write_bytes(half.read_bytes()[:50])  # as a power cut may leave it
    assert dataset.main(given[1]) == 0
    runs = [only_run(folder) for folder in folders]
    for path in sorted(runs[0].path.rglob("*")):
        if path.is_file() and path.name not in ("config.yaml", "manifest.json"):
            assert path.read_bytes() == (runs[1].path / path.relative_to(runs[0].path)).read_bytes(), path.name


@pytest.mark.parametrize("mode", ["IMAGE_ONLY", "WITH_SIGNAL_ANALYSIS", "WITH_RATIONALE"])
def test_nothing_depends_on_the_test_labels(tiny_base, tmp_path, mode):
    found = []
    for name in ("as they are", "permuted"):
        folder = tmp_path / name
        folder.mkdir()
        test = make_set(10, 1)
        if name == "permuted":
            test.y[:] = np.roll(test.y, 1)
        given = [*write_sets(folder, make_set(12, 0), test), "--base", str(tiny_base), "--run-name", "r"]
        assert train.main([*given, *FAST, "--data-repr", mode]) == 0
        run = only_run(folder)
        lines = [json.loads(line) for line in run.predictions.read_text().splitlines()]
        found.append((load_file(run.adapter / "adapter_model.safetensors"), lines))
    weights, answers = zip(*found, strict=True)
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    keys = ("id", "predicted", "probabilities", "generated")
    assert [[line[key] for key in keys] for line in answers[0]] == [[line[key] for key in keys] for line in answers[1]]
    assert [line["true"] for line in answers[0]] != [line["true"] for line in answers[1]]


@pytest.mark.parametrize("what", ["TEXT_ONLY", "IMAGE_ONLY", "30 classes", "unequal lengths", "seeds"])
def test_other_kinds_of_data(tiny_base, tmp_path, capsys, what):
    options, train_set, test_set = [], make_set(12, 0), make_set(6, 1)
    if what == "30 classes":
        wide = [make_set(60, seed) for seed in (0, 1)]
        for cases in wide:
            cases.y.setflags(write=True)
        labels = np.array([f"kind {i % 30}" for i in range(60)])
        train_set, test_set = (
            type(cases)(cases.X, labels, tuple(sorted(set(labels))), cases.name, cases.ids) for cases in wide
        )
        options = ["--context-length", "400"]
    elif what == "seeds":
        options = ["--seeds", "0,1"]
    elif what != "unequal lengths":
        options = ["--data-repr", what]
    given = write_sets(tmp_path, train_set, test_set)
    if what == "unequal lengths":
        for name, cases in (("mine.npz", train_set), ("test.npz", test_set)):
            X = cases.X.copy()
            X[::2, :, -7:] = np.nan  # ends a shorter series
            np.savez(tmp_path / name, X=X, y=cases.y)
    assert train.main([*given, "--base", str(tiny_base), *FAST, *options]) == 0
    runs = sorted((tmp_path / "runs").glob("*/*/metrics.json"))
    assert len(runs) == (2 if what == "seeds" else 1)
    assert ("±" in capsys.readouterr().out) == (what == "seeds")
    blank = json.loads(runs[0].read_text())["accuracy_blank_image"]
    assert (blank is None) == (what == "TEXT_ONLY")


@pytest.mark.parametrize("resume", [True, False])
def test_other_ranks_begin_when_the_first_has_removed_old_progress(tiny_base, tmp_path, monkeypatch, resume):
    given = [*write_sets(tmp_path, make_set(6, 0), make_set(4, 1)), "--base", str(tiny_base)]
    assert dataset.main(given) == 0
    run = only_run(tmp_path)
    settings = load_settings(run.config).model_copy(update={"resume": resume})
    expected = job._training_hash(settings, run, 0, base_hash(tiny_base))
    begin_stage(run, "training", "of other settings" if resume else expected)
    state = run.checkpoints / "checkpoint-1" / "trainer_state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"global_step": 1}')
    found: list[Path | None] = []
    monkeypatch.setattr(session, "finetune_with", lambda *_, **__: found.append(last_whole_checkpoint(run.checkpoints)))
    monkeypatch.setenv("RANK", "1")
    other = threading.Thread(target=job.finetune, args=(settings, run, 0), daemon=True)
    other.start()
    other.join(2)
    assert not found and other.is_alive()
    job._forget_progress(run)
    begin_stage(run, "training", expected)
    other.join(20)
    assert found == [None]


def test_searched_settings_are_those_of_the_run_and_the_test_part_has_no_say(tiny_base, tmp_path, monkeypatch):
    given = [*write_sets(tmp_path, make_set(8, 0), make_set(4, 1)), "--base", str(tiny_base), *FAST, "--search", "2"]
    assert train.main(given) == 0
    run = only_run(tmp_path)
    facts = json.loads((run.path / "search.json").read_text())
    settings = load_settings(run.config)
    assert "search" in run.path.name and len(facts["trials"]) == 2 and sum(facts["held_out"]) == 8
    assert {name: getattr(settings, name) for name in facts["chosen"]} == facts["chosen"]
    best = min(facts["trials"], key=lambda trial: trial["log_loss"])
    assert facts["chosen"].items() <= best.items()

    def refused(*_):
        raise AssertionError("a finished trial is done again")

    monkeypatch.setattr("vlm_tsc.evaluate.cross_validation.one_fold", refused)
    test = make_set(4, 1)
    np.savez(tmp_path / "test.npz", X=test.X, y=test.y[::-1])  # other answers: the run is stale, the search is not
    assert train.main(given) == 0
    assert json.loads((only_run(tmp_path).path / "search.json").read_text()) == facts
