"""What `configs/pretrain/mae.yaml` and its like set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.errors import InputError
from vlm_tsc.resources import find_file
from vlm_tsc.settings import PLAIN_NAME, is_plain_name
from vlm_tsc.yaml_file import read_yaml

SYNTHETIC, ALL = "synthetic", "all"


def _names(value: Any) -> Any:
    """A comma list of the command line as a list."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Pretraining(BaseModel):
    """A pre-training.

    Attributes
    ----------
    name : str
        Of the encoder, in the registry and as the folder in `runs/pretrain/`.
    task : "mae", "timemae" or "contrastive"
    datasets : tuple of str
        Sets whose training parts are used; or "all" of the data folder, or "synthetic" for the project's own series.
    exclude : tuple of str
        Sets that "all" leaves out: those that the encoder shall be scored on.
    seed, steps, batch_size, warmup_steps : int
    learning_rate : float
        At its peak.
    shape : Shape
        Sizes of the encoder.
    mask_ratio : float
        Share of the patches that is hidden (mae, timemae).
    codewords, cross_layers, momentum, regression_weight, codeword_weight
        Of timemae: size of the codebook, blocks that look from masked positions to visible ones, share of the target
        encoder that stays in a step, and the weights of its two losses.
    temperature : float
        Of the contrastive loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    task: Literal["mae", "timemae", "contrastive"]
    datasets: Annotated[Names, Field(min_length=1)]
    exclude: Names = ()
    seed: int = Field(default=0, ge=0)
    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup_steps: int = Field(default=100, ge=0)
    shape: Shape = Shape()
    mask_ratio: float = Field(default=0.6, gt=0, lt=1)
    codewords: int = Field(default=192, ge=2)
    cross_layers: int = Field(default=2, ge=1)
    momentum: float = Field(default=0.99, ge=0, le=1)
    regression_weight: float = Field(default=5.0, ge=0)
    codeword_weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=0.2, gt=0)

    @field_validator("name")
    @classmethod
    def _is_plain(cls, name: str) -> str:
        if not is_plain_name(name):
            raise ValueError(f"it must be {PLAIN_NAME}")
        return name

    @property
    def is_synthetic(self) -> bool:
        """Whether no set of anybody is used."""
        return self.datasets == (SYNTHETIC,)


def read_pretraining(path: Path | str, given: Mapping[str, Any] | None = None) -> Pretraining:
    """The pre-training that a YAML file describes; `given`, where not None, wins over it.

    Raises
    ------
    InputError
        With every wrong, missing or unknown key.
    """
    values, _ = read_yaml(find_file(path) or path)
    values |= {key: value for key, value in (given or {}).items() if value is not None}
    try:
        return Pretraining.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        raise InputError("The pre-training configuration is wrong.", where=path, got="; ".join(problems)) from None
