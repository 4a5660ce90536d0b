"""The points at which pre-training is judged: what was saved there, as a checkpoint folder to fine-tune."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_tsc.errors import InputError
from vlm_tsc.pretrain.noted import NOTES_FILE

if TYPE_CHECKING:
    from vlm_tsc.pretrain.llava import LlavaPretraining

NOTHING = "nothing"  # fresh weights
PARTS = {"vision": "tower.", "captions": "", "instructions": "", "episodes": "llava."}  # where a state holds the model


@dataclass(frozen=True)
class Point:
    """A stage, its step, and what was saved there, a state or a finished base's folder; of fresh weights there is none.

    `recipe` is that of the point's own pre-training; `labels` are what the copies of its state are called.
    """

    stage: str
    step: int
    path: Path | None = None
    recipe: LlavaPretraining | None = field(default=None, compare=False)
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it stands in tables: "vision-1651"."""
        return self.stage if self.path is None else f"{self.stage}-{self.step}"

    @property
    def is_end(self) -> bool:
        """Whether its pre-training ended there."""
        return self.recipe is not None and (self.stage, self.step) == ("episodes", self.recipe.episodes.steps)

    def weights(self) -> str:
        """SHA-256 of what was saved; "fresh" where nothing was."""
        if self.path is None:
            return "fresh"
        digest = hashlib.sha256()
        for path in [self.path] if self.path.is_file() else sorted(self.path.glob("*.safetensors")):
            digest.update(path.read_bytes())
        return digest.hexdigest()


def find_points(folders: Sequence[Path], recipe: LlavaPretraining) -> list[Point]:
    """Fresh weights, and what is in `folders`, in the order of the stages and, within one, of their steps.

    Parameters
    ----------
    folders : sequence of Path
        Of each pre-training either its work folder, whose finished stages count (STAGE/state.safetensors), or a folder
        of copies of such files, made while it ran and named STAGE-STEP.safetensors, or both in one; or the base that it
        came to, a checkpoint folder. A state's step is what the file says: who copies while a stage runs knows it only
        from the log, which is ahead of what is saved.
    recipe : LlavaPretraining
        What bases came from, and folders that do not say. Others may differ from it in their steps (`--budget`).

    Raises
    ------
    InputError
        When a folder holds neither, is of another recipe, or has a point that another folder has too.
    """
    found: dict[str, Point] = {}
    for folder in folders:
        own = _points_of(folder, recipe)
        if twice := [name for name in own if name in found]:
            raise InputError("Two folders have the same points.", where=folder, got=twice, allowed="each point once")
        found |= own
    return [Point(NOTHING, 0), *sorted(found.values(), key=lambda point: ([*PARTS].index(point.stage), point.step))]


def _points_of(folder: Path, recipe: LlavaPretraining) -> dict[str, Point]:
    from vlm_tsc.pretrain.loop import STATE_FILE, read_step

    if (folder / "config.json").is_file():
        base = Point("episodes", recipe.episodes.steps, folder, recipe)
        return {base.name: base}
    own = _recipe_of(folder, recipe)
    ended = {stage: folder / stage / STATE_FILE for stage in PARTS}
    files: list[tuple[str, Path, tuple[str, ...]]] = [(stage, p, ()) for stage, p in ended.items() if p.is_file()]
    for path in sorted(folder.glob("*.safetensors")):
        if match := re.fullmatch(rf"({'|'.join(PARTS)})-\d+", path.stem):
            files.append((match[1], path, (path.stem,)))
    if not files:
        allowed = "STAGE-STEP.safetensors, STAGE/state.safetensors, or a checkpoint folder"
        raise InputError("There is no state of a pre-training.", where=folder, got="none", allowed=allowed)
    found: dict[str, Point] = {}
    for stage, path, label in files:
        point = Point(stage, read_step(path), path, own, label)
        known = found.setdefault(point.name, point)
        found[point.name] = replace(known, labels=tuple(dict.fromkeys((*known.labels, *label))))
    return found


def _recipe_of(folder: Path, recipe: LlavaPretraining) -> LlavaPretraining:
    """What `folder` says that it was made by; `recipe` where it says nothing. They may differ in their steps alone."""
    path = folder / NOTES_FILE
    if not path.is_file():
        return recipe
    from vlm_tsc.pretrain.llava import LENGTHS

    def but_lengths(value: Any) -> Any:  # of a stage
        return {key: one for key, one in value.items() if key not in LENGTHS} if isinstance(value, dict) else value

    noted = json.loads(path.read_text(encoding="utf-8"))["config"]
    asked = recipe.model_dump(mode="json")
    if differs := [key for key in {**asked, **noted} if but_lengths(asked.get(key)) != but_lengths(noted.get(key))]:
        fix = "--recipe FILE that it was made by"
        raise InputError("This pre-training is of another recipe.", where=path, got=f"{differs} differ", fix=fix)
    return type(recipe).model_validate(noted)


def chosen(points: Sequence[Point], only: str | None) -> list[Point]:
    """Those that `only` names, by stage and step or as a copy is called, with commas between them; None for all."""
    if only is None:
        return list(points)
    names = {point.name: point for point in points}
    known = {label: point for point in points for label in point.labels} | names
    if unknown := [name for name in only.split(",") if name not in known]:
        raise InputError("There is no such point.", where="--only", got=unknown, allowed=names)
    return list(dict.fromkeys(known[name] for name in only.split(",")))


def checkpoint_of(point: Point, recipe: LlavaPretraining, name: str, folder: Path) -> Path:
    """The point's checkpoint folder, made in `folder` where it is not there.

    What the point has not trained yet is as the recipe begins it. The folder is called `name`: one that is called like
    a known base is fine-tuned with the settings that suit that one.
    """
    from vlm_tsc.pretrain.letters import spread_answers
    from vlm_tsc.pretrain.llava import make_processor, save_base

    made = folder / name
    if (made / "config.json").is_file():
        return made
    if point.path is not None and point.path.is_dir():
        shutil.copytree(point.path, made)
    else:
        processor = make_processor(recipe)
        model = model_of(point, recipe, processor.tokenizer)
        spread_answers(model, processor.tokenizer, recipe.seed)  # as the recipe ends
        save_base(model, processor, made)
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
