"""Compare settings without the test split: python eval/cross_validate.py K --dataset NAME [--option value …]."""

from __future__ import annotations

import sys
from dataclasses import asdict

import numpy as np

from vlm_tsc import terminal
from vlm_tsc.config import settings_from_cli
from vlm_tsc.errors import InputError

PROG = "eval/cross_validate.py"
DESCRIPTION = "Fine-tune on all but one of K folds of the training split and answer that fold, K times."


@terminal.speaks
def main(argv: list[str]) -> int:
    """`argv`: the number of folds, then the options; without the program's name."""
    k, words = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("K", argv)
    settings = settings_from_cli(words, prog=f"{PROG} {k}", description=DESCRIPTION)
    if not k.isdecimal():
        raise InputError("Say first how many folds.", where=f"{PROG} K", got=k, allowed="a whole number from 2")

    from vlm_tsc import job
    from vlm_tsc.answer.model import be_quiet
    from vlm_tsc.archive.splits import training_cases
    from vlm_tsc.evaluate.cross_validation import cross_validate

    be_quiet()
    for seed in settings.seeds or (settings.seed,):
        train = training_cases(job.load_splits(settings, seed))
        terminal.say(f"{train.name} · {train.n_cases} training cases · {k} folds · seed {seed}")
        folds = []
        for fold in cross_validate(settings, train, int(k), seed):
            folds.append(fold)
            terminal.say(
                f"  {fold.n_train} cases → {fold.n_held_out} held out: accuracy {fold.accuracy:.3f}"
                f"  log-loss {fold.log_loss:.3f}  {fold.seconds:.0f} s"
            )
        n = np.array([fold.n_held_out for fold in folds])
        means = [np.average([getattr(fold, name) for fold in folds], weights=n) for name in ("accuracy", "log_loss")]
        terminal.show(f"  all: accuracy {means[0]:.3f}  log-loss {means[1]:.3f}")
        mean = {"accuracy": float(means[0]), "log_loss": float(means[1])}
        terminal.answer(
            seeds=[{"dataset": train.name, "seed": seed, **mean, "folds": [asdict(fold) for fold in folds]}], notes=[]
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
