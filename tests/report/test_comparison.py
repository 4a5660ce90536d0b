"""The page about several runs: its table, its ranks, its costs."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest

from tests.report.conftest import make_run
from tests.report.test_page import Page, report_main
from tests.report.test_table import made_run
from vlm_tsc.files import write_json
from vlm_tsc.report import collect, write_report
from vlm_tsc.report.axes import linear_axis, log_axis
from vlm_tsc.report.comparison import cost, grid
from vlm_tsc.report.ranks import cliques, rank_diagram, same, too_few

SETS = [f"Set{i}" for i in range(8)]


def runs_on(names, **accuracies):
    """Runs of 1nn-ed, 1nn-dtw … on each set; each set is a little harder than the one before."""
    return [
        made_run(accuracy - 0.01 * i, classifier.replace("_", "-"), dataset=name, predict_seconds=5.0)
        for i, name in enumerate(names)
        for classifier, accuracy in accuracies.items()
    ]


def test_methods_by_datasets_over_seeds():
    runs = [made_run(accuracy, seed=seed, dataset="A") for seed, accuracy in enumerate((0.8, 0.9))]
    table = grid([*runs, made_run(0.7, dataset="B"), made_run(0.6, "majority", dataset="B")])
    entry = table.sets[0].entries["plot-llava-mini BASELINE"]
    assert entry.accuracy == pytest.approx(0.85) and entry.deviation == pytest.approx(np.std([0.8, 0.9], ddof=1))
    means = {method.name: (method.mean_accuracy, method.n_sets) for method in table.methods}
    assert means == {"plot-llava-mini BASELINE": (pytest.approx(0.775), 2), "majority class": (0.6, 1)}
    # on A there is nothing to be ranked against
    assert [cases.dataset for cases in table.ranked] == ["B"]
    assert [method.name for method in table.complete] == ["plot-llava-mini BASELINE", "majority class"]


def test_a_method_that_lacks_a_compared_set_has_no_rank():
    runs = [*runs_on("AB", majority=0.5, **{"1nn_ed": 0.9}), *runs_on("A", **{"1nn_dtw": 0.8})]
    assert {method.name: method.mean_rank for method in grid(runs).methods} == {
        "1NN-ED": 1,
        "majority class": 2,
        "1NN-DTW": None,
    }


def test_a_set_of_one_method_costs_nobody_the_diagram():
    three = {"majority": 0.5, "1nn_ed": 0.9, "1nn_dtw": 0.8}
    table = grid([*runs_on(SETS, **three), *runs_on(["Alone"], majority=0.7)])
    assert too_few(table) is None and rank_diagram(table).n_sets == len(SETS) and len(table.sets) == len(SETS) + 1


def test_a_method_that_lacks_one_set_of_many_keeps_its_rank():
    """Ten methods, published ones, say, on seven sets, would else be dropped for the eighth, or it for them."""
    three = {"majority": 0.5, "1nn_ed": 0.9, "1nn_dtw": 0.8}
    table = grid([*runs_on(SETS, majority=0.5, **{"1nn_ed": 0.9}), *runs_on(SETS[:6], **{"1nn_dtw": 0.8})])
    assert {method.name: method.mean_rank for method in table.methods} == {
        "1NN-ED": 1,
        "1NN-DTW": 2,
        "majority class": 3,
    }
    assert len(table.ranked) == 6 and rank_diagram(table).n_sets == 6
    assert table.ranks_are.startswith("Ranks leave Set6, Set7 out")
    assert "every dataset" in grid(runs_on(SETS, **three)).ranks_are


def test_the_block_has_the_most_figures():
    """Against all choices of sets, on grids with figures missing at random."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        has = rng.random((7, 5)) < 0.7
        has[0, 0] = has[0, 1] = True  # two are compared somewhere
        runs = [made_run(0.9, f"m{j}", dataset=f"Set{i}") for i, j in zip(*np.nonzero(has), strict=True)]
        table = grid(runs)
        rows = [i for i in range(7) if has[i].any()]
        choices = [list(some) for n in range(1, len(rows) + 1) for some in combinations(rows, n)]
        most = max(n * len(some) for some in choices if (n := int(has[some].all(axis=0).sum())) > 1)
        assert len(table.ranked) * len(table.complete) == most


def test_many_methods_that_all_lack_another_set_are_ranked_in_time():
    runs = [made_run(0.9, f"m{j:02d}", dataset=f"Set{i:02d}") for i in range(30) for j in range(30) if i != j]
    table = grid(runs)
    assert len(table.ranked) == len(table.complete) == 15


def test_splits_and_test_parts_are_rows_of_their_own():
    runs = [made_run(0.9), made_run(0.5, split="pooled"), made_run(0.4, n_cases=77)]
    found = [(cases.split, cases.n_cases) for cases in grid(runs).sets]
    assert sorted(found) == [("official", 77), ("official", 1029), ("pooled", 1029)]


def test_published_figures_join_the_official_split_only():
    names = {split: grid([made_run(0.9, split=split)]).sets[0].entries for split in ("official", "pooled")}
    assert "HIVE-COTE 2" in names["official"] and "HIVE-COTE 2" not in names["pooled"]


def test_mean_ranks_share_ties():
    table = grid(runs_on("AB", majority=0.5, **{"1nn_ed": 0.9, "1nn_dtw": 0.9}))
    assert {method.name: method.mean_rank for method in table.methods} == {
        "1NN-ED": 1.5,
        "1NN-DTW": 1.5,
        "majority class": 3,
    }


@pytest.mark.parametrize(("n_sets", "n_methods"), [(8, 2), (5, 3)])
def test_too_few_are_said(n_sets, n_methods):
    names = dict(list({"majority": 0.5, "1nn_ed": 0.9, "1nn_dtw": 0.8}.items())[:n_methods])
    table = grid(runs_on(SETS[:n_sets], **names))
    assert f"here {n_methods} have one on each of {n_sets}" in too_few(table)
    with pytest.raises(ValueError, match="at least 3 methods"):
        rank_diagram(table)


def test_the_diagram_joins_what_no_test_tells_apart():
    rng = np.random.default_rng(0)
    level = 0.8 + 0.05 * rng.normal(size=(12, 1))
    scores = level + np.array([0.1, 0.1, 0.0, -0.3]) + 0.01 * rng.normal(size=(12, 4))
    alike = same(scores)
    assert alike[0, 1] and not alike[0, 2] and not alike[1, 3]
    assert cliques(alike) == [(0, 1)]
    classifiers = ("1nn-ed", "1nn-dtw", "majority", "other")
    runs = [made_run(scores[i, j], classifiers[j], dataset=f"Set{i:02d}") for i in range(12) for j in range(4)]
    plot = rank_diagram(grid(runs))
    assert [set(one.names) for one in plot.cliques] == [{"1NN-ED", "1NN-DTW"}] and plot.p_friedman < 1e-4
    assert [one.name for one in plot.methods][2:] == ["majority class", "other"]
    assert {one.y for one in plot.methods if one.is_left} == {one.y for one in plot.methods if not one.is_left}


def test_equal_methods_are_one_clique():
    table = grid(runs_on(SETS, **{"majority": 0.9, "1nn_ed": 0.9, "1nn_dtw": 0.9}))
    plot = rank_diagram(table)
    assert plot.p_friedman == 1 and [len(one.names) for one in plot.cliques] == [3]


def test_holm_stops_at_the_first_that_is_not_significant():
    """With six sets the least p is 1/32: enough for one pair alone, not for three pairs."""
    better = np.arange(1, 7) / 100
    assert not same(np.stack([0.5 + better, np.full(6, 0.5)], axis=1))[0, 1]
    assert same(np.stack([0.5 + 2 * better, 0.5 + better, np.full(6, 0.5)], axis=1)).all()


def test_cliques_are_runs_in_which_no_pair_differs():
    alike = np.ones((4, 4), bool)
    alike[0, 2] = alike[2, 0] = alike[0, 3] = alike[3, 0] = False
    assert cliques(alike) == [(0, 1), (1, 3)]
    assert cliques(np.eye(3, dtype=bool)) == []


def test_cost_is_training_and_answering():
    plot = cost(grid(runs_on("A", majority=0.5, **{"1nn_ed": 0.9})))
    assert plot.names == ["1NN-ED", "majority class"] and "80 s" in plot.marks[0].text
    assert cost(grid([made_run(0.9, train_seconds=None)])) is None


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0, 0.37), ["0.0", "0.1", "0.2", "0.3", "0.4"]),
        ((0, 1000), ["0", "200", "400", "600", "800", "1000"]),
        ((0.5, 0.5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0.001, 0.0042), ["0.001", "0.002", "0.003", "0.004", "0.005"]),
    ],
)
def test_ticks_are_round_and_hold_all_values(values, ticks):
    axis = linear_axis("x", values, 10, 110)
    assert [text for _, text in axis.ticks] == ticks
    assert axis.at(axis.low) == 10 and axis.at(axis.high) == 110
    assert all(10 <= axis.at(value) <= 110 for value in values)


def test_decades():
    axis = log_axis("s", [0.0, 30, 700], 0, 100)
    assert [text for _, text in axis.ticks] == ["0.01", "0.1", "1", "10", "100", "1000"]
    assert axis.at(0.0) == 0 and axis.at(1) == pytest.approx(40) and axis.at(5000) == 100


def test_the_page_of_several_runs(tmp_path, capsys):
    runs = [make_run(tmp_path, seed=seed) for seed in (0, 1)] + [make_run(tmp_path, dataset="Tides")]
    assert report_main()([str(run.path) for run in runs]) == 0
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert "1 method on 2 datasets" in text and "needs at least 3 methods" in text and "±" in text
    assert len(page.all("h1")) == 1 and all("scope" in one for one in page.all("th"))
    for run in runs:
        assert f"{run.path.parent.name}/{run.path.name}" in text
    assert report_main()([str(tmp_path)]) == 0
    assert (tmp_path / "report.html").read_text() == text, "a folder of runs means every run in it"
    assert write_report([tmp_path / "Waves"]) == tmp_path / "Waves" / "report.html"


def test_one_unfinished_run_among_several_is_named(tmp_path, capsys):
    runs = [make_run(tmp_path, seed=seed) for seed in (0, 1)]
    runs[1].metrics.unlink()
    assert report_main()([str(run.path) for run in runs]) == 2
    assert str(runs[1].path) in capsys.readouterr().err


def test_names_of_anybody_stay_text(tmp_path):
    runs = [make_run(tmp_path, seed=seed) for seed in (0, 1)]
    for run in runs:
        changed = json.loads(run.metrics.read_text()) | {"base": "x/<img src=x>", "warnings": ["<b>all</b>"]}
        run.metrics.write_text(json.dumps(changed))
    text = write_report([tmp_path]).read_text()
    assert "<img" not in text and "<b>" not in text and "&lt;img src=x&gt;" in text


def with_settings(run, **settings):
    return {**run, "settings": settings}


def test_a_column_is_one_experiment_on_every_set():
    """Equal names alone would put a training of two epochs beside one of 1,500."""
    runs = [
        with_settings(made_run(0.9, "inception-time", dataset="A"), parameters={"epochs": 1500, "depth": 6}),
        with_settings(made_run(0.5, "inception-time", dataset="B"), parameters={"epochs": 2, "depth": 6}),
        with_settings(made_run(0.8, "inception-time", dataset="B"), parameters={"epochs": 1500, "depth": 6}),
    ]
    table = grid(runs)
    found = {method.name: (method.mean_accuracy, method.n_sets) for method in table.methods}
    assert found == {"InceptionTime, epochs 1500": (pytest.approx(0.85), 2), "InceptionTime, epochs 2": (0.5, 1)}
    # ranks are of B alone: on A there is one of them
    assert [method.name for method in table.complete] == list(found)


def test_where_nothing_differs_a_column_has_its_title():
    runs = [with_settings(made_run(0.9, dataset=name), test=f"{name}.csv", split="official") for name in "AB"]
    assert [method.name for method in grid(runs).methods] == ["plot-llava-mini BASELINE"]


def test_searched_seeds_are_one_experiment_and_not_the_unsearched_one(tmp_path):
    for seed, searched in ((0, 3e-4), (1, 5e-3), (2, None)):
        run = make_run(tmp_path, seed=seed)
        if searched is not None:
            text = run.config.read_text()
            run.config.write_text("\n".join([*(x for x in text.splitlines() if "learning_rate:" not in x), ""]))
            with run.config.open("a") as file:
                file.write(f"learning_rate: {searched}\n")
            write_json(run.path / "search.json", {"chosen": {"learning_rate": searched}, "trials": [{}, {}]})
    table = grid(collect(tmp_path / "Waves", "official"))
    seeds = {name: entry.row.seeds for name, entry in table.sets[0].entries.items()}
    assert sorted(seeds.values()) == [(0, 1), (2,)]
    assert any("searched 2" in name for name in seeds)
