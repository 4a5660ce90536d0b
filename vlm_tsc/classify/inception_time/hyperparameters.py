"""What a person may choose about InceptionTime, and two sets of choices."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

GROUP = "inception-time"
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # the authors' code; their paper trains five networks
    "paper": MappingProxyType({}),
    # of the SageMaker algorithm, whose other defaults are the paper's
    "seed": MappingProxyType({"epochs": 100}),
}


def _number(default: float, description: str, **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"group": GROUP}, **limits)


class Hyperparameters(BaseModel):
    """Numbers that determine network and training; the defaults are the paper's.

    Raises
    ------
    pydantic.ValidationError
        With every wrong or unknown field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    filters: int = _number(32, "Filters of each convolution.", ge=1)
    depth: int = _number(6, "Blocks of each network.", ge=1)
    models: int = _number(5, "Networks, whose probabilities are averaged.", ge=1)
    lr: float = _number(0.001, "Learning rate; halved, down to 1e-4, when the training loss stands still.", gt=0)
    batch_size: int = _number(64, "Cases a step.", ge=1)
    epochs: int = _number(1500, "Passes over the training cases.", ge=1)
