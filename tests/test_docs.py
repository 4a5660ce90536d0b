"""The pages: links and files are there, commands have the options they name, the tutorial runs, and they build."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from vlm_tsc.evaluate import metrics_document, read_predictions

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SHORT = {  # what makes a program of the tutorial quick; the last of two equal options counts
    "train.py": ["--num-epochs", "0.4", "--precision", "fp32", "--views", "1"],
}
FENCES = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.M | re.S)


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def fences(text: str, *languages: str) -> list[str]:
    return [body for _, language, body in FENCES.findall(text) if language in languages]


def prose(text: str) -> str:
    return FENCES.sub("", text)


def lines_of(block: str) -> list[str]:
    """The commands of a block, those over several lines joined."""
    return [line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def ids(path: Path) -> str:
    return str(path.relative_to(DOCS))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.is_relative_to(DOCS) and other.is_file(), f"{ids(page)} links to {target}, which is not there"
        headings = re.findall(r"^#{1,3} (.+)$", other.read_text(), re.M) if anchor else []
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, f"{ids(page)}: {other.name} has no heading {anchor}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_pictures_and_included_files_are_there(page):
    for target in re.findall(r"^\s*```\{(?:image|figure|include|literalinclude)\} (\S+)$", page.read_text(), re.M):
        assert (page.parent / target).is_file(), f"{ids(page)} shows {target}, which is not there"


def test_every_page_is_in_exactly_one_table_of_contents():
    entries = []
    for page in PAGES:
        for block in fences(page.read_text(), "{toctree}"):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            entries += [(page.parent / f"{name}.md").resolve() for name in names]
    assert len(entries) == len(set(entries))
    assert set(entries) == set(PAGES) - {DOCS / "index.md", DOCS / "README.md"}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_of_the_project_that_are_named_are_there(page):
    """Code such as `vlm_tsc/job.py` or `prompts/`: a path that begins with a folder of the project."""
    folders = "|".join(("benchmarks", "configs", "eval", "prompts", "samples", "tests", "vlm_tsc"))
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", prose(page.read_text()))
    assert not [name for name in named if not (ROOT / name).exists() and "NAME" not in name]


def commands() -> list[list[str]]:
    """Every `python program.py …` or `-m vlm_tsc…`, also under the launcher, of every page's shell blocks, as words."""
    pattern = r"(?:python|deepspeed --num_\w+ \d+) ((?:eval/)?\w+\.py\b.*|-m vlm_tsc\.[\w.]+.*)"
    lines = [line for page in PAGES for block in fences(page.read_text(), "sh") for line in lines_of(block)]
    found = [shlex.split(match[1]) for line in lines if (match := re.search(pattern, line))]
    found = [[" ".join(words[:2]), *words[2:]] if words[0] == "-m" else words for words in found]
    return [words for words in dict.fromkeys(map(tuple, found)) if words[0][:2] == "-m" or (ROOT / words[0]).is_file()]


def test_commands_are_found():
    assert {words[0] for words in commands()} >= {"train.py", "dataset.py", "eval/report.py", "eval/baselines.py"}
    assert {words[0] for words in commands()} >= {"-m vlm_tsc.use.predict", "-m vlm_tsc.memory"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_names_options_that_are_there(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        program(words[0]).main([*itertools.takewhile(lambda word: not word.startswith("--"), words[1:]), "--help"])
    assert not stopped.value.code
    options = {word.replace("_", "-") for word in words if word.startswith("--")}
    assert not options - set(re.findall(r"--[\w-]+", capsys.readouterr().out))


def program(name: str):
    """The module of a file of this project, or of what is typed as `-m NAME`."""
    if name.startswith("-m "):
        module = importlib.import_module(name[3:])
        return importlib.import_module(f"{name[3:]}.__main__") if hasattr(module, "__path__") else module
    spec = importlib.util.spec_from_file_location("program", ROOT / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_asks_every_program():
    asked = re.findall(r"^```\{program-help\} (\S+)", text_of("reference/command-line.md"), re.M)
    programs = {"train.py", "dataset.py", *(f"eval/{path.name}" for path in (ROOT / "eval").glob("*.py"))}
    assert programs <= set(asked)


def keys_of_table(page: str) -> set[str]:
    rows = re.findall(r"^\| (`.*?) \|", text_of(page), re.M)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> tuple[Path, str]:
    """The folder in which the tutorial was followed, word for word but in few steps, and all that it printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    told, home = [], Path.cwd()
    os.chdir(folder)
    try:
        for kind, content in steps():
            told.append(done(kind, content))
    finally:
        os.chdir(home)
    return folder, "\n".join(told)


def steps() -> list[tuple[str, str]]:
    """("save as NAME", content) and ("type", command line), in the order of the page."""
    found, name = [], None
    for match in re.finditer(r"^Save this as `(\S+)`:$|^```(\w+)\n(.*?)^```$", text_of("tutorial.md"), re.M | re.S):
        saved, language, body = match.groups()
        if saved:
            name = saved
        elif language == "python":
            assert name, "a script of the tutorial has no name"
            found.append((name, body))
            name = None
        elif language == "sh":
            found += [("", line) for line in lines_of(body)]
    return found


def done(name: str, content: str) -> str:
    """Save a file, or run a command: programs of Python here, in this process, which has torch already."""
    if name:
        Path(name).write_text(content)
        return ""
    words = shlex.split(content)
    if words[0] != "python":
        return subprocess.run(["bash", "-c", content], check=True, capture_output=True, text=True).stdout
    with redirect_stdout(StringIO()) as out:
        if (ROOT / words[1]).is_file():
            assert program(words[1]).main([*words[2:], *SHORT.get(words[1], [])]) == 0, content
        else:
            runpy.run_path(words[1], run_name="__main__")
    return out.getvalue()


def test_the_tutorial_leaves_the_files_that_it_speaks_of(followed):
    folder, _ = followed
    named = set(re.findall(r"`(runs/[\w./-]+)`", text_of("tutorial.md")))
    assert len(named) > 4 and not [name for name in named if not (folder / name).exists()]


def test_the_tutorial_prints_what_it_shows(followed):
    """Every word of the output on the page, figures aside; the lines of what is exact, whole."""
    shown = "\n".join(fences(text_of("tutorial.md"), "text"))
    words = set(re.findall(r"(?<![\w.-])[A-Za-z][A-Za-z-]{2,}(?![\w.])", shown)) - {
        "answered"
    }  # that line has a chance
    assert len(words) > 30 and not [word for word in words if word not in followed[1]]
    exact = [
        line for line in shown.splitlines() if line.startswith(("healthy,", "blocked  ", "text: no values", "pumps ·"))
    ]
    assert len(exact) == 4 and not [line for line in exact if line not in followed[1]]


def test_the_run_folder_is_as_described(followed):
    told = text_of("reference/run-folder.md")
    run = followed[0] / "runs" / "pumps" / "first"
    for path in [*run.iterdir(), *(run / "adapter").iterdir(), *(run.parent / "majority-holdout-0").iterdir()]:
        assert f"`{path.name}`" in told or f"`{path.name}/`" in told, f"{path} is not in the reference"


def test_the_keys_are_those_of_the_files(followed):
    run = followed[0] / "runs" / "pumps" / "first"
    assert keys_of_table("reference/metrics.md") == set(json.loads((run / "metrics.json").read_text()))
    line = json.loads((run / "predictions.jsonl").read_text().splitlines()[0])
    assert set(line) <= keys_of_table("reference/records.md")


def test_the_record_on_the_page_is_that_of_the_run(followed):
    shown = json.loads(fences(text_of("reference/records.md"), "json")[0])
    run = followed[0] / "runs" / "pumps" / "first"
    records = [
        record for part in ("train", "validation", "test") for record in json.loads((run / f"{part}.json").read_text())
    ]
    assert shown in records


def test_a_document_without_a_model_has_the_same_keys(followed):
    rows = read_predictions(followed[0] / "runs" / "pumps" / "first" / "predictions.jsonl")
    facts = {"classifier": "x", "dataset": "x", "split": "official", "seed": 0, "commit": "x", "n_train": 1}
    assert set(metrics_document(rows, ["blocked", "healthy", "leaking"], **facts)) == keys_of_table(
        "reference/metrics.md"
    )


def test_the_page_about_python_runs(tmp_path):
    """As a program of its own: what other tests trained in this process has no say in it."""
    blocks = fences(text_of("how-to/use-from-python.md"), "python")
    checks = """
assert probabilities.shape == (len(X_test), 2) and len(scores) == 2 and picture.shape == (336, 336, 3)
"""
    (tmp_path / "page.py").write_text("\n".join([*blocks, checks]), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "official" in done.stdout


@pytest.mark.long
def test_the_pages_build_without_a_warning(tmp_path):
    for name in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(name, reason="the pages need: pip install -e '.[docs]'")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, tmp_path / "html"]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "html" / "reference" / "command-line.html").read_text()
    assert "--label-smoothing" in page and "--preset" in page
