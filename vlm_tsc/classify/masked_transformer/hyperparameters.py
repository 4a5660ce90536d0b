"""What a person may choose about the masked transformer's training."""

from __future__ import annotations

from typing import Any

from vlm_tsc.classify.hyperparameters import NetworkHyperparameters
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.options import option

GROUP = "masked-transformer"
SIZES = ("width", "layers", "length", "patch")
_USUAL = Shape()
MAX_STEPS, MIN_STEPS, PASSES = 6000, 600, 100


def _size(name: str, description: str, **limits: Any) -> Any:
    unset = f"the encoder's; fresh: {getattr(_USUAL, name)}"
    return option(GROUP, None, description, unset=unset, **limits)


class Hyperparameters(NetworkHyperparameters):
    """Numbers that determine network and training."""

    linear: bool = option(GROUP, False, "Train the last layer alone, on the encoder as it is.")
    width: int | None = _size("width", "Width of the transformer.", ge=4, multiple_of=4)
    layers: int | None = _size("layers", "Layers of the transformer.", ge=1)
    length: int | None = _size("length", "Points of the longest case, after resampling.", ge=2)
    patch: int | None = _size("patch", "Points of a patch.", ge=1)
    lr: float | None = option(GROUP, None, "Peak learning rate.", unset="0.0005; linear: 0.005", gt=0)
    batch_size: int = option(GROUP, 16, "Cases a step.", ge=1)
    epochs: int | None = option(
        GROUP, None, "Passes over the training cases.", unset=f"{PASSES}, but {MIN_STEPS} to {MAX_STEPS} steps", ge=1
    )

    def rate(self) -> float:
        """The peak learning rate."""
        return self.lr or (0.005 if self.linear else 0.0005)

    def n_epochs(self, n_cases: int) -> int:
        """Passes over so many training cases."""
        if self.epochs is not None:
            return self.epochs
        steps = -(-n_cases // self.batch_size)  # of an epoch
        return -(-max(MIN_STEPS, min(MAX_STEPS, PASSES * steps)) // steps)

    def sizes(self) -> dict[str, int]:
        """The sizes that were given."""
        return {name: getattr(self, name) for name in SIZES if getattr(self, name) is not None}
