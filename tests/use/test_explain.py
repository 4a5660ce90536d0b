"""`python -m vlm_tsc.use.explain` on a finished run: what is asked, what is written, what is refused."""

from __future__ import annotations

import copy
import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vlm_tsc.answer.members import Members
from vlm_tsc.archive.store import read_splits
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.run import RunFolder
from vlm_tsc.use import explain
from vlm_tsc.use.beside import refuse_replacing
from vlm_tsc.use.case_map import map_case
from vlm_tsc.use.class_maps import averaged_maps, chosen_cases, over_shares
from vlm_tsc.use.occlusion import Window, covered
from vlm_tsc.use.scorer import open_scorer


@pytest.fixture
def run(a_run, tmp_path) -> RunFolder:
    """A copy, to write into."""
    shutil.copytree(a_run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture(scope="module")
def scorer(a_run):
    return open_scorer(a_run, eval_batch_size=3)


def command(run: RunFolder, *more: object) -> int:
    return explain.main([str(run.path), *map(str, more)])


def refused(capsys, run: RunFolder, *more: object) -> str:
    capsys.readouterr()
    assert command(run, *more) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_the_scorer_is_the_classifier(a_run, scorer):
    X = read_splits(a_run.series).test.X
    found = scorer.log_likelihoods(list(X))
    shares = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    classifier = LlavaClassifier.load(a_run.path, {"views": 1, "precision": "fp32"})
    np.testing.assert_allclose(shares, classifier.predict_proba(X), atol=1e-5)
    assert (found < 0).all()
    np.testing.assert_array_equal(scorer.of_class("up")(list(X)), found[:, scorer.class_names.index("up")])


def test_a_case_is_mapped_by_showing_it_without_each_window(run, scorer, capsys):
    assert command(run, "--case", "test-00003") == 0
    said = capsys.readouterr().out
    assert "test-00003: class down" in said and "windows in" in said
    assert sorted(path.name for path in run.explanations.iterdir()) == [
        f"test-00003.{end}" for end in ("csv", "json", "svg")
    ]
    facts = json.loads((run.explanations / "test-00003.json").read_text())
    splits = read_splits(run.series)
    case = splits.test.X[3]
    of_class = scorer.of_class(str(splits.test.y[3]))
    whole = of_class([case])[0]
    assert facts["class"] == "down" and facts["log_likelihood"] == pytest.approx(whole, abs=1e-4)
    for window in facts["windows"][:: len(facts["windows"]) // 5]:
        changed = covered(
            case, Window(window["channel"] - 1, window["first"] - 1, window["last"], window["length"]), "interpolate"
        )
        shown, before = scorer.presentation.show(changed), scorer.presentation.show(case)
        assert shown.question != before.question and (shown.pictures[0] != before.pictures[0]).any()
        assert window["drop"] == pytest.approx(whole - of_class([changed])[0], abs=1e-4)


def test_the_table_has_the_series_and_its_map_and_the_figure_says_what_it_shows(run):
    assert command(run, "--case", "train-00001", "--fill", "mean", "--windows", "2") == 0
    case = read_splits(run.series).train.X[1]
    header, *rows = csv.reader((run.explanations / "train-00001.csv").read_text().splitlines())
    assert header == ["channel", "timepoint", "value", "drop"]
    np.testing.assert_array_equal([float(row[2]) for row in rows], case[0])
    assert [int(row[1]) for row in rows] == list(range(1, 31))
    figure = (run.explanations / "train-00001.svg").read_text()
    told = ("time (points)", "drop (nats)", "value", "train-00001 of mine", "orange speaks for the class")
    assert all(text in figure for text in told)
    facts = json.loads((run.explanations / "train-00001.json").read_text())
    assert facts["fill"] == "mean" and {one["length"] for one in facts["windows"]} == {8, 4}
    highest = max(rows, key=lambda row: float(row[3]))
    assert float(rows[facts["peak"]["timepoint"] - 1][3]) == pytest.approx(float(highest[3]))
    before = (run.explanations / "train-00001.svg").read_bytes()
    assert command(run, "--case", "train-00001", "--fill", "mean", "--windows", "2") == 0
    assert (run.explanations / "train-00001.svg").read_bytes() == before


def test_the_figure_goes_where_it_is_wanted(run, tmp_path):
    assert command(run, "--case", "test-00000", "--windows", "1", "--output", tmp_path / "map.png") == 0
    with Image.open(tmp_path / "map.png") as figure:
        assert figure.size[0] > 1000
    assert (tmp_path / "map.csv").exists() and not run.explanations.exists()


def test_the_mean_of_a_class_is_that_of_its_cases_maps(run, capsys):
    assert command(run, "--per-class", "--limit", "2", "--windows", "1") == 0
    said = capsys.readouterr().out
    assert "class down: 2 cases" in said and "class up: 2 cases" in said
    (file,) = run.explanations.glob("maps-test-*.jsonl")
    maps = {line["id"]: np.array(line["importance"]) for line in map(json.loads, file.read_text().splitlines())}
    test = read_splits(run.series).test
    ups = [id for id in maps if test.y[test.ids.index(id)] == "up"]
    header, *rows = csv.reader((run.explanations / "classes-test.csv").read_text().splitlines())
    drops = [float(row[header.index("drop")]) for row in rows if row[0] == "up"]
    np.testing.assert_allclose(drops, np.mean([maps[id][0] for id in ups], axis=0), atol=1e-12)
    assert json.loads((run.explanations / "classes-test.json").read_text())["n_cases"] == {"down": 2, "up": 2}
    assert "time (share of the length)" in (run.explanations / "classes-test.svg").read_text()


def test_interrupted_maps_go_on_and_a_higher_limit_adds_to_them(run, monkeypatch):
    assert command(run, "--per-class", "--limit", "2", "--windows", "1") == 0
    (file,) = run.explanations.glob("maps-test-*.jsonl")
    names = ("classes-test.svg", "classes-test.csv")
    whole, figures = file.read_bytes(), [(run.explanations / name).read_bytes() for name in names]
    file.write_bytes(whole[:-200])  # the last case's line is cut short
    assert command(run, "--per-class", "--limit", "2", "--windows", "1") == 0
    assert file.read_bytes() == whole
    assert [(run.explanations / name).read_bytes() for name in names] == figures
    assert command(run, "--per-class", "--limit", "3", "--windows", "1") == 0
    assert file.read_bytes().startswith(whole) and len(file.read_text().splitlines()) == 6
    assert command(run, "--per-class", "--limit", "1", "--windows", "1", "--fill", "mean") == 0
    assert len(list(run.explanations.glob("maps-test-*.jsonl"))) == 2  # of other windows: a file of its own


def test_cases_are_drawn_alike_each_time_and_lengths_share_one_axis(a_run):
    test = read_splits(a_run.series).test
    few, more = chosen_cases(test, 1), chosen_cases(test, 3)
    assert set(few) < set(more) and len(more) == 6
    np.testing.assert_allclose(over_shares(np.array([[0.0, 1.0]]))[0], np.linspace(0, 1, 101))
    ones = {id: np.ones((1, 101)) for id in test.ids}
    assert all((one.drop == 1).all() and (one.drop_sd == 0).all() for one in averaged_maps(test, more, ones))


def test_what_cannot_be_explained_is_refused_with_what_would_do(run, capsys, tmp_path):
    error = refused(capsys, run, "--case", "test-0004")
    assert "there is no such case" in error and "did you mean test-00004?" in error
    for typed, meant in {"test-3": "test-00003", "5": "test-00005", "train-0": "train-00000"}.items():
        assert f"did you mean {meant}?" in refused(capsys, run, "--case", typed)
    assert "--case ID for one case, or --per-class" in refused(capsys, run)
    assert "--case ID for one case, or --per-class" in refused(capsys, run, "--case", "test-00000", "--per-class")
    assert ".svg, .png, .pdf" in refused(capsys, run, "--case", "test-00000", "--output", tmp_path / "a.jpeg")
    assert "no such part" in refused(capsys, run, "--per-class", "--part", "validation")
    assert "no such run" in refused(capsys, RunFolder(tmp_path), "--case", "test-00000")
    assert "an option was expected" in refused(capsys, RunFolder(run.path), "second", "--case", "test-00000")
    shutil.rmtree(run.adapter)
    error = refused(capsys, run, "--case", "test-00000")
    assert "no adapter" in error and "train.py" in error
    assert not run.explanations.exists()


def test_numbers_beside_a_figure_replace_no_file_of_the_users(run, tmp_path, capsys):
    given = ("--case", "test-00000", "--windows", "1", "--output", tmp_path / "pumps.png")
    assert command(run, *given) == 0
    refuse_replacing(tmp_path / "pumps.png")  # its own files are written again
    for name in ("pumps.csv", "pumps.json"):
        ours = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text('{"mine": 1}')
        error = refused(capsys, run, *given)
        assert name in error and "another --output" in error
        assert (tmp_path / name).read_text() == '{"mine": 1}'
        (tmp_path / name).write_bytes(ours)


def test_the_answer_of_several_adapters_is_the_mean_of_their_probabilities(a_run, scorer):
    case = np.asarray(read_splits(a_run.series).test.X[0])
    sharper = copy.deepcopy(scorer.model)
    head = sharper.get_output_embeddings()
    head.weight.data *= 20
    both = replace(scorer, model=Members([scorer.model, sharper]))
    found = [replace(scorer, model=one).log_likelihoods([case])[0] for one in (scorer.model, sharper)]
    mean = np.mean([np.exp(one) / np.exp(one).sum() for one in found], axis=0)
    of_mean = np.exp(np.mean(found, axis=0)) / np.exp(np.mean(found, axis=0)).sum()
    assert np.abs(mean - of_mean).max() > 1e-3
    made = map_case(both, "test-00000", case, "up", 1, "mean")
    assert made.probability == pytest.approx(mean.max(), abs=1e-5)
