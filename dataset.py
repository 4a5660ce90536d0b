"""Turn a time-series dataset into pictures and LLaVA conversations: python dataset.py configs/llava_config.yaml"""

from __future__ import annotations

import sys

from vlm_tsc import terminal
from vlm_tsc.config import settings_from_cli


@terminal.speaks
def main(argv: list[str]) -> int:
    """Series → run folder, for every seed; a finished one is not made again."""
    settings = settings_from_cli(
        argv,
        prog="dataset.py",
        description=__doc__ or "",
        groups=("data", "picture", "text", "model", "training", "run"),
    )

    from vlm_tsc import job, told

    for seed in settings.seeds or (settings.seed,):
        run = job.prepare(settings, seed)
        terminal.show(f"{run.path}\n{told.data_summary(run)}")
        terminal.answer(**told.answer_of([run]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
