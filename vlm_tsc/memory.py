"""How much GPU memory a fine-tuning will take: python -m vlm_tsc.memory --base llava-1.5-7b --method qlora"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from vlm_tsc import terminal
from vlm_tsc.bases import load_base
from vlm_tsc.config import Settings, settings_from_cli

if TYPE_CHECKING:
    from vlm_tsc.finetune.estimate import Estimate, Plan
    from vlm_tsc.finetune.sizes import Sizes

_RULE = "─" * 58
_CARDS = (16, 24, 40, 80)  # GB that cards have
_BATCHES = tuple(2**i for i in range(11))
_ABOUT = (
    "Estimate the GPU memory of a fine-tuning from the base's configuration alone: no weights are loaded. Settings are "
    "those of train.py; --context-length is taken for the tokens of the longest case, --gradient-accumulation changes "
    "nothing, and with --deepspeed the share of one GPU of 8 is shown."
)
_RANKS = 8
_ROWS = {
    "weights": "base",
    "trained": "adapters, projector",
    "gradients": "their gradients",
    "optimizer": "their optimizer",
    "activations": "activations",
    "logits": "logits",
    "reserve": "CUDA and gaps",
}


@terminal.speaks
def main(argv: list[str]) -> int:
    """Print the table."""
    settings = settings_from_cli(
        argv, prog="-m vlm_tsc.memory", description=_ABOUT, groups=("text", "model", "training"), required=()
    )
    from vlm_tsc.answer.model import be_quiet

    be_quiet()
    from vlm_tsc.finetune.estimate import estimate
    from vlm_tsc.finetune.sizes import configuration, image_tokens, sizes_of

    base = load_base(settings.base, settings.llava_root)
    sizes = sizes_of(configuration(base, settings.llava_root), base.lora_targets)
    assert settings.batch_size is not None and settings.context_length is not None  # the base's YAML has them
    plan = gpu_plan(settings, settings.context_length, image_tokens(base), ranks=_RANKS if settings.deepspeed else 1)
    batch = settings.micro_batch or settings.batch_size
    found = estimate(sizes, plan, batch)
    terminal.show(table(settings, sizes, plan, batch, found))
    terminal.answer(base=settings.base, method=plan.method, batch=batch, bytes={**vars(found), "total": found.total})
    return 0


def gpu_plan(settings: Settings, tokens: int, image_tokens: int, ranks: int = 1) -> Plan:
    """What these settings ask of a GPU: in bfloat16, unless they say float32."""
    from vlm_tsc.finetune.plan import plan_of

    return plan_of(settings, tokens, image_tokens, width=4 if settings.precision == "fp32" else 2, ranks=ranks)


def table(settings: Settings, sizes: Sizes, plan: Plan, batch: int, found: Estimate) -> str:
    """The estimate, and the largest batch on each size of card; at most 80 columns."""
    kind = {"qlora": "4-bit", "qlora8": "8-bit"}.get(plan.method, "bf16" if plan.width == 2 else "fp32")
    cases = "case" if batch == 1 else "cases"
    heading = f"{settings.base} · {plan.method} · {batch} {cases} of {plan.tokens:,} tokens"
    if plan.checkpointing:
        heading += " · checkpointing"
    labels = {**_ROWS, "weights": f"base, {kind}"}
    if plan.method == "full":
        labels |= {"weights": "frozen weights, bf16 copies of the others", "trained": "trained weights"}
    lines = [heading, f"{sizes.parameters:,} weights · {', '.join(plan.parts)}" + _zero(plan), _RULE]
    lines += [f"{labels[name]:<44}{value / 1e9:>11.2f} GB" for name, value in vars(found).items()]
    lines += [_RULE, f"{'together':<44}{found.total / 1e9:>11.2f} GB", _RULE]
    return "\n".join([*lines, *_fitting(sizes, plan)])


def _zero(plan: Plan) -> str:
    return f" · ZeRO-{plan.stage} on {plan.ranks} GPUs" if plan.stage else ""


def _fitting(sizes: Sizes, plan: Plan) -> list[str]:
    from vlm_tsc.finetune.estimate import largest_batch

    found: dict[int, Any] = {card: largest_batch(sizes, plan, card * 1e9, _BATCHES) for card in _CARDS}
    texts = [f"{card} GB: {count or 'none'}" for card, count in found.items()]
    return [f"cases at once on a GPU of {', '.join(texts)}"]


if __name__ == "__main__":
    sys.exit(main())
