"""How much memory a fine-tuning takes, before anything is loaded.

Weights, gradients and optimizer are counted; activations follow from what each operation keeps for its backward pass
under autocast, as the comments below say. Nothing here was fitted to a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlm_tsc.bases import Part
from vlm_tsc.finetune.parts import QUANTISED
from vlm_tsc.finetune.sizes import Sizes, Tower, UnknownSizes

GPU_RESERVE = 1_000_000_000  # the CUDA context, the libraries' workspaces, and gaps between blocks
_ANSWER_TOKENS = 4  # columns of logits: a letter or two, the end token, and the one before them
_TRAINED = 4  # bytes of a weight that is trained


@dataclass(frozen=True)
class Plan:
    """What is trained, and how, on each device.

    Attributes
    ----------
    method : str
    parts : sequence of str
    r : int
        Rank of the adapters.
    dropout : bool
        Whether there is dropout before them.
    checkpointing : bool
        Gradient checkpointing.
    tokens, image_tokens : int
        Of the longest case, pictures included, and of its pictures.
    width : 2 or 4
        Bytes of a weight that is not trained, and of an activation: bfloat16 or float32.
    fused : bool
        Whether attention keeps no matrix of all pairs of tokens.
    stage, ranks : int
        ZeRO's stage (0: none), and among how many devices it parts.
    offload : bool
        Whether ZeRO-3 keeps weights and optimizer in the computer's memory.
    """

    method: str
    parts: Sequence[Part]
    r: int
    dropout: bool
    checkpointing: bool
    tokens: int
    image_tokens: int
    width: int = 2
    fused: bool = True
    stage: int = 0
    ranks: int = 1
    offload: bool = False


@dataclass(frozen=True)
class Estimate:
    """Bytes on one device at the fullest moment of a step."""

    weights: int
    trained: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    reserve: int

    @property
    def total(self) -> int:
        """Everything."""
        return sum(vars(self).values())


def estimate(sizes: Sizes, plan: Plan, batch_size: int, reserve: int = GPU_RESERVE) -> Estimate:
    """Memory of one device that trains `batch_size` cases at once, in bytes."""
    trained = trained_parameters(sizes, plan)
    weights = weight_bytes(sizes, plan)
    values = Estimate(
        weights=weights,
        trained=_TRAINED * trained,
        gradients=_TRAINED * trained,
        optimizer=2 * _TRAINED * trained,  # AdamW's two moments
        activations=batch_size * activation_bytes(sizes, plan),
        # as computed, in float32, their softmax, and both gradients
        logits=batch_size * _ANSWER_TOKENS * sizes.vocabulary * (2 * plan.width + 12),
        reserve=reserve,
    )
    return _parted(values, plan, sizes)


def trained_parameters(sizes: Sizes, plan: Plan) -> int:
    """Weights that are trained: adapters and the projector, or whole parts.

    Raises
    ------
    UnknownSizes
        When the base has no such part that this project knows.
    """
    if plan.method == "full":
        counted = set(plan.parts)
        if "language" in counted:
            counted.discard("head")  # which is trained with all of it
        return sum(_all_of(sizes, part) for part in counted)
    layers = [layer for part in plan.parts if part != "projector" for layer in sizes.linear[part]]
    adapters = sum(plan.r * (n_in + n_out) for n_in, n_out in layers)
    magnitudes = sum(n_out for _, n_out in layers) if plan.method == "dora" else 0
    return adapters + magnitudes + (_all_of(sizes, "projector") if "projector" in plan.parts else 0)


def _all_of(sizes: Sizes, part: Part) -> int:
    if part not in sizes.parts:
        raise UnknownSizes(f"No layer of this base is known to be of its {part}.", where="lora_targets of the base")
    return sizes.parts[part]


def weight_bytes(sizes: Sizes, plan: Plan) -> int:
    """Bytes of the base as it is loaded, without what is trained of it in `method: full`."""
    if plan.method == "full":  # autocast makes a copy in the narrow format of each weight that it multiplies
        trained = trained_parameters(sizes, plan)
        return (sizes.parameters - trained) * _TRAINED + (trained * plan.width if plan.width < _TRAINED else 0)
    kind = QUANTISED.get(plan.method)
    if kind is None:
        return sizes.parameters * plan.width
    layers = [layer for part in ("language", "vision") for layer in sizes.linear[part]]
    kept = sizes.parameters - sum(n_in * n_out for n_in, n_out in layers)
    small = sum(_nf4_bytes(n_in * n_out) if kind == "nf4" else n_in * n_out + 4 * n_out for n_in, n_out in layers)
    return kept * plan.width + small


def _nf4_bytes(n: int) -> int:
    """Four bits a weight, a byte for each block of 64, a float for each 256 of these, and both tables of values."""
    blocks = math.ceil(n / 64)
    return math.ceil(n / 2) + blocks + 4 * math.ceil(blocks / 256) + 4 * (16 + 256 + 1)


def activation_bytes(sizes: Sizes, plan: Plan) -> int:
    """Bytes that one case keeps for the backward pass, and what the layer at work takes besides."""
    layer = _layer_bytes(sizes.language, plan, "language" in plan.parts, gated=True) * plan.tokens
    layer += _pair_bytes(sizes.language, plan, plan.tokens)
    kept = sizes.language.layers * (sizes.language.hidden * plan.width * plan.tokens if plan.checkpointing else layer)
    patches = int(plan.image_tokens * sizes.patches)
    if "vision" in plan.parts:
        seen = _layer_bytes(sizes.vision, plan, True, gated=False) * patches + _pair_bytes(sizes.vision, plan, patches)
        kept += sizes.vision.layers * (sizes.vision.hidden * plan.width * patches if plan.checkpointing else seen)
    else:  # frozen: it keeps nothing but the output of each layer, which the model returns
        kept += sizes.vision.layers * sizes.vision.hidden * plan.width * patches
    return kept + layer


def _layer_bytes(tower: Tower, plan: Plan, adapted: bool, *, gated: bool) -> int:
    """Bytes that one layer keeps for each token."""
    hidden, wide = tower.hidden, tower.intermediate
    kept = 2 * 4 * hidden  # the inputs of both norms, in float32
    kept += plan.width * (2 * hidden + 2 * tower.key_value)  # queries, keys, values, what attention returns
    kept += plan.width * wide * (3 if gated else 2)  # before and after the activation, and the gated half
    if not adapted:
        return kept
    inputs = (6 if gated else 5) * hidden + wide  # of the seven (or six) linear layers
    if plan.method == "full":
        return kept + plan.width * (3 * hidden + wide)  # layers that share an input keep it once
    if plan.method == "qlora8":
        kept += plan.width * (3 * hidden + wide)  # bitsandbytes keeps the inputs, too
    # an adapter keeps its own copy of the input, and where dropout was
    return kept + inputs * (plan.width + (1 if plan.dropout else 0)) + plan.width * 7 * plan.r


def _pair_bytes(tower: Tower, plan: Plan, tokens: int) -> int:
    return 0 if plan.fused else 2 * plan.width * tower.heads * tokens**2


def _parted(values: Estimate, plan: Plan, sizes: Sizes) -> Estimate:
    """What is left on one device where ZeRO parts it among several."""
    share = max(1, plan.ranks)
    changes: dict[str, int] = {}
    if plan.stage >= 1:
        changes["optimizer"] = values.optimizer // share
    if plan.stage >= 2:
        changes["gradients"] = values.gradients // share
    if plan.stage >= 3:
        at_work = 2 * values.weights // max(1, sizes.language.layers)  # the layer at work, and the next
        changes["weights"] = values.weights // share + at_work
        changes["trained"] = values.trained // share
        if plan.offload:
            changes |= {"weights": at_work, "trained": 0, "optimizer": 0}
    return replace(values, **changes)


def largest_batch(sizes: Sizes, plan: Plan, memory: float, allowed: Sequence[int]) -> int | None:
    """The largest of the `allowed` batch sizes whose estimate is at most `memory` bytes; None when none is."""
    fitting = [n for n in allowed if estimate(sizes, plan, n).total <= memory]
    return max(fitting, default=None)
