"""Run one classical baseline: python eval/baselines.py 1nn-dtw --dataset NAME [--data-dir DIR] [--split SPLIT]."""

from __future__ import annotations

import sys

from vlm_tsc.archive import load
from vlm_tsc.classify.classical import BASELINES, make_baseline
from vlm_tsc.config import settings_from_cli
from vlm_tsc.errors import InputError, exits_cleanly
from vlm_tsc.evaluate import published, run_baseline
from vlm_tsc.evaluate.baseline import OPTIONS
from vlm_tsc.report import collect, table

PROG = "eval/baselines.py"
DESCRIPTION = f"Fit a BASELINE ({', '.join(BASELINES)}), however long it takes, and show it beside the finished runs."


@exits_cleanly
def main(argv: list[str]) -> int:
    """`argv`: the baseline's name, then the options; without the program's name."""
    name, words = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("BASELINE", argv)
    if not {"-h", "--help"} & set(words):
        make_baseline(name)  # an unknown name is refused before anything is read
    settings = settings_from_cli(words, prog=f"{PROG} {name}", description=DESCRIPTION, groups=("data", "run"))
    if settings.dataset is None:  # settings_from_cli refuses it
        raise InputError("No dataset.", where="--dataset")
    given = {key: getattr(settings, key) for key in OPTIONS}
    splits = load(**{key: value for key, value in given.items() if key != "vlm_root"}, seed=settings.seed)
    runs = settings.vlm_root / "runs"
    run_baseline(name, splits, runs, given=given, limit_s=None)
    finished = collect(runs / splits.test.name, splits.split)
    print(table(finished, published(splits.test.name, splits.split, splits.test.n_cases)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
