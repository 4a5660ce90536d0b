"""What the hyperparameters of every network trained here have in common."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict


class NetworkHyperparameters(BaseModel):
    """Numbers that determine a network and its training.

    Raises
    ------
    pydantic.ValidationError
        With every wrong or unknown field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def of(cls, holder: object) -> Self:
        """Those among the attributes of a classifier, or of options that are more than hyperparameters."""
        return cls(**{name: getattr(holder, name) for name in cls.model_fields})
