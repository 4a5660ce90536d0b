"""Answer a run's test records with its adapter and write predictions.jsonl, metrics.json and report.html."""

from __future__ import annotations

import sys

from vlm_tsc import terminal
from vlm_tsc.config import run_and_settings_from_cli


@terminal.speaks
def main(argv: list[str]) -> int:
    """python eval/score.py RUN [--answers score|generate]"""
    folder, settings = run_and_settings_from_cli(
        argv, prog="eval/score.py", description=__doc__ or "", groups=("model", "answers", "run")
    )

    from vlm_tsc import job, told
    from vlm_tsc.archive.store import read_splits
    from vlm_tsc.run import RunFolder

    run = RunFolder(folder)
    job.evaluate(settings, run, settings.seed)
    terminal.show(told.table_text(settings, [run], read_splits(run.series)))
    terminal.say(f"\nwritten to\n  {told.write_reports([run])[0]}")
    terminal.answer(**told.answer_of([run]))
    terminal.answer(notes=terminal.said(told.track(settings, [run])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
