"""Accuracy against pre-training: python -m benchmarks.pretraining WORK … --vlm-root FOLDER [--only vision-1650,…]

What pre-trainings had saved at several points, or came to, is fine-tuned alike, and judged by cross-validation inside
training splits: no test split is read. What is finished is not done again, and two commands may measure different
points at once. Table and figure, FOLDER/tables/pretraining.{json,csv,png}, are of all points that are finished. A point
takes minutes for every fold of every set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.pretraining_points import Point, checkpoint_of, chosen, find_points
from benchmarks.series import settings_for
from vlm_tsc.errors import InputError, exits_cleanly
from vlm_tsc.files import write_json

SETS = ("ECG200", "OSULeaf", "Plane", "GunPoint")
RECIPE = "configs/pretrain/plot-llava-mini.yaml"


@dataclass(frozen=True)
class Protocol:
    """How every point is judged: cross-validated inside the training splits of `sets`, each fold in `steps` steps."""

    sets: tuple[str, ...]
    folds: int
    steps: int
    seed: int


@exits_cleanly
def main(argv: list[str]) -> int:
    """Measure points, and write table and figure of all that are finished."""
    given = _parser().parse_args(argv)
    from benchmarks.pretraining_tables import write_tables
    from vlm_tsc.answer.model import be_quiet
    from vlm_tsc.bases import load_base
    from vlm_tsc.conversation.processor import checkpoint_folder
    from vlm_tsc.pretrain.llava import read_config

    be_quiet()
    recipe, base = read_config(given.recipe), load_base(given.base)
    base_folder, root = checkpoint_folder(base), given.vlm_root.resolve() / "pretraining"
    points = find_points(given.work, recipe)
    protocol = Protocol(tuple(given.sets.split(",")), given.folds, given.steps, given.seed)
    for point in chosen(points, given.only) if not given.show else ():
        result = begun(root / "points" / f"{point.name}.json", point, protocol, base.defaults)
        if left(result, protocol):
            folder = checkpoint_of(point, recipe, base_folder.name, root / "bases" / point.name)
            measure(result, protocol, folder, root / "points")
        print(f"{point.name}: finished", flush=True)
    for path in write_tables(points, protocol, recipe, root):
        print(path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pretraining",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "work", type=Path, nargs="+", metavar="WORK", help="work folder, STAGE-STEP.safetensors in one, or a base"
    )
    parser.add_argument("--vlm-root", type=Path, required=True, metavar="FOLDER", help="folder for results and tables")
    parser.add_argument("--only", help="points, as nothing,vision-1650,episodes-450 (default: all)")
    parser.add_argument("--show", action="store_true", help="measure nothing: table and figure of what is finished")
    parser.add_argument("--sets", default=",".join(SETS), help=f"sets (default: {','.join(SETS)})")
    parser.add_argument("--folds", type=int, default=3, help="folds of each training split (default: 3)")
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps of each fine-tuning (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="seed of folds and fine-tuning (default: 0)")
    parser.add_argument(
        "--recipe", type=Path, default=Path(RECIPE), help=f"the pre-training's YAML (default: {RECIPE})"
    )
    parser.add_argument(
        "--base", default="plot-llava-mini", help="whose settings to fine-tune with (default: the bundled)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an input error")
    return parser


def begun(path: Path, point: Point, protocol: Protocol, defaults: dict[str, Any]) -> dict[str, Any]:
    """What is known of a point; nothing yet where `path` is not there.

    Raises
    ------
    InputError
        When what is known is of other weights, or was measured otherwise.
    """
    asked = {"weights": point.weights(), "settings": defaults}
    asked |= {key: value for key, value in asdict(protocol).items() if key != "sets"}
    if not path.is_file():
        return {"point": point.name, **asked, "fits": []}
    known = json.loads(path.read_text(encoding="utf-8"))
    if differs := [key for key in asked if known[key] != asked[key]]:
        fix = "--vlm-root with another folder, or remove this file and the point's folder in bases/"
        raise InputError("This point was measured otherwise.", where=path, got=f"{differs} differ", fix=fix)
    return known


def left(result: dict[str, Any], protocol: Protocol) -> list[tuple[str, int]]:
    """Sets and folds that are not measured yet."""
    done = {(fit["dataset"], fit["fold"]) for fit in result["fits"]}
    return [(name, k) for name in protocol.sets for k in range(protocol.folds) if (name, k) not in done]


def measure(result: dict[str, Any], protocol: Protocol, base_folder: Path, folder: Path) -> None:
    """Fine-tune and answer every fold that is left; each is written into `folder` when it is done."""
    from vlm_tsc.evaluate.cross_validation import one_fold
    from vlm_tsc.manifest import commit

    for dataset, k in left(result, protocol):
        settings, (others, held_out) = _fold(dataset, k, protocol, base_folder)
        fold = one_fold(settings, others, held_out, protocol.seed)
        result["fits"].append({"dataset": dataset, "fold": k, **asdict(fold), "commit": commit()})
        write_json(folder / f"{result['point']}.json", result)
        shown = f"accuracy {fold.accuracy:.3f}  log-loss {fold.log_loss:.3f}  {fold.seconds:.0f} s"
        print(f"{result['point']}  {dataset}  fold {k + 1} of {protocol.folds}: {shown}", flush=True)


def _fold(dataset: str, k: int, protocol: Protocol, base_folder: Path) -> tuple[Any, Sequence[Any]]:
    """Settings with which the fold takes `protocol.steps` steps, and its cases: to train on, and held out."""
    from vlm_tsc.archive.splits import official, training_cases
    from vlm_tsc.evaluate.cross_validation import folds_of
    from vlm_tsc.job import load_splits

    settings = settings_for(dataset, base=str(base_folder), seed=protocol.seed)
    folds = folds_of(training_cases(load_splits(settings, protocol.seed)), protocol.folds, protocol.seed)
    others, held_out = folds[k]
    n_trained = len(official(others.y, len(others.y), protocol.seed).train)  # the rest chooses the checkpoint
    assert settings.batch_size is not None  # the base's YAML has it
    epochs = (protocol.steps - 0.5) * settings.batch_size * settings.gradient_accumulation / n_trained  # is rounded up
    return settings.model_copy(update={"num_epochs": epochs}), (others, held_out)


if __name__ == "__main__":
    raise SystemExit(main())
