"""Fine-tune a vision-language model on a time-series dataset and show how good it is beside its baselines."""

from __future__ import annotations

import sys

from vlm_tsc import terminal
from vlm_tsc.config import settings_from_cli


@terminal.speaks
def main(argv: list[str]) -> int:
    """Series → conversations → adapter → metrics → table, report, for every seed; finished steps are not repeated."""
    settings = settings_from_cli(argv, prog="train.py", description=__doc__ or "")

    from vlm_tsc import job, told  # after the command line is known to be right: torch takes seconds to import

    runs = []
    for seed in settings.seeds or (settings.seed,):
        splits = job.load_splits(settings, seed)
        chosen = job.searched(settings, seed, splits)
        run = job.prepare(chosen, seed, splits)
        terminal.say(f"\n{run.path}\n{told.data_summary(run)}")
        job.finetune(chosen, run, seed)
        if not terminal.is_first():
            continue  # the first rank evaluates
        job.evaluate(chosen, run, seed)
        runs.append(run)
    if runs:
        notes = job.baseline_notes(settings, splits)
        terminal.show("\n" + told.table_text(settings, runs, splits, notes))
        terminal.say("\nwritten to\n" + "\n".join(f"  {path}" for path in told.write_reports(runs)))
        terminal.answer(**told.answer_of(runs, notes))
        terminal.answer(notes=terminal.said(told.track(settings, runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
