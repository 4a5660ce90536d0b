"""The options of every command that asks a finished run's model: what this machine changes of the run's settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vlm_tsc.options import MACHINE, option
from vlm_tsc.settings import UserPath


class MachineOptions(BaseModel):
    """What is not given is as the run was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Literal["auto", "fp32", "bf16"] | None = option(MACHINE, None, "Number format.", unset="the run's")
    eval_batch_size: int | None = option(MACHINE, None, "Cases answered at once.", unset="the run's", ge=1)
    llava_root: UserPath | None = option(
        MACHINE, None, "Folder of local checkpoints.", metavar="DIR", unset="the run's"
    )
    debug: bool = option(MACHINE, False, "Show the traceback of an error.")

    def given(self, *more: str) -> dict[str, Any]:
        """Name → value of those that were given, and of the options `more` that were."""
        names = ("precision", "eval_batch_size", "llava_root", *more)
        return {name: value for name in names if (value := getattr(self, name)) is not None}
