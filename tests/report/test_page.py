"""report.html of one run: what stands in it, that it is whole, and that nothing in it can run."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.conftest import make_part, make_run
from vlm_tsc.archive.splits import Splits
from vlm_tsc.conversation.records import read_records
from vlm_tsc.evaluate import read_predictions, run_baseline
from vlm_tsc.evaluate.metrics import metrics
from vlm_tsc.files import write_json
from vlm_tsc.report import write_report
from vlm_tsc.report.finished import read_finished
from vlm_tsc.report.reliability import reliability
from vlm_tsc.run import RunFolder

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "img", "br"}
SELF_CLOSED = {"line", "rect", "circle", "path"}


class Page(HTMLParser):
    """Tags with their attributes, and a check that each is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SELF_CLOSED
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def report_main():
    spec = importlib.util.spec_from_file_location("report_entry", ROOT / "eval" / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def text_of(run: RunFolder) -> str:
    return write_report([run.path]).read_text(encoding="utf-8")


def copy_of(run: RunFolder, folder: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(run.path, folder / "Waves" / "copied")))


def test_everything_that_an_accuracy_needs_stands_in_it(a_run):
    text = text_of(a_run)
    accuracy = json.loads(a_run.metrics.read_text())["accuracy"]
    for fact in (
        "plot-llava-mini",
        "Waves",
        "Official split",
        "Seed 0",
        "0123456",
        "61 s",
        "1.23 GB",
        "CPU, 2 threads",
    ):
        assert fact in text
    assert f"<dd>{accuracy:.3f}" in text and "9 training cases, 60 test cases, 3 classes" in text
    for heading in ("Beside other methods", "Learning curves", "Reliability", "Confusion matrix", "Cases", "Settings"):
        assert heading in text
    assert "train.py --dataset Waves" in text and "--lora-r 8" in text


def test_it_is_one_file_of_semantic_html(a_run):
    text = text_of(a_run)
    page = Page(text)
    assert len(page.all("h1")) == 1
    assert all("scope" in attributes for attributes in page.all("th"))
    drawings = [one for one in page.all("svg") if one.get("aria-hidden") != "true"]
    assert len(drawings) >= 3 and all(one["role"] == "img" and one["aria-label"] for one in drawings)
    assert all(one["src"].startswith("data:image/png;base64,") and one["alt"] for one in page.all("img"))
    assert not page.all("link", "iframe", "a") and not re.findall(r"https?://|url\(|@import", text)
    assert page.all("html") == [{"lang": "en"}] and {"name": "viewport"}.items() <= page.all("meta")[1].items()


def test_only_its_own_script_may_run(a_run):
    text = text_of(a_run)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = Page(text).all("meta")[2]["content"]
    assert f"'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_cases_are_shown_as_the_model_received_them(a_run):
    text = text_of(a_run)
    records = {record["id"]: record for record in read_records(a_run.test)}
    cards = text.split('<li class="case">')[1:]
    assert 10 < len(cards) <= 24
    for card in cards:
        id = re.search(r"<h4>(\S+)", card)[1]
        picture = base64.b64decode(re.search(r'base64,([^"]+)"', card)[1])
        assert picture == (a_run.path / records[id]["image"]).read_bytes()
        prompt = html.unescape(re.search(r"<pre>(.*?)</pre>", card, re.S)[1])
        assert prompt == records[id]["conversations"][0]["value"]


def test_confident_mistakes_come_first(a_run):
    ids = re.findall(r"<h4>(\S+)", text_of(a_run))
    rows = {row.id: row for row in read_predictions(a_run.predictions)}
    shown = [rows[id] for id in ids]
    wrong = [row for row in shown if row.predicted != row.true]
    assert shown[: len(wrong)] == wrong
    confidence = [max(row.probabilities.values()) for row in wrong]
    everything = sorted(max(row.probabilities.values()) for row in rows.values() if row.predicted != row.true)
    assert confidence == everything[::-1][:16]
    assert 0 < len(shown) - len(wrong) <= 8


def test_labels_and_texts_of_anybody_stay_text(tmp_path):
    hostile = "<script>alert(1)</script>"
    text = "</pre><img src=x onerror=alert(2)>\"'&"
    run = make_run(tmp_path, class_names=(hostile, "'\" onload=alert(3) x='", "{{ 7 * 7 }}"), texts=(text,) * 30)
    page = text_of(run)
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "&lt;script&gt;" in page and "{{ 7 * 7 }}" in page
    assert not [name for _, attributes in Page(page).tags for name in attributes if name.startswith("on")]


def test_a_thousand_cases_take_no_larger_page(tmp_path, a_run):
    small, large = (len(text_of(run)) for run in (a_run, make_run(tmp_path, n_cases=1000)))
    assert large < 1.5 * small < 1_000_000


def test_sixty_classes_and_more(tmp_path):
    names = tuple(f"class number {i}" for i in range(70))
    page = text_of(make_run(tmp_path, class_names=names, n_cases=210, skill=4))
    assert "10 classes with fewer mistakes are not shown" in page and "65 more classes share" in page
    Page(page)


def test_one_answer_for_all_is_warned_about(tmp_path, a_run):
    assert "One class takes nearly all" not in text_of(a_run)
    run = make_run(tmp_path, skill=0)
    rows = read_predictions(run.predictions)
    lines = [
        {**vars(row), "predicted": "wild", "probabilities": {"calm": 0, "rough": 0.1, "wild": 0.9}} for row in rows
    ]
    run.predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    figures = metrics(read_predictions(run.predictions), ("calm", "rough", "wild"))
    write_json(run.metrics, json.loads(run.metrics.read_text()) | figures)
    page = html.unescape(text_of(run))
    assert "One class takes nearly all:</strong> 100.0 % of the answers are 'wild'" in page


def test_generated_answers_count_where_the_run_says_so(tmp_path):
    run = make_run(tmp_path, texts=("no idea",) * 5, answers="generate")
    page = text_of(run)
    assert "No class was named, true:" in page and "generated answers" in page


def test_text_only_has_prompts_and_no_pictures(tmp_path):
    page = text_of(make_run(tmp_path, mode="TEXT_ONLY"))
    assert "<img" not in page and "the prompt it received" in page and "What is drawn." not in page


def test_it_says_what_the_pictures_show(a_run):
    text = text_of(a_run)
    (legend,) = re.findall(r'<p class="note" id="legend">(.*?)</p>', text)
    assert "The series is a black line" in legend and "the case itself" in html.unescape(legend)
    assert all(one["aria-describedby"] == "legend" for one in Page(text).all("img"))


def test_validation_has_its_curve(tmp_path):
    page = text_of(make_run(tmp_path, has_validation=True))
    assert "Validation accuracy" in page and "validation, per case: 0.500" in page


def test_other_seeds_and_baselines_stand_beside_it(tmp_path):
    run = make_run(tmp_path)
    make_run(tmp_path, seed=1)
    make_run(tmp_path / "elsewhere", split="pooled", seed=2).path.rename(tmp_path / "Waves" / "pooled")
    page = text_of(run)
    (own,) = re.findall(r'<tr class="own">(.*?)</tr>', page)
    assert "plot-llava-mini BASELINE" in own and "±" in own
    assert "seeds 0, 1." in page and "pooled" not in page


def test_published_figures_are_of_the_same_cases(tmp_path):
    run = make_run(tmp_path, dataset="GunPoint", n_cases=150)
    assert "HIVE-COTE 2" in text_of(run)
    run = make_run(tmp_path / "pooled", dataset="GunPoint", n_cases=150, split="pooled")
    assert "HIVE-COTE 2" not in text_of(run)


def test_the_diagram_is_that_of_the_calibration_error(a_run):
    run = read_finished(a_run.path)
    plot = reliability(run)
    n = sum(one.n for one in plot.bins)
    assert n == 60
    assert sum(one.n * abs(one.accuracy - one.confidence) for one in plot.bins) / n == pytest.approx(run.metrics["ece"])


def test_a_page_that_says_the_same_is_left_untouched(a_run):
    before = write_report([a_run.path]).stat().st_mtime_ns
    assert write_report([a_run.path]).stat().st_mtime_ns == before


def test_a_baseline_has_a_page_too(tmp_path):
    names = ("calm", "rough", "wild")
    splits = Splits(make_part("train", 9, names, "Waves"), None, make_part("test", 30, names, "Waves"), "official")
    run_baseline("1nn-ed", splits, tmp_path)
    page = write_report([tmp_path / "Waves" / "1nn-ed"]).read_text()
    assert "1NN-ED on Waves" in page and "python eval/baselines.py 1nn-ed --dataset Waves" in page
    assert "Learning curves" not in page and "<img" not in page


def test_the_entry_point(tmp_path, a_run, capsys):
    main = report_main()
    assert main([str(a_run.path), "--output", str(tmp_path / "page.html")]) == 0
    assert f"written to {tmp_path / 'page.html'}" in capsys.readouterr().out
    assert main([]) == 2 and "RUN..." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def remove(run, name):
    (run.path / name).unlink()


def write(run, name, text):
    (run.path / name).write_text(text)


BREAKS = {
    "no predictions": (lambda run: remove(run, "predictions.jsonl"), "python eval/score.py"),
    "no metrics": (lambda run: remove(run, "metrics.json"), "python eval/score.py"),
    "no adapter": (
        lambda run: (remove(run, "metrics.json"), shutil.rmtree(run.adapter)),
        "python train.py --dataset Waves",
    ),
    "broken metrics": (lambda run: write(run, "metrics.json", "{"), "metrics.json"),
    "incomplete metrics": (
        lambda run: write_json(
            run.metrics, {key: value for key, value in json.loads(run.metrics.read_text()).items() if key != "ece"}
        ),
        "no ece",
    ),
    "broken predictions": (lambda run: write(run, "predictions.jsonl", "{}\n"), "line 1"),
    "broken log": (lambda run: write(run, "adapter/log.jsonl", '{"step": 1}\nx\n'), "log.jsonl, line 2"),
    "no log": (lambda run: remove(run, "adapter/log.jsonl"), "log.jsonl"),
    "broken settings": (lambda run: write(run, "config.yaml", "colour: red\n"), "config.yaml"),
    "broken manifest": (lambda run: write(run, "manifest.json", "["), "manifest.json"),
    "no records": (lambda run: remove(run, "test.json"), "test.json"),
    "no pictures": (lambda run: shutil.rmtree(run.images), "is missing"),
    "a broken picture": (
        lambda run: [path.write_bytes(b"\x89PNG") for path in run.images.iterdir()],
        "no readable PNG",
    ),
    "other cases": (
        lambda run: write(run, "predictions.jsonl", "".join(run.predictions.read_text().splitlines(keepends=True)[:9])),
        "different evaluations",
    ),
    "no run": (lambda run: [remove(run, name) for name in ("config.yaml", "metrics.json")], "no config.yaml"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_broken_is_named(case, a_run, tmp_path, capsys):
    run = copy_of(a_run, tmp_path)
    run.report.unlink(missing_ok=True)
    spoil, says = BREAKS[case]
    spoil(run)
    assert report_main()([str(run.path)]) == 2
    told = capsys.readouterr().err
    assert str(run.path) in told and says in told
    assert not run.report.exists()


def test_no_such_run(tmp_path, capsys):
    assert report_main()([str(tmp_path / "absent")]) == 2
    assert "There is no such run" in capsys.readouterr().err
