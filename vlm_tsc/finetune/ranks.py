"""Training that goes on with another number of processes: equal steps, and DeepSpeed's state parted anew."""

from __future__ import annotations

import json
import logging
from argparse import Namespace
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json

log = logging.getLogger(__name__)

_FILE = "batches.json"


class Batches(NamedTuple):
    """What all processes together train on.

    Attributes
    ----------
    cases : int
        Cases of one optimizer step, of all processes.
    steps : int
        Optimizer steps of the run.
    stage : int or None
        ZeRO's, whose checkpoints no other can read; None without DeepSpeed.
    """

    cases: int
    steps: int
    stage: int | None = None


def begun_with(checkpoints: Path) -> Batches | None:
    """The batches of the training whose checkpoints these are, or None when none was begun."""
    try:
        return Batches(**json.loads((checkpoints / _FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def note_batches(checkpoints: Path, batches: Batches) -> None:
    """Write what `begun_with` reads."""
    write_json(checkpoints / _FILE, batches._asdict())


def check_same_stage(begun: Batches, stage: int | None) -> None:
    """Refuse to go on from checkpoints of another kind.

    Raises
    ------
    InputError
        When they were written without DeepSpeed and are to be read with it, the other way round, or by another stage.
    """
    if begun.stage != stage:
        raise InputError(
            "The training that was begun here has checkpoints of another kind.",
            where="--deepspeed",
            got=_kind(stage),
            allowed=_kind(begun.stage),
            fix="go on as it was begun, or --no-resume, which begins anew",
        )


def _kind(stage: int | None) -> str:
    return "none" if stage is None else f"settings of ZeRO stage {stage}"


def share(cases: int, ranks: int) -> int:
    """Cases of a step that each process takes.

    Raises
    ------
    InputError
        When they cannot have equal shares.
    """
    if cases % ranks == 0:
        return cases // ranks
    raise InputError(
        "These processes cannot share out the steps of the training that was begun here.",
        where="the number of processes",
        got=f"{ranks}, for {cases} cases a step",
        allowed=f"a divisor of {cases}",
        fix="or --no-resume, which begins anew",
    )


def largest_part(cases: int, at_most: int) -> int:
    """The most cases, up to `at_most`, of which a whole number makes up `cases`."""
    return max(n for n in range(1, at_most + 1) if cases % n == 0)


def deepspeed_for(checkpoint: Path | None, ranks: int, settings: Path, *, is_first: bool) -> dict[str, Any]:
    """DeepSpeed's settings for going on from `checkpoint`, which any number of processes may have written.

    DeepSpeed parts its state among the processes. Where another number wrote it, its own converter joins the parts into
    a "universal checkpoint" beside them.
    """
    values = json.loads(settings.read_text(encoding="utf-8"))
    parts = sorted(checkpoint.glob("global_step*/*optim_states.pt")) if checkpoint else []
    if checkpoint is None or len(parts) in (0, ranks):
        return values
    source = parts[0].parent
    if is_first and not (checkpoint / "latest_universal").exists():
        from deepspeed.checkpoint.ds_to_universal import main

        log.info("%s was written by %d processes: its state is joined for %d", checkpoint.name, len(parts), ranks)
        with redirect_stdout(StringIO()):
            main(
                Namespace(
                    input_folder=str(source),
                    output_folder=str(checkpoint / f"universal_{source.name}"),
                    num_extract_workers=1,
                    num_merge_workers=1,
                    keep_temp_folder=False,
                    strict=True,
                    inject_missing_state=True,
                )
            )
    return values | {"checkpoint": {**values.get("checkpoint", {}), "load_universal": True}}
