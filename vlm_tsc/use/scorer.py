"""A finished run's model as a function: cases → the log-likelihood of every class's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.errors import InputError
from vlm_tsc.run import RunFolder
from vlm_tsc.startup import collection_paused
from vlm_tsc.terminal import bar

if TYPE_CHECKING:
    import torch

    from vlm_tsc.answer.ask import Asked

_BATCHES = 4  # shown at once: pictures of several thousand covered cases would fill the memory


@dataclass(frozen=True)
class Scorer:
    """A model that is asked about series, each shown to it as every case of its run is."""

    model: Any
    processor: Any
    presentation: Presentation
    batch_size: int
    precision: torch.dtype

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.presentation.builder.answer_map.class_names

    def asked(self, cases: Sequence[np.ndarray], progress: bool = False) -> Asked:
        """What the model answers to cases `(n_channels, n_timepoints)`; pictures and texts are made here."""
        from vlm_tsc.answer.ask import Asked, ask

        answers = self.presentation.builder.answer_map.answers
        options = {"batch_size": self.batch_size, "precision": self.precision}
        size = self.batch_size * _BATCHES
        found = []
        for start in bar(range(0, len(cases), size), unit="part", shown=progress):
            shown = [self.presentation.show(case) for case in cases[start : start + size]]
            found.append(ask(self.model, self.processor, shown, answers, **options))
        return Asked(
            np.concatenate([one.probabilities for one in found]),
            None,
            np.concatenate([one.log_likelihoods for one in found if one.log_likelihoods is not None]),
        )

    def log_likelihoods(self, cases: Sequence[np.ndarray], progress: bool = False) -> np.ndarray:
        """Of cases `(n_channels, n_timepoints)`: (n_cases, n_classes), in nats."""
        found = self.asked(cases, progress).log_likelihoods
        assert found is not None  # as of every single view
        return found

    def of_class(self, label: str, progress: bool = False) -> Any:
        """The function that `occlusion.occlusion_map` takes, of one class."""
        column = self.class_names.index(label)
        return lambda cases: self.log_likelihoods(cases, progress)[:, column]


def check_run(run: RunFolder) -> None:
    """Refuse a folder that is no run with series and an adapter; cheap, before anything is read or imported."""
    lacking = [path.name for path in (run.config, run.series, run.adapter) if not path.exists()]
    if lacking:
        allowed = "a finished run of a vision-language model, such as runs/ItalyPowerDemand/NAME"
        fix = "run train.py (again) to finish it" if lacking == ["adapter"] else None
        raise InputError("this is no such run", where=run.path, got=f"no {lacking[0]}", allowed=allowed, fix=fix)


@collection_paused()
def open_scorer(run: RunFolder, **machine: Any) -> Scorer:
    """The scorer of a finished run.

    Parameters
    ----------
    machine
        Settings of this machine that win over the run's own: `llava_root`, `precision`, `eval_batch_size`.

    Raises
    ------
    InputError
        When the folder is no run of a vision-language model, or not finished.
    """
    check_run(run)
    from vlm_tsc.answer.model import be_quiet, choose_precision, device, use_all_cores

    be_quiet()
    from vlm_tsc.bases import load_base
    from vlm_tsc.config import load_settings
    from vlm_tsc.conversation.processor import checkpoint_folder
    from vlm_tsc.finetune.adapter import load_finished
    from vlm_tsc.job import presentation_of

    use_all_cores()
    presentation = presentation_of(run)
    settings = load_settings(run.config).model_copy(update=machine)
    precision = choose_precision(settings.precision)
    base_folder = checkpoint_folder(load_base(settings.base, settings.llava_root), settings.llava_root)
    model, processor, _ = load_finished(run.adapter, base_folder, precision)
    return Scorer(model.to(device()), processor, presentation, settings.eval_batch_size or 8, precision)
