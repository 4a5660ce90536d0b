"""What commands say: to a person at a terminal, into a file, quietly, and as JSON."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import warnings
from pathlib import Path

import pytest

import dataset
from tests.conftest import make_set
from tests.test_docs import program
from tests.test_job import write_sets
from vlm_tsc import terminal
from vlm_tsc.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = [
    ("dataset.py", []),
    ("train.py", []),
    ("eval/score.py", []),
    ("eval/baselines.py", ["1nn-ed"]),
    ("eval/report.py", []),
    ("eval/cross_validate.py", ["3"]),
]
# Two seconds of steps, of which each says that it was done, and one step of unknown length.
STEPS = """
import sys, time
from vlm_tsc import terminal
def main(argv):
    for _ in terminal.bar(range(30), "counting"):
        time.sleep(0.1)
    for _ in terminal.bar(range(3), "briefly"):
        pass
    with terminal.working("pondering"):
        time.sleep(2.3)
    terminal.say("said")
    terminal.show("shown")
terminal.speaks(main)(sys.argv[1:])
"""


def on_a_terminal(*words: str) -> str:
    """What a terminal of 80 columns receives."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", STEPS, *words], stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        received = b""
        try:
            while part := os.read(ours, 4096):
                received += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return received.decode()


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    """The same steps at once: on a terminal, there with --quiet, and into a file."""
    from concurrent.futures import ThreadPoolExecutor

    def into_a_file() -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True, env=environment
        )
        return done.stderr + done.stdout

    with ThreadPoolExecutor(3) as pool:
        jobs = pool.submit(on_a_terminal), pool.submit(on_a_terminal, "--quiet"), pool.submit(into_a_file)
        return dict(zip(("terminal", "quiet", "file"), (job.result() for job in jobs), strict=True))


def test_a_terminal_shows_bars_with_the_time_left_of_what_takes_long(outputs):
    told = outputs["terminal"]
    assert re.search(r"counting: +\d+%.*\[\d\d:\d\d<\d\d:\d\d", told)
    assert "pondering: 2 s" in told and "briefly" not in told
    assert max(len(line) for line in re.split(r"[\r\n]+", told)) <= 80


def test_nothing_is_coloured(outputs):
    assert not re.search(r"\x1b\[[\d;]*m", "".join(outputs.values()))


def test_a_file_gets_no_progress(outputs):
    assert outputs["file"].split() == ["said", "shown"]


def test_quiet_is_quiet_on_a_terminal_too(outputs):
    assert outputs["quiet"].split() == ["shown"]


def test_quiet_drops_warnings_and_keeps_errors(capsys):
    @terminal.speaks
    def main(argv):
        warnings.warn("a warning", stacklevel=1)
        terminal.note("a note")
        raise InputError("an error")

    assert main(["--quiet"]) == 2
    assert capsys.readouterr() == ("", "error: an error\n")


def test_json_is_all_that_stdout_gets(capsys):
    @terminal.speaks
    def main(argv):
        assert argv == ["x"]
        print("printed by a library")
        terminal.show("a table")
        terminal.answer(runs=[1], notes=["a"])
        terminal.answer(runs=[2], path=Path("p"))

    assert main(["x", "--json"]) == 0
    out, errors = capsys.readouterr()
    assert json.loads(out) == {"runs": [1, 2], "notes": ["a"], "path": "p"}
    assert errors == "printed by a library\na table\n"
    assert main(["--quiet", "x", "--json"]) == 0
    out, errors = capsys.readouterr()
    assert json.loads(out)["runs"] == [1, 2] and "a table" not in errors


def test_json_of_an_error_says_what_it_is(capsys):
    assert program("eval/report.py").main(["--json"]) == 2
    out, errors = capsys.readouterr()
    assert "Name a run." in json.loads(out)["error"] and "error: Name a run." in errors


def test_what_writes_past_python_does_not_spoil_the_json():
    code = """
import os, sys
from vlm_tsc import terminal
def main(argv):
    os.write(1, b"from C\\n")
    terminal.answer(runs=[])
sys.exit(terminal.speaks(main)(["--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == {"runs": []} and done.stderr == "from C\n"


@pytest.mark.parametrize(("name", "words"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_every_program_takes_both_options(name, words, capsys):
    with pytest.raises(SystemExit):
        program(name).main([*words, "--help", "--json"])
    told = capsys.readouterr().out
    assert "--quiet" in told and "--json" in told
    assert program(name).main([*words, "--json=1", "--no-such-option"]) == 2
    assert "--json takes no value" in capsys.readouterr().err


def test_dataset_says_its_runs_as_json_and_only_its_table_when_quiet(tiny_base, tmp_path, capsys):
    given = [*write_sets(tmp_path, make_set(6, 0), make_set(4, 1)), "--base", str(tiny_base), "--seeds", "0,1"]
    assert dataset.main([*given, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert len(runs) == 2 and all((Path(run["folder"]) / "test.json").is_file() for run in runs)
    assert runs[0]["counts"] == {"train": {"down": 3, "up": 3}, "test": {"down": 2, "up": 2}}
    assert dataset.main([*given, "--quiet"]) == 0
    out, errors = capsys.readouterr()
    assert out.count("tokens a case") == 2 and errors == ""


def test_json_of_an_error_that_nobody_foresaw_says_what_it_is(capsys):
    @terminal.speaks
    def main(argv):
        terminal.answer(notes=["so far"])
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        main(["--json"])
    document = json.loads(capsys.readouterr().out)
    assert document == {"notes": ["so far"], "error": "ZeroDivisionError: by zero"}


@pytest.mark.parametrize("name", ["use.predict", "use.explain", "use.export", "memory"])
def test_modules_that_are_run_take_both_options_too(name, capsys):
    main = importlib.import_module(f"vlm_tsc.{name}").main
    with pytest.raises(SystemExit):
        main(["--help", "--json"])
    told = capsys.readouterr().out
    assert "--quiet" in told and "--json" in told
    assert main(["--no-such-option", "--json"]) == 2
    assert "--no-such-option" in json.loads(capsys.readouterr().out)["error"]
