"""The command-line options of a run of a classifier of aeon on a dataset."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from vlm_tsc.options import option
from vlm_tsc.settings import MAX_SEED, UserPath


class ClassicalOptions(BaseModel):
    """What `python eval/baselines.py NAME` takes besides the data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = option("run", 0, "Seed of everything random.", ge=0, le=MAX_SEED)
    search: int | None = option(
        "search", None, "Choose its settings among N on cases held out of train.", unset="none", ge=1
    )
    search_space: UserPath | None = option(
        "search",
        None,
        "YAML that says what is chosen: `parameter: [values]` or `parameter: {low, high, log}`.",
        metavar="FILE",
        unset="the shipped one, configs/baselines/search/NAME.yaml",
    )
