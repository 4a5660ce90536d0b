"""The linear probes of a frozen base as runs: what fine-tuning and the language part must be better than."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlm_tsc.archive.splits import training_cases
from vlm_tsc.bases import load_base
from vlm_tsc.evaluate.baseline import Answered
from vlm_tsc.evaluate.trained import PROBES, Method, run_trained
from vlm_tsc.run import RunFolder
from vlm_tsc.settings import USUAL_BASE

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits


def run_probe(
    name: str,
    splits: Splits,
    runs: Path | str,
    base: str = USUAL_BASE,
    settings: Mapping[str, Any] | None = None,
    *,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit `classify.probe.ProbeClassifier` on all cases of train, answer the test part; see `run_trained`.

    Parameters
    ----------
    name : str
        A key of `evaluate.trained.PROBES`.
    base : str
        As `--base` takes it.
    settings : mapping, optional
        How cases are shown, and where the base is: `run.presentation_settings`, `llava_root`, `precision`.
    """
    from vlm_tsc.conversation.processor import checkpoint_folder
    from vlm_tsc.finetune.adapter import base_hash

    train, test = training_cases(splits), splits.test
    shown = {key: value for key, value in (settings or {}).items() if value is not None}
    folder = checkpoint_folder(load_base(base, shown.get("llava_root")), shown.get("llava_root"))
    parameters = {key: list(value) if isinstance(value, tuple) else value for key, value in shown.items()}
    parameters = {"base": base, "base_hash": base_hash(folder), **parameters, "llava_root": None}
    if PROBES[name] == "vision":  # it once read what comes behind the projector: such a run is another one
        parameters["features"] = "tower"

    def fit_and_answer(_: RunFolder) -> Answered:
        from vlm_tsc.answer.model import be_quiet, use_all_cores

        be_quiet()
        use_all_cores()
        from vlm_tsc.classify.probe import ProbeClassifier

        started = time.perf_counter()
        probe = ProbeClassifier(base, PROBES[name], shown)  # type: ignore[arg-type]
        probe.fit(train.X, train.y)
        fitted = time.perf_counter()
        chosen = [test.class_names.index(str(label)) for label in probe.predict(test.X)]
        seconds = fitted - started, time.perf_counter() - fitted
        return Answered(np.eye(len(test.class_names))[chosen], *(round(one, 1) for one in seconds))

    is_usual, last = base == USUAL_BASE, Path(base).name
    note = {} if is_usual else {"note": last}
    run = name if is_usual else f"{name}-{last}"
    asked = {"llava_root": str(shown["llava_root"])} if "llava_root" in shown else {}
    method = Method(name, run, parameters, fit_and_answer, facts=note, asked=asked, keeps_model=False)
    return run_trained(method, splits, train, runs, given=given)
