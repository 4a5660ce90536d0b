"""Write report.html: the page about one run, or a page that compares several; tables and diagrams as files too."""

from __future__ import annotations

import sys
from pathlib import Path

from vlm_tsc import terminal
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import read_metrics
from vlm_tsc.options import Option, help_text, parse, raise_all
from vlm_tsc.report import run_folders, write_report, write_tables

PROG = "eval/report.py"
RUNS = "folders of a run or of runs, such as runs/GunPoint"
OPTIONS = {
    option.name: option
    for option in (
        Option("output", "page", "Where to write it.", "FILE", "a path", "report.html beside what it is about", False),
        Option("tables", "page", "Also tables (Markdown, CSV) and diagrams (PNG).", "FOLDER", "a path", "none", False),
        Option("debug", "page", "Show the traceback of an error.", "", "", "off", True),
    )
}


@terminal.speaks
def main(argv: list[str]) -> int:
    """python eval/report.py RUN [RUN ...] [--output FILE] [--tables FOLDER]"""
    words = parse(argv, OPTIONS, PROG)
    if words.help:
        print(help_text(OPTIONS, PROG, __doc__ or "", "RUN..."))
        sys.exit(0)
    problems = list(words.problems)
    if not words.positional:
        problems.append(InputError("Name a run.", where=f"{PROG} RUN...", got="nothing", allowed=RUNS))
    raise_all(problems, f"the settings of {PROG}")
    output = words.given.get("output")
    with terminal.working("reading the runs"):
        page = write_report(words.positional, output.value if output else None)
    terminal.say(f"written to {page}")
    folders = run_folders(words.positional)
    tables: list[Path] = []
    if "tables" in words.given:
        with terminal.working("drawing diagrams"):
            tables = write_tables(folders, Path(words.given["tables"].value))
        terminal.say("\n".join(f"written to {path}" for path in tables))
    runs = [{"folder": str(folder), "metrics": read_metrics(folder / "metrics.json")} for folder in folders]
    terminal.answer(report=str(page), tables=[str(path) for path in tables], runs=runs, notes=[])
    return 0


if __name__ == "__main__":
    sys.exit(main())
