from __future__ import annotations

import json
import logging

import pytest
import yaml

from vlm_tsc.report import collect, table

BASELINES = ("1nn-ed", "1nn-dtw", "majority")


def made_run(accuracy, classifier="llava", *, seed=0, mode="BASELINE", base="plot-llava-mini", **changes):
    vlm = classifier == "llava"
    return {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy - 0.01,
        "macro_f1": accuracy - 0.02,
        "unparsed_rate": 0.0 if vlm else None,
        "accuracy_blank_image": 0.5 if vlm else None,
        "train_seconds": 75.0,
        "n_cases": 1029,
        "n_train": 67,
        "n_validation": 0,
        "dataset": "ItalyPowerDemand",
        "split": "official",
        "seed": seed,
        "base": base if vlm else None,
        "data_repr": mode if vlm else None,
        "classifier": classifier,
        "commit": "0123456789",
        "class_names": ["1", "2"],
        "warnings": [],
        "answers": "score",
        "run": "r",
        "settings": {},
    } | changes


def line_with(text, word):
    return next(line for line in text.splitlines() if line.startswith(word))


def test_everything_that_an_accuracy_needs_stands_above_it():
    text = table([made_run(0.94), made_run(0.95, "1nn-ed")])
    heading = text.split("─")[0]
    facts = "ItalyPowerDemand, official split, 67 train, 1029 test, 2 classes, plot-llava-mini, seed 0, 0123456"
    for fact in facts.split(", "):
        assert fact in heading


def test_the_model_comes_first_and_the_best_is_marked():
    text = table([made_run(0.95, "1nn-ed"), made_run(0.51, "majority"), made_run(0.942), made_run(0.96, "1nn-dtw")])
    order = ["plot-llava-mini BASELINE", "1NN-DTW", "1NN-ED", "majority class"]
    assert [name for line in text.splitlines() if (name := line.split("  ")[0]) in order] == order
    assert [line for line in text.splitlines() if "0.960*" in line] == [line_with(text, "1NN-DTW")]


def test_seeds_are_one_row_with_mean_and_deviation():
    runs = [made_run(accuracy, seed=seed) for seed, accuracy in enumerate((0.94, 0.95, 0.96))]
    text = table([*runs, made_run(0.9, mode="WITH_STATS")])
    assert "0.950* ± 0.010" in line_with(text, "plot-llava-mini BASELINE")
    assert "±" not in line_with(text, "plot-llava-mini WITH_STATS")
    assert "seeds 0, 1, 2" in text


def test_a_seed_that_was_run_twice_counts_once_and_other_settings_are_another_row():
    text = table([made_run(0.5), made_run(0.9)])
    assert "0.900*" in text and "±" not in text and "0.500*" not in text
    text = table([made_run(0.5, run="first"), made_run(0.9, run="second", settings={"lora_r": 8})])
    assert "0.500" in line_with(text, "first") and "0.900*" in line_with(text, "second")


def test_splits_are_never_mixed():
    runs = [made_run(0.9, split="pooled"), made_run(0.3), made_run(0.2, n_cases=1000, split="pooled")]
    text = table(runs, {"HIVE-COTE 2": 0.97})
    assert "pooled split" in text and "0.300" not in text and "0.200" not in text
    assert "left out: 2" in text
    assert "published" not in text and "HIVE-COTE" not in text


def test_published_accuracies_stand_in_their_own_block():
    text = table([made_run(0.94)], {"HIVE-COTE 2": 0.9699, "InceptionTime": 0.966})
    before, after = text.split("── published, official split ")
    assert "HIVE-COTE 2" in after and "HIVE-COTE 2" not in before
    column = line_with(text, "plot-llava-mini").index("0.940")
    assert line_with(text, "HIVE-COTE 2").index("0.970") == column


def test_eighty_columns_whatever_the_names_and_notes_unbroken():
    runs = [made_run(0.9 + seed / 100, seed=seed, base="someone/a-very-long-name-of-a-checkpoint") for seed in range(3)]
    runs += [made_run(0.2, mode="TEXT_ONLY", warnings=["99.1 % of the answers are '1'; " * 3])]
    runs += [made_run(0.95, "1nn-ed", n_train=80)]
    note = "python eval/baselines.py 1nn-dtw --dataset " + "x" * 80
    lines = table(runs, {"HIVE-COTE 2": 0.97}, notes=[note]).splitlines()
    assert max(map(len, lines[:-1])) <= 80 and lines[-1] == note
    assert any(line.startswith("warning: plot-llava-mini TEXT_ONLY: 99.1 %") for line in lines)
    assert any("train on the validation cases too" in line for line in lines)
    assert any("…" in line and line.split()[0].startswith("a-very") for line in lines)


def test_baselines_of_another_commit_are_said():
    runs = [made_run(0.94, commit="a" * 40), made_run(0.95, "1nn-ed", commit="b" * 40)]
    assert "commit aaaaaaa" in table(runs) and "the baselines are of commit bbbbbbb" in table(runs)
    assert "the baselines are of" not in table([runs[0], made_run(0.95, "1nn-ed", commit="a" * 40)])
    assert "commit bbbbbbb" in table(runs[1:])


def test_columns_that_no_row_has_are_left_out_and_missing_figures_are_dashes():
    text = table([made_run(0.95, name) for name in BASELINES])
    assert "picture" not in text and "unparsed" not in text and "–" not in text
    assert "–" in line_with(table([made_run(0.9), made_run(0.95, "1nn-ed")]), "1NN-ED")


@pytest.mark.parametrize(
    ("seconds", "says"), [(0.04, "0.0 s"), (52.4, "52 s"), (210, "210 s"), (900, "15 min"), (7200, "2.0 h")]
)
def test_durations(seconds, says):
    assert table([made_run(0.9, train_seconds=seconds)]).count(says) == 1


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="at least one run"):
        table([])


def write_run(folder, run, settings):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(run), encoding="utf-8")
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def test_collect_reads_the_finished_runs_of_a_split(tmp_path, caplog):
    written = {key: value for key, value in made_run(0.94).items() if key not in ("run", "settings")}
    write_run(tmp_path / "a", written, {"seed": 0, "lora_r": 8, "run_name": "a"})
    write_run(tmp_path / "b", written | {"seed": 1, "accuracy": 0.96}, {"seed": 1, "lora_r": 8, "run_name": "b"})
    write_run(tmp_path / "c", written | {"split": "pooled"}, {})
    (tmp_path / "unfinished").mkdir()
    write_run(tmp_path / "broken", {}, {})
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "metrics.json").write_text('{"accuracy": 0.', encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        runs = collect(tmp_path, "official")
    assert sorted(run["run"] for run in runs) == ["a", "b"]
    assert all(run["settings"] == {"lora_r": 8} for run in runs)
    assert "torn" in caplog.text and "broken" in caplog.text
    assert "0.950* ± 0.014" in table(runs)
    assert collect(tmp_path / "absent", "official") == []
