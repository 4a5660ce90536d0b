"""`python -m vlm_tsc.use.predict`: the classifier's own answers, whatever the format, the size or the interruption."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_set
from tests.use.conftest import LENGTH, write_table
from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier
from vlm_tsc.classify.saved import find_saved, load_classifier
from vlm_tsc.errors import InputError
from vlm_tsc.use import predict
from vlm_tsc.use.trained import Trained, trained_on

X = make_set(7, 5).X


def answered(path: Path) -> tuple[list[str], list[str], np.ndarray, list[str]]:
    """Names, labels, probabilities and header of an output."""
    header, *rows = csv.reader(path.read_text().splitlines())
    return [row[0] for row in rows], [row[1] for row in rows], np.array([row[2:] for row in rows], float), header


def command(run: Path, table: Path, output: Path, *more: str) -> int:
    return predict.main([str(run), "--input", str(table), "--output", str(output), *more])


def refused(capsys, *given) -> str:
    capsys.readouterr()
    assert command(*given) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.fixture(scope="module")
def expected(a_run):
    return LlavaClassifier.load(a_run.path).predict_proba(X)


def test_a_table_gets_the_answers_of_the_classifier(a_run, tmp_path, expected, capsys):
    assert command(a_run.path, write_table(tmp_path / "new.csv", X[:, 0]), tmp_path / "out.csv") == 0
    assert "7 cases answered" in (said := capsys.readouterr().out) and "cases/s" in said
    names, labels, probabilities, header = answered(tmp_path / "out.csv")
    assert header == ["case", "label", "p_down", "p_up"] and names == [str(i) for i in range(1, 8)]
    np.testing.assert_array_equal(probabilities, expected)
    assert labels == [["down", "up"][i] for i in expected.argmax(1)]


def test_a_run_answers_as_its_adapter_does_with_the_runs_views(a_run, expected):
    loaded = LlavaClassifier.load(a_run.adapter)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    one_view = LlavaClassifier.load(a_run.path, {"views": 1}).predict_proba(X)
    assert np.abs(one_view - expected).max() > 1e-7  # the run says 2
    assert type(load_classifier(a_run.path)) is LlavaClassifier


def test_an_adapter_far_from_its_run_knows_what_it_was_trained_on(a_run, tmp_path):
    shutil.copytree(a_run.adapter, tmp_path / "mine")
    assert trained_on(find_saved(tmp_path / "mine")) == Trained(1, LENGTH, LENGTH)
    assert trained_on(find_saved(a_run.adapter)) == trained_on(find_saved(a_run.path)) == Trained(1, LENGTH, LENGTH)


def test_killed_between_any_two_writes_it_ends_in_the_same_bytes(a_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "CHUNK", 2)
    table = write_table(tmp_path / "new.csv", X[:, 0])
    assert command(a_run.path, table, tmp_path / "whole.csv") == 0
    write_rows = predict._rows
    for survived in (0, 2):
        output, calls = tmp_path / f"killed-{survived}.csv", iter(range(9))

        def dies(*given, calls=calls, survived=survived):
            if next(calls) == survived:
                raise KeyboardInterrupt
            return write_rows(*given)

        with monkeypatch.context() as patch:
            patch.setattr(predict, "_rows", dies)
            assert command(a_run.path, table, output) == 130
        with output.open("ab") as file:
            file.write(b"5,up,0.1234")  # half a chunk, that a killed process had not noted
        capsys.readouterr()
        assert command(a_run.path, table, output) == 0
        assert (f"{2 * survived} of them before" in capsys.readouterr().out) == (survived > 0)
        assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_what_is_finished_is_not_done_again_and_nothing_else_is_overwritten(a_run, tmp_path, capsys, monkeypatch):
    table, other = write_table(tmp_path / "new.csv", X[:, 0]), write_table(tmp_path / "other.csv", X[1:, 0])
    output = tmp_path / "out.csv"
    assert command(a_run.path, table, output) == 0
    before = output.stat()
    monkeypatch.setattr(predict, "_loaded", lambda *_: pytest.fail("the model was loaded"))
    assert command(a_run.path, table, output) == 0
    assert "already" in capsys.readouterr().out and output.stat() == before
    error = refused(capsys, a_run.path, other, output)
    assert "another input" in error and "other.csv" in error and f"remove {output}" in error
    assert "another views" in refused(capsys, a_run.path, table, output, "--views", "1")
    run = tmp_path / "run"
    shutil.copytree(a_run.path, run)
    (run / "adapter" / "log.jsonl").write_text("")
    assert "another run" in refused(capsys, run, table, output)
    output.write_text(output.read_text() + "9,up,0,1\n")
    assert "was changed" in refused(capsys, a_run.path, table, output)
    (tmp_path / "mine.csv").write_text("a letter\n")
    assert "not written by this command" in refused(capsys, a_run.path, table, tmp_path / "mine.csv")
    assert "the same file" in refused(capsys, a_run.path, table, table)


REFUSED = {
    "a column of labels": ("a.csv", "".join("1," + ",".join("2" * LENGTH) + "\n" for _ in "12"), "column of labels"),
    "labels in words": ("a.tsv", "up\t" + "\t".join("2" * LENGTH) + "\n", "column of labels"),
    "too few columns": ("a.csv", "1,2,3\n", "3 columns"),
    "a shorter case": ("a.csv", ",".join("2" * LENGTH) + "\n" + ",".join("2" * (LENGTH - 1)) + ",\n", "line 2"),
    "two channels": ("a.ts", "@data\n" + ":".join([",".join("2" * LENGTH)] * 2) + ":up\n", "number of channels"),
    "another length": ("a.ts", "@classLabel false\n@data\n1,2,3\n", "3 timepoints"),
    "a missing value": ("a.csv", "NaN," + ",".join("2" * (LENGTH - 1)) + "\n", "--missing interpolate"),
    "a word in the last row": ("a.csv", (",".join("2" * LENGTH) + "\n") * 300 + ",".join("x" * LENGTH), "line 301"),
    "nothing": ("a.csv", "", "empty"),
    "no known format": ("a.xlsx", "1", "no known format"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_differs_from_the_training_series_is_refused_before_any_answer(a_run, tmp_path, capsys, case):
    name, text, says = REFUSED[case]
    (tmp_path / name).write_text(text)
    error = refused(capsys, a_run.path, tmp_path / name, tmp_path / "out.csv")
    assert says in error and name in error
    assert not (tmp_path / "out.csv").exists() and not (tmp_path / "out.csv.json").exists()


def test_all_that_is_wrong_with_the_command_line_is_told(capsys, tmp_path):
    assert predict.main(["--viewz", "2"]) == 2
    error = capsys.readouterr().err
    assert all(text in error for text in ("--input is missing", "--output is missing", "RUN is missing", "--views"))
    assert "no saved classifier" in refused(capsys, tmp_path, tmp_path / "a.csv", tmp_path / "b.csv")
    with pytest.raises(SystemExit):
        predict.main(["--help"])
    text = capsys.readouterr().out
    assert "python -m vlm_tsc.use.predict RUN" in text and max(map(len, text.splitlines())) <= 80


def test_a_folder_of_inception_time_is_answered_too(tmp_path, capsys):
    train = make_set(8, 0, n_channels=2)
    model = InceptionTimeClassifier(filters=2, depth=3, models=1, epochs=1).fit(train.X, train.y)
    model.save(tmp_path / "run" / "model")
    lines = ["sample,feature," + ",".join(f"x_{t}" for t in range(LENGTH))]
    lines += [
        f"s{i},c{c}," + ",".join(map(repr, row))
        for i, case in enumerate(train.X.tolist())
        for c, row in enumerate(case)
    ]
    table = tmp_path / "new.csv"
    table.write_text("\n".join(lines) + "\n")
    assert command(tmp_path / "run", table, tmp_path / "out.csv") == 0
    names, _, probabilities, _ = answered(tmp_path / "out.csv")
    assert names == [f"s{i}" for i in range(8)]  # what the file calls them
    np.testing.assert_array_equal(probabilities, model.predict_proba(train.X))
    error = refused(capsys, tmp_path / "run", table, tmp_path / "other.csv", "--views", "2")
    assert "vision-language" in error and "views" in error
    univariate = write_table(tmp_path / "one.csv", X[:, 0])
    assert "holds one channel" in refused(capsys, tmp_path / "run", univariate, tmp_path / "other.csv")


def test_a_folder_of_the_masked_transformer_is_answered_too(tmp_path, capsys):
    train = make_set(8, 0)
    model = MaskedTransformerClassifier(**MaskedTransformerClassifier._get_test_params()).fit(train.X, train.y)
    model.save(tmp_path / "run" / "model")
    assert trained_on(find_saved(tmp_path / "run")) == Trained(1, None, LENGTH)
    assert command(tmp_path / "run", write_table(tmp_path / "new.csv", train.X[:, 0]), tmp_path / "out.csv") == 0
    np.testing.assert_allclose(answered(tmp_path / "out.csv")[2], model.predict_proba(train.X), atol=1e-6)
    short = write_table(tmp_path / "short.csv", train.X[:, 0, 1:])
    assert "does not fit the run" in refused(capsys, tmp_path / "run", short, tmp_path / "other.csv")


def test_new_series_come_under_the_policies_of_the_run(tmp_path):
    assert Trained(1, 4, 4, lengths="pad").prepared(_part(3))[0].tolist() == [[0, 1, 2, 0]]
    assert Trained(1, 5, 5, lengths="resample").prepared(_part(3))[0].tolist() == [[0, 0.5, 1, 1.5, 2]]
    assert Trained(1, 2, 4).prepared(_part(3))[0].tolist() == [[0, 1, 2]]  # they differed in training too
    for trained in (Trained(1, 4, 4), Trained(1, 2, 2, lengths="pad"), Trained(1, 2, 2), Trained(2, 3, 3)):
        with pytest.raises(InputError):
            trained.prepared(_part(3))
    for lengths in ("keep", "pad", "resample"):
        assert Trained(None, None, None, lengths=lengths).prepared(_part(3))[0].tolist() == [[0, 1, 2]]


def _part(n_timepoints):
    from vlm_tsc.archive.part import Part

    return Part(Path("new.csv"), [np.arange(float(n_timepoints))[None]], [""], lines=[1])


def test_the_note_beside_the_output_says_what_it_is(a_run, tmp_path):
    assert command(a_run.path, write_table(tmp_path / "new.csv", X[:, 0]), tmp_path / "out.csv") == 0
    note = json.loads((tmp_path / "out.csv.json").read_text())
    assert (note["cases"], note["is_finished"]) == (7, True)
    assert note["size"] == (tmp_path / "out.csv").stat().st_size


def test_a_value_beyond_single_precision_is_refused_before_any_answer(a_run, tmp_path, capsys):
    cases = X[:, 0].copy()
    cases[3, 2] = 1e39
    error = refused(capsys, a_run.path, write_table(tmp_path / "new.csv", cases), tmp_path / "out.csv")
    assert "a value is too large" in error and "line 4" in error and not (tmp_path / "out.csv").exists()


def test_an_answer_that_is_no_number_is_not_written():
    class Overflown:
        def predict_proba(self, X):
            return np.array([[0.5, 0.5], [np.nan, np.nan]])

    with pytest.raises(InputError, match=r"new\.csv, case pump-7"):
        predict._rows(Overflown(), ["a", "b"], [("pump-6", X[0]), ("pump-7", X[1])], Path("new.csv"))


def test_the_note_replaces_nothing_of_the_users(a_run, tmp_path, capsys):
    (tmp_path / "results.json").write_text("mine")
    error = refused(capsys, a_run.path, write_table(tmp_path / "new.csv", X[:, 0]), tmp_path / "results")
    assert "results.json" in error and "another --output" in error
    assert (tmp_path / "results.json").read_text() == "mine" and not (tmp_path / "results").exists()


def test_the_check_of_the_input_shows_how_far_it_is(tmp_path, capsys, monkeypatch):
    from vlm_tsc import terminal

    monkeypatch.setattr(terminal, "shows_progress", lambda: True)
    monkeypatch.setattr(terminal, "DELAY", 0)
    assert predict.checked_input(write_table(tmp_path / "new.csv", X[:, 0]), Trained(1, LENGTH, LENGTH)) == 7
    assert "checking" in capsys.readouterr().err


def test_predict_says_what_it_did_as_json(a_run, tmp_path, capsys):
    table = write_table(tmp_path / "new.csv", X[:2, 0])
    assert command(a_run.path, table, tmp_path / "out.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"output": str(tmp_path / "out.csv"), "cases": 2}
