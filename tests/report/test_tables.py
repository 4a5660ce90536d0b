"""Tables and diagrams as files: one of each split, the figures of the page, and aeon's own tests."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import rankdata

from eval import report as entry
from tests.report.conftest import make_run
from tests.report.test_comparison import SETS, runs_on
from tests.report.test_table import made_run
from vlm_tsc.report import tables
from vlm_tsc.report.comparison import by_split, grid
from vlm_tsc.report.figures import draw_cost, draw_critical_differences, draw_pairwise
from vlm_tsc.report.tables import markdown, tidy

THREE = {"majority": 0.5, "1nn_ed": 0.9, "1nn_dtw": 0.8}
TITLES = {"majority class": "majority", "1NN-ED": "1nn_ed", "1NN-DTW": "1nn_dtw"}


def lines_of(text):
    """Cells of the first Markdown table's rows, by their first cell."""
    table = text[text.index("| dataset") :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_the_markdown_has_every_figure_and_the_mean_ranks():
    runs = runs_on(SETS, **THREE)
    text = markdown(grid(runs), runs)
    found = lines_of(text)
    names = found["dataset"]
    scores = np.array([[float(cell.strip("*")) for cell in found[name]] for name in SETS])
    for i, name in enumerate(names):
        expected = [THREE[TITLES[name]] - 0.01 * j for j in range(len(SETS))]
        np.testing.assert_allclose(scores[:, i], expected, atol=5e-4)
    np.testing.assert_allclose([float(cell) for cell in found["mean rank"]], rankdata(-scores, axis=1).mean(0))
    np.testing.assert_allclose([float(cell) for cell in found["mean accuracy"]], scores.mean(0), atol=6e-4)
    assert all(found[name][names.index("1NN-ED")].startswith("**") for name in SETS), "the best is bold"
    assert "3 methods on 8 datasets" in text and "Seeds: 0" in text


def test_published_figures_stand_apart_and_seeds_are_averaged():
    runs = [made_run(accuracy, seed=seed) for seed, accuracy in enumerate((0.8, 0.9))]
    measured, published = markdown(grid(runs), runs).split("## Published, official split")
    assert lines_of(measured)["ItalyPowerDemand"] == ["**0.850 ± 0.071**"]
    assert "HIVE-COTE 2" in lines_of(published)["dataset"] and "0.970" in lines_of(published)["ItalyPowerDemand"]
    assert "HIVE-COTE 2" not in measured


def test_commits_of_models_and_of_baselines_are_named():
    runs = [made_run(0.9, commit="a" * 40), made_run(0.6, "majority", commit="b" * 40)]
    assert "Commits: of the models aaaaaaa; of the baselines bbbbbbb." in markdown(grid(runs), runs)
    assert "Commits: of the baselines bbbbbbb." in markdown(grid(runs[1:]), runs[1:])


def test_the_csv_is_one_line_for_each_method_on_each_set():
    runs = [made_run(accuracy, seed=seed, dataset="Mine") for seed, accuracy in enumerate((0.8, 0.9))]
    rows = list(csv.DictReader(io.StringIO(tidy(grid([*runs, made_run(0.6, "majority", dataset="Mine")])))))
    assert [(row["method"], float(row["accuracy"]), row["seeds"], row["base"]) for row in rows] == [
        ("plot-llava-mini BASELINE", pytest.approx(0.85), "0 1", "plot-llava-mini"),
        ("majority class", 0.6, "0", ""),
    ]
    assert all(row["commits"] for row in rows)
    assert float(rows[0]["deviation"]) == pytest.approx(np.std([0.8, 0.9], ddof=1)) and rows[1]["deviation"] == ""


def test_splits_are_never_summed_up_together():
    found = by_split([made_run(0.5, split="pooled"), made_run(0.9), made_run(0.4, split="resample:3")])
    assert list(found) == ["official", "pooled", "resample:3"]
    assert [run["accuracy"] for run in found["pooled"]] == [0.5]


@pytest.mark.parametrize("draw", [draw_critical_differences, draw_pairwise, draw_cost])
def test_the_diagrams_are_drawn(draw, tmp_path):
    rng = np.random.default_rng(0)
    level = 0.8 + 0.05 * rng.normal(size=(12, 1))
    scores = level + np.array([0.1, 0.1, 0.0, -0.3]) + 0.01 * rng.normal(size=(12, 4))
    scores[:, 3] = scores[:, 0]  # equal on every set
    classifiers = ("1nn-ed", "1nn-dtw", "a classifier whose name is longer than forty characters", "majority")
    runs = [made_run(scores[i, j], classifiers[j], dataset=f"Set{i:02d}") for i in range(12) for j in range(4)]
    with Image.open(draw(grid(runs), tmp_path / "drawn.png")) as picture:
        assert min(picture.size) > 300 and len(set(picture.convert("L").tobytes())) > 2


def test_methods_that_are_all_equal_have_no_picture_of_pairs(tmp_path, monkeypatch):
    names = ("1nn-ed", "1nn-dtw", "majority")
    runs = [made_run(0.5 + i / 100, name, dataset=f"Set{i}") for i in range(6) for name in names]
    assert draw_pairwise(grid(runs), tmp_path / "pairs.png") is None
    monkeypatch.setattr(tables, "read_run", lambda i: runs[i])
    tables.write_tables(range(len(runs)), tmp_path)
    found = ["official-critical-differences.png", "official-time.png", "official.csv", "official.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == found
    assert "pairwise" not in (tmp_path / "official.md").read_text()


def test_the_command_writes_files_of_each_split(tmp_path, capsys):
    make_run(tmp_path / "runs")
    make_run(tmp_path / "runs", dataset="Other", split="resample:3")
    given = [str(tmp_path / "runs"), "--output", str(tmp_path / "page.html"), "--tables", str(tmp_path / "tables")]
    assert entry.main([*given, "--json"]) == 0
    names = [f"{split}{end}" for split in ("official", "resample-3") for end in ("-time.png", ".csv", ".md")]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == names
    assert len(json.loads(capsys.readouterr().out)["tables"]) == 6
    assert "needs at least 3 methods" in (tmp_path / "tables" / "official.md").read_text()
    page = (tmp_path / "page.html").read_text()
    assert "Methods and datasets, official split" in page and "Methods and datasets, resample:3 split" in page
