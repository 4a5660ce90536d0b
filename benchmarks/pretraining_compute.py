"""What a pre-training had cost at a point: operations, counted on the recipe's own batches, and examples seen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks.pretraining_points import NOTHING, PARTS, Point, model_of
from vlm_tsc.files import write_json

if TYPE_CHECKING:
    from vlm_tsc.pretrain.llava import LlavaPretraining

# Batches that are counted. All of `vision` are alike; the others differ in the lengths of questions and answers, and a
# fifth of those of `episodes` have text beside the picture.
COUNTED = {"vision": 1, "captions": 4, "instructions": 4, "episodes": 15}


def cost(point: Point, recipe: LlavaPretraining, operations: Mapping[str, float]) -> dict[str, float]:
    """`operations` and `examples` (plots, or questions without one) of all steps up to `point` of its own recipe.

    Both are sums over stages of steps times what a step takes. Drawing the series, the optimizer's own work and
    everything that is no matrix product, convolution or attention are not in the operations.

    Parameters
    ----------
    operations : mapping
        Stage → of a step, as `operations_of_steps` counts them.
    """
    own = point.recipe or recipe
    stages = [*PARTS]
    until = [] if point.stage == NOTHING else stages[: stages.index(point.stage)]
    steps = {stage: getattr(own, stage).steps for stage in until}
    if point.stage != NOTHING:
        steps[point.stage] = point.step
    return {
        "operations": sum(n * operations[stage] for stage, n in steps.items()),
        "examples": sum(n * _examples(own, stage) for stage, n in steps.items()),
    }


def _examples(recipe: LlavaPretraining, stage: str) -> int:
    from vlm_tsc.pretrain.llava import QUESTIONS_BESIDE

    return getattr(recipe, stage).batch_size + (QUESTIONS_BESIDE if stage == "episodes" else 0)


def operations_of_steps(recipe: LlavaPretraining, path: Path, batches: Mapping[str, int] = COUNTED) -> dict[str, float]:
    """Stage → floating-point operations of a step, forward and backward; kept in `path` and counted once.

    The mean over the stage's first `batches`, computed as the stage computes them, with fresh weights.
    """
    import json

    from vlm_tsc.manifest import data_hash

    asked = {"recipe": data_hash(recipe.model_dump(mode="json")), "batches": dict(batches)}
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if {key: known[key] for key in asked} == asked:
            return known["operations"]
    stages = _stages(recipe)
    found = {stage: mean(_counted(*stages[stage], step) for step in range(n)) for stage, n in batches.items()}
    write_json(path, {**asked, "operations": found})
    return found


def _counted(model: Any, batch: Any, loss_of: Any, step: int) -> int:
    from vlm_tsc.pretrain.rate import counted

    made = batch(step)
    with counted() as counter:
        loss_of(model, made)[0].backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def _stages(recipe: LlavaPretraining) -> dict[str, tuple[Any, Any, Any]]:
    """Stage → model, batches and loss, as `pretrain_llava` puts them together."""
    from vlm_tsc.answer.attention import use_attention_for_training
    from vlm_tsc.pretrain import episode_stage, llava, tasks, vision_stage

    processor = llava.make_processor(recipe)
    tower = vision_stage.TowerWithHead(llava.tower_shape(recipe))
    model = model_of(Point(NOTHING, 0), recipe, processor.tokenizer)
    for one in (tower.tower, model):
        use_attention_for_training(one)
    seed, size, style, n_cases = recipe.seed, recipe.image_size, recipe.picture, llava.CASES_PER_EPISODE
    plots = {"image_size": size, "n_cases": n_cases, "style": style}
    n_episodes = recipe.vision.batch_size // n_cases
    language = llava.language_loss(processor)
    batches = partial(llava.language_batches, processor)
    beside = batches(tasks.question_example, llava.QUESTIONS_BESIDE, seed + 1, recipe)
    prompts = episode_stage.episode_batches(
        processor, beside, seed=seed + 1, batch_size=recipe.episodes.batch_size, **plots
    )
    return {
        "vision": (
            tower,
            lambda step: vision_stage.make_batch(seed, step, n_episodes=n_episodes, **plots),
            vision_stage.vision_loss,
        ),
        "captions": (model, batches(tasks.caption_example, recipe.captions.batch_size, seed, recipe), language),
        "instructions": (
            model,
            batches(tasks.question_example, recipe.instructions.batch_size, seed, recipe),
            language,
        ),
        "episodes": (episode_stage.LlavaWithHead(model), prompts, episode_stage.episode_loss(language)),
    }
