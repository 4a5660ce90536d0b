"""What the vision tower's shape is worth: python -m benchmarks.towers --vlm-root FOLDER [--only 128/16,192/24 …]

Each tower takes the same first stage of pre-training on the same synthetic plots, and is judged as it is, frozen: a
ridge classifier on its tokens, or on means of them, cross-validated inside training splits. No test split is read.
Interrupted pre-training goes on, and what is finished is not done again: FOLDER/towers/NAME, and
FOLDER/tables/towers.{json,txt}. Minutes on a GPU; on two CPU cores half an hour for every 600 steps of a tower of 64
tokens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.series import settings_for
from benchmarks.timing import table
from vlm_tsc.errors import InputError, exits_cleanly
from vlm_tsc.files import write_json, write_text

if TYPE_CHECKING:
    from vlm_tsc.pretrain.llava import LlavaPretraining

RECIPE = "configs/pretrain/plot-llava-mini.yaml"
SETS = (
    *("ItalyPowerDemand", "PhalangesOutlinesCorrect", "PenDigits", "GunPoint", "CBF", "ECG200", "ArrowHead"),
    *("OSULeaf", "Plane", "Beef", "Car", "Adiac", "Strawberry", "Wine", "JapaneseVowels"),
)
MOST_CASES = 300  # of a training split
_FOLDS = 3
_BATCH = 64
_LOGGED = 25  # steps from one line of a pre-training's log to the next
# name → what differs from the recipe; "192/24" is of 192 pixels in patches of 24
TOWERS: Mapping[str, Mapping[str, Any]] = {
    "128/16": {},
    "96/12": {"image_size": 96, "patch_size": 12},
    "192/24": {"image_size": 192, "patch_size": 24},
    "128/32": {"patch_size": 32},
    "128/8": {"patch_size": 8},
    "width 256, 4 layers": {"vision_width": 256, "vision_layers": 4},
    "width 128, 12 layers": {"vision_width": 128, "vision_layers": 12},
    "line": {"picture": "line"},
}


@exits_cleanly
def main(argv: list[str]) -> int:
    """Pre-train and judge towers, and write the table of all that are finished."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.towers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vlm-root", type=Path, required=True, metavar="FOLDER", help="folder for towers and tables")
    parser.add_argument("--only", help=f"towers, with commas between them (default: {', '.join(TOWERS)})")
    parser.add_argument("--steps", type=int, default=600, help="of pre-training (default: 600)")
    parser.add_argument("--sets", default=",".join(SETS), help=f"sets (default: {','.join(SETS)})")
    parser.add_argument("--recipe", type=Path, default=Path(RECIPE), help=f"a pre-training's YAML (default: {RECIPE})")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw plots (default: 1)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an input error")
    given = parser.parse_args(argv)
    names = [name.strip() for name in given.only.split(",")] if given.only else [*TOWERS]
    if unknown := [name for name in names if name not in TOWERS]:
        raise InputError("There is no such tower.", where="--only", got=unknown, allowed=[*TOWERS])
    if given.steps < _LOGGED:
        raise InputError("These are too few steps.", where="--steps", got=given.steps, allowed=f"at least {_LOGGED}")
    from vlm_tsc.pretrain.llava import read_config

    recipe = read_config(given.recipe)
    for name in names:
        _measured(name, recipe.model_copy(update=dict(TOWERS[name])), given)
        print(f"{name}: finished", flush=True)
    print(write_tables(given.vlm_root, given.steps, given.sets.split(",")))
    return 0


def _measured(name: str, recipe: LlavaPretraining, given: argparse.Namespace) -> None:
    from vlm_tsc.manifest import commit
    from vlm_tsc.pretrain.llava import pretrain_tower
    from vlm_tsc.pretrain.noted import note_pretraining

    folder = _folder(given.vlm_root, name)
    found = _read(folder / "result.json")
    left = [one for one in given.sets.split(",") if one not in found.get("sets", {})]
    if found.get("steps") == given.steps and not left:
        return
    note_pretraining(folder, {"steps": given.steps, **recipe.model_dump(mode="json")}, fix="another --vlm-root")
    lengths = {"steps": given.steps, "warmup_steps": min(recipe.vision.warmup_steps, given.steps // 4)}
    stage = recipe.vision.model_copy(update=lengths)
    tower = pretrain_tower(recipe.model_copy(update={"vision": stage}), folder, given.workers)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    facts = {
        "steps": given.steps,
        "weights": sum(one.numel() for one in tower.parameters()),
        "plots_per_second": median(line["plots_per_second"] for line in log),
        "nearest_same_class": mean(line["nearest_same_class"] for line in log[-4:]),
        "commit": commit(),
    }
    judged = found.get("sets", {})
    for dataset in left:
        judged[dataset] = judge(tower, dataset, recipe)
        write_json(folder / "result.json", {"tower": name, **facts, "sets": judged})
        print(f"{name}  {dataset}: " + "  ".join(f"{key} {value:.3f}" for key, value in judged[dataset].items()))


def judge(tower: Any, dataset: str, recipe: LlavaPretraining) -> dict[str, float]:
    """Accuracy of a ridge classifier on "tokens" and on "means", cross-validated inside the set's training split."""
    from vlm_tsc.archive.splits import training_cases
    from vlm_tsc.job import load_splits
    from vlm_tsc.pretrain.probe import cross_validated_accuracy
    from vlm_tsc.representation import choose_limits

    cases = training_cases(load_splits(settings_for(dataset), recipe.seed))
    if cases.n_cases > MOST_CASES:
        order = np.random.default_rng(recipe.seed).permutation(cases.n_cases)
        cases = cases.select(np.sort(order[:MOST_CASES]))
    limits = choose_limits("auto", list(cases.X))
    y = np.unique(cases.y, return_inverse=True)[1]
    made = features(tower, list(cases.X), limits, recipe)
    return {name: cross_validated_accuracy(X, y, _FOLDS, recipe.seed) for name, X in made.items()}


def features(
    tower: Any, cases: Sequence[np.ndarray], limits: np.ndarray | None, recipe: LlavaPretraining
) -> dict[str, np.ndarray]:
    """All tokens of the last layer, and the means that the probes read: name → (n_cases, n_features)."""
    import torch

    from vlm_tsc.answer.features import pooled
    from vlm_tsc.pretrain.vision_stage import to_pixel_values
    from vlm_tsc.representation.styles import draw_as

    size = (recipe.image_size, recipe.image_size)
    found: dict[str, list[np.ndarray]] = {"means": [], "tokens": []}
    for start in range(0, len(cases), _BATCH):
        pictures = np.stack([draw_as(recipe.picture, case, size, limits) for case in cases[start : start + _BATCH]])
        with torch.no_grad():
            tokens = tower(pixel_values=to_pixel_values(torch.from_numpy(pictures).permute(0, 3, 1, 2)))
            tokens = tokens.last_hidden_state[:, 1:].float()
        found["means"].append(pooled(tokens).numpy())
        found["tokens"].append(tokens.flatten(1).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def write_tables(root: Path, steps: int, sets: Sequence[str]) -> str:
    """The table of all towers that are finished: these steps, and all of `sets`."""
    results = [_read(_folder(root, name) / "result.json") for name in TOWERS]
    finished = [one for one in results if one.get("steps") == steps and set(sets) <= set(one["sets"])]
    headings = ("tower", "weights", "plots/s", "synthetic", "means", "tokens")
    rows = []
    for one in finished:
        own = [one["sets"][name] for name in sets]
        figures = [mean(each[key] for each in own) for key in ("means", "tokens")]
        facts = [f"{one['weights'] / 1e6:.2f} M", f"{one['plots_per_second']:.0f}", f"{one['nearest_same_class']:.3f}"]
        rows.append([one["tower"], *facts, *(f"{figure:.3f}" for figure in figures)])
    how = f"{steps} steps; ridge classifier, {_FOLDS} folds of at most {MOST_CASES} training cases of {len(sets)} sets"
    text = f"{how}\n\n{table(headings, rows)}"
    write_json(root / "tables" / "towers.json", {"steps": steps, "sets": list(sets), "towers": finished})
    write_text(root / "tables" / "towers.txt", text + "\n")
    return text


def _folder(root: Path, name: str) -> Path:
    return root / "towers" / "".join(c if c.isalnum() else "-" for c in name)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


if __name__ == "__main__":
    raise SystemExit(main())
