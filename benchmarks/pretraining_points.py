"""The points of a pre-training at which it is judged: what it had saved there, as a checkpoint folder to fine-tune."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_tsc.errors import InputError

if TYPE_CHECKING:
    from vlm_tsc.pretrain.llava import LlavaPretraining

NOTHING = "nothing"  # fresh weights
PARTS = {"vision": "tower.", "captions": "", "instructions": "", "episodes": "llava."}  # where a state holds the model


@dataclass(frozen=True)
class Point:
    """A stage, its step, and the state that was saved there; of fresh weights there is none."""

    stage: str
    step: int
    path: Path | None

    @property
    def name(self) -> str:
        """As `--only` takes it: "vision-1650"."""
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
        of such files, made while it ran and named STAGE-STEP.safetensors; or both.

    Raises
    ------
    InputError
        When it holds neither, or a copy that is of another step than its name says.
    """
    from vlm_tsc.pretrain.loop import STATE_FILE, read_step

    found = {f"{stage}-{read_step(path)}": path for stage in PARTS if (path := folder / stage / STATE_FILE).is_file()}
    for path in folder.glob("*.safetensors"):
        if match := re.fullmatch(rf"({'|'.join(PARTS)})-(\d+)", path.stem):
            if read_step(path) != int(match[2]):
                raise InputError("A state is named after another step.", where=path, got=f"step {read_step(path)}")
            found[path.stem] = path
    if not found:
        allowed = "STAGE-STEP.safetensors, or STAGE/state.safetensors"
        raise InputError("There is no state of a pre-training.", where=folder, got="none", allowed=allowed)
    points = [Point(name.split("-")[0], int(name.split("-")[1]), path) for name, path in found.items()]
    order = [*PARTS]
    return [Point(NOTHING, 0, None), *sorted(points, key=lambda point: (order.index(point.stage), point.step))]


def chosen(points: Sequence[Point], only: str | None) -> list[Point]:
    """Those that `only` names, with commas between them; None for all."""
    if only is None:
        return list(points)
    known: Mapping[str, Point] = {point.name: point for point in points}
    if unknown := [name for name in only.split(",") if name not in known]:
        raise InputError("There is no such point.", where="--only", got=unknown, allowed=known)
    return [known[name] for name in dict.fromkeys(only.split(","))]


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
