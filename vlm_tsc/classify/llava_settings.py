"""Which settings of `train.py` mean something to a LLaVA that is fine-tuned on arrays or a table, without a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vlm_tsc.errors import InputError
from vlm_tsc.options import options_of
from vlm_tsc.settings import Settings

USED_GROUPS = ("picture", "text", "model", "training")
UNUSED = ("report_to", "resume", "search", "seeds")  # of these groups: they are a run's
OTHERS = ("eval_batch_size", "views", "scenario")  # of other groups


def refuse_unused(names: Iterable[str], where: Path | str) -> None:
    """Refuse settings that would do nothing here; what is no setting at all is refused where settings are read.

    Raises
    ------
    InputError
        Naming them, and what is allowed.
    """
    groups = {name: option.group for name, option in options_of(Settings).items()}
    used = [name for name in groups if groups[name] in USED_GROUPS and name not in UNUSED] + list(OTHERS)
    if unused := [name for name in names if name in groups and name not in used]:
        what = "a LLaVA that is trained on arrays or a table, not as a run, does not use this"
        raise InputError(what, where=where, got=unused, allowed=used)
