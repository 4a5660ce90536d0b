"""The points of a pre-training at which it is judged: what it had saved there, as a checkpoint folder to fine-tune."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_tsc.errors import InputError

if TYPE_CHECKING:
    from vlm_tsc.pretrain.llava import LlavaPretraining

NOTHING = "nothing"  # fresh weights
PARTS = {"vision": "tower.", "captions": "", "instructions": "", "episodes": "llava."}  # where a state holds the model


@dataclass(frozen=True)
class Point:
    """A stage, its step, and the state that was saved there; of fresh weights there is none.

    `labels` are what the copies of that state are called.
    """

    stage: str
    step: int
    path: Path | None = None
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it stands in tables: "vision-1651"."""
        return self.stage if self.path is None else f"{self.stage}-{self.step}"

    def weights(self) -> str:
        """SHA-256 of the saved state; "fresh" where there is none."""
        if self.path is None:
            return "fresh"
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_points(folder: Path) -> list[Point]:
    """Fresh weights, and what is in `folder`, in the order of the recipe.

    Parameters
    ----------
    folder : Path
        A work folder of the pre-training, whose finished stages count (STAGE/state.safetensors), or a folder of copies
        of such files, made while it ran and named STAGE-STEP.safetensors; or both. The step is what the file says: who
        copies while a stage runs knows it only from the log, which is ahead of what is saved.

    Raises
    ------
    InputError
        When it holds neither.
    """
    from vlm_tsc.pretrain.loop import STATE_FILE, read_step

    ended = {stage: folder / stage / STATE_FILE for stage in PARTS}
    files: list[tuple[str, Path, tuple[str, ...]]] = [(stage, p, ()) for stage, p in ended.items() if p.is_file()]
    for path in sorted(folder.glob("*.safetensors")):
        if match := re.fullmatch(rf"({'|'.join(PARTS)})-\d+", path.stem):
            files.append((match[1], path, (path.stem,)))
    if not files:
        allowed = "STAGE-STEP.safetensors, or STAGE/state.safetensors"
        raise InputError("There is no state of a pre-training.", where=folder, got="none", allowed=allowed)
    found: dict[str, Point] = {}
    for stage, path, label in files:
        point = Point(stage, read_step(path), path, label)
        known = found.setdefault(point.name, point)
        found[point.name] = replace(known, labels=tuple(dict.fromkeys((*known.labels, *label))))
    order = [*PARTS]
    return [Point(NOTHING, 0), *sorted(found.values(), key=lambda point: (order.index(point.stage), point.step))]


def chosen(points: Sequence[Point], only: str | None) -> list[Point]:
    """Those that `only` names, by stage and step or as a copy is called, with commas between them; None for all."""
    if only is None:
        return list(points)
    names = {point.name: point for point in points}
    known = {label: point for point in points for label in point.labels} | names
    if unknown := [name for name in only.split(",") if name not in known]:
        raise InputError("There is no such point.", where="--only", got=unknown, allowed=names)
    return list(dict.fromkeys(known[name] for name in only.split(",")))


def checkpoint_of(point: Point, recipe: LlavaPretraining, base_folder: Path, folder: Path) -> Path:
    """The point's checkpoint folder, made in `folder` where it is not there.

    What the point has not trained yet is as the recipe begins it. Processor and name are those of the base in
    `base_folder`: a folder that is named like a known base is fine-tuned with the settings that suit that one.
    """
    from vlm_tsc.conversation.processor import load_processor
    from vlm_tsc.pretrain.llava import save_base

    made = folder / base_folder.name
    if not (made / "config.json").is_file():
        processor = load_processor(base_folder)
        save_base(model_of(point, recipe, processor.tokenizer), processor, made)
    return made


def model_of(point: Point, recipe: LlavaPretraining, tokenizer: Any) -> Any:
    """The LLaVA as it was at `point`, in fp32."""
    import torch

    from vlm_tsc.pretrain.llava import model_around, tower_shape
    from vlm_tsc.pretrain.loop import read_weights
    from vlm_tsc.pretrain.vision_stage import TowerWithHead

    torch.manual_seed(recipe.seed)  # as the stage `vision` begins
    fresh = TowerWithHead(tower_shape(recipe)).tower
    if point.path is None:
        return model_around(recipe, tokenizer, fresh.state_dict())
    weights = read_weights(point.path, PARTS[point.stage])
    if point.stage == "vision":
        return model_around(recipe, tokenizer, weights)
    model = model_around(recipe, tokenizer, fresh.state_dict())
    model.load_state_dict(weights)
    return model
