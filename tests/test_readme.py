"""The README's first lines are what CI runs, and its tree is the tree."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from vlm_tsc.bases import known_bases, load_base

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BASES = (ROOT / "docs" / "how-to" / "larger-bases.md").read_text()
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", README, re.M | re.S)


def test_the_first_code_block_is_the_two_lines():
    assert BLOCKS[0].splitlines() == [
        ". setup.sh && python train.py --dataset ItalyPowerDemand",
        ". setup.sh && pytest",
    ]


def test_ci_runs_the_second_line_last():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == BLOCKS[0].splitlines()[1]
    assert lines.count(lines[-1]) == 1


def test_the_scripts_parse():
    for script in ("setup.sh", ".ci/run", ".ci/lock"):
        subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_the_tree_names_what_is_there():
    """The tree is the code block that holds `vlm_tsc/`: one name per line, folders of the package indented."""
    (tree,) = [block for block in BLOCKS if re.search(r"^vlm_tsc/", block, re.M)]
    named = set(re.findall(r"^([\w.-]+)", tree, re.M))
    inside = set(re.findall(r"^ +([\w.-]+)/? ", tree, re.M))
    output = set(re.findall(r"^/(\w+)/$", (ROOT / ".gitignore").read_text(), re.M))
    missing = (folders(ROOT) - output - named) | (folders(ROOT / "vlm_tsc") - inside)
    assert not missing, f"not in the README's tree: {missing}"
    gone = [name for name in named if not (ROOT / name).exists()]
    gone += [name for name in inside if not (ROOT / "vlm_tsc" / name).exists()]
    assert not gone, f"in the README's tree, but not there: {gone}"


def folders(parent: Path) -> set[str]:
    """The folders that git would keep: not hidden, no cache, no build output, and holding a file."""
    found = set()
    for path in parent.iterdir():
        made = path.name.startswith((".", "__pycache__")) or path.name.endswith(".egg-info")
        if path.is_dir() and not made and any(f.is_file() and "__pycache__" not in f.parts for f in path.rglob("*")):
            found.add(path.name)
    return found


def commands() -> list[list[str]]:
    """Every `python script.py …` of the README's code blocks, as words."""
    lines = "\n".join(BLOCKS).replace("\\\n", " ").splitlines()
    found = [re.search(r"(?:python|deepspeed --num_accelerators 2) ((?:eval/)?\w+\.py .*)", line) for line in lines]
    return [shlex.split(match[1]) for match in found if match]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_names_options_that_are_there(words, capsys):
    spec = importlib.util.spec_from_file_location("command", ROOT / words[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SystemExit) as stopped:
        module.main([*itertools.takewhile(lambda word: not word.startswith("--"), words[1:]), "--help"])
    assert not stopped.value.code
    told = re.findall(r"--[\w-]+", capsys.readouterr().out)
    options = [word.replace("_", "-") for word in words if word.startswith("--")]
    assert not set(options) - set(told)


def test_links_lead_somewhere():
    """Of the README and of the other pages beside it; those of docs/ have a test of their own."""
    for page in sorted(ROOT.glob("*.md")):
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
        targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
        local = [target for target in targets if target and not re.match(r"https?:|mailto:", target)]
        gone = [target for target in local if not (ROOT / target).exists()]
        assert not gone, f"{page.name} links to what is not there: {gone}"


def test_the_table_of_bases_is_that_of_their_settings():
    for name in known_bases():
        base = load_base(name)
        assert base.memory_gb is not None
        sizes = " | ".join(str(base.memory_gb[kind]) for kind in ("bf16", "nf4"))
        assert name == "plot-llava-mini" or f"| `{name}` | {base.licence} | {base.image_tokens} | {sizes} |" in BASES
