"""The sides of the data benchmark: python -m benchmarks.data_sides SIDE SIZE DATASET [--option value …]

Each runs as a process of its own and prints {"seconds": of the data stage, "cases": how many}.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_ROUND_TO = 1  # as the bundled base


def main(argv: list[str]) -> int:
    """Run one side."""
    side, size, dataset, *options = argv
    given = {word[2:].replace("-", "_"): value for word, value in zip(options[::2], options[1::2], strict=True)}
    seconds, cases = {"ours": _ours, "peer": _peer, "limit": _limit}[side](int(size), dataset, given)
    print(json.dumps({"seconds": seconds, "cases": cases}))
    return 0


def _ours(size: int, dataset: str, given: dict[str, Any]) -> tuple[float, int]:
    from vlm_tsc import job
    from vlm_tsc.bases import load_base
    from vlm_tsc.config import settings_from
    from vlm_tsc.conversation.processor import checkpoint_folder, load_processor
    from vlm_tsc.manifest import read_manifest

    settings = settings_from({"dataset": dataset, **given})
    load_processor(checkpoint_folder(load_base(settings.base)))  # imports torch and transformers
    start = time.perf_counter()
    run = job.prepare(settings, 0)
    seconds = time.perf_counter() - start
    manifest = read_manifest(run)
    assert manifest is not None
    return seconds, sum(sum(classes.values()) for classes in manifest.counts.values())


def _peer(size: int, dataset: str, given: dict[str, Any]) -> tuple[float, int]:
    from multiprocessing import Pool

    import matplotlib

    matplotlib.use("agg")
    importlib.import_module("matplotlib.pyplot")  # before the clock starts

    from benchmarks.timing import cores

    start = time.perf_counter()
    out = Path(given["vlm_root"])
    tasks = [(out / f"{i}.png", size, *case) for i, case in enumerate(_cases(dataset, given))]
    with Pool(cores()) as pool:
        records = pool.map(_plot, tasks)
    (out / "data.json").write_text(json.dumps(records))
    return time.perf_counter() - start, len(tasks)


def _plot(task: tuple[Path, int, np.ndarray, str]) -> dict[str, Any]:
    import matplotlib.pyplot as plt

    path, size, case, label = task
    plt.figure(figsize=(size / 100, size / 100), dpi=100)
    plt.plot(case[0])
    plt.savefig(path)
    plt.close()
    values = ", ".join(f"{value:.{_ROUND_TO}f}" for value in case[0])
    turns = [{"from": "human", "value": f"<image>\n{values}"}, {"from": "gpt", "value": label}]
    return {"id": path.stem, "image": path.name, "conversations": turns}


def _limit(size: int, dataset: str, given: dict[str, Any]) -> tuple[float, int]:
    from vlm_tsc.files import write_bytes
    from vlm_tsc.representation import draw, png_bytes

    pictures = [draw(case, (size, size)) for case, _ in _cases(dataset, given)]
    out = Path(given["vlm_root"])
    start = time.perf_counter()
    for i, picture in enumerate(pictures):
        write_bytes(out / f"{i}.png", png_bytes(picture), sync=False)
    return time.perf_counter() - start, len(pictures)


def _cases(dataset: str, given: dict[str, Any]) -> list[tuple[np.ndarray, str]]:
    from vlm_tsc.archive import load

    splits = load(dataset, data_dir=given.get("data_dir"), test=given.get("test"))
    parts = [part for part in (splits.train, splits.validation, splits.test) if part is not None]
    return [(case, str(label)) for part in parts for case, label in zip(part.X, part.y, strict=True)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
