"""The sizes of an encoder."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Shape(BaseModel):
    """Sizes of a patch encoder; the defaults make one of 3.3 MB.

    Attributes
    ----------
    n_channels : int
        Channels of a patch. An encoder of one channel also takes series of several: each channel by itself.
    length : int
        Points to which the longest training case of a set is resampled; a multiple of `patch`.
    patch : int
        Points of a patch.
    width, layers, heads : int
        Of the transformer; its inner layers are four times as wide.
    dropout : float

    Raises
    ------
    pydantic.ValidationError
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    n_channels: int = Field(default=1, ge=1)
    length: int = Field(default=512, ge=2)
    patch: int = Field(default=16, ge=1)
    width: int = Field(default=128, ge=4)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Shape:
        if self.length % self.patch:
            raise ValueError(f"length {self.length} is no multiple of patch {self.patch}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self

    @property
    def n_patches(self) -> int:
        """Most patches of a case."""
        return self.length // self.patch
