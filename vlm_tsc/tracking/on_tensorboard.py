"""A run in TensorBoard: event files in the run's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_tsc.tracking.facts import About, Results
from vlm_tsc.tracking.state import State


class TensorBoardTracker:
    """Event files in `tensorboard/`; where TENSORBOARD_LOGGING_DIR is set, in a folder of the run's name there."""

    def __init__(self, about: About, state: State):
        from torch.utils.tensorboard import SummaryWriter

        elsewhere = os.environ.get("TENSORBOARD_LOGGING_DIR")
        folder = (Path(elsewhere) / about.name if elsewhere else about.run.tensorboard).resolve()
        self.about = about
        self.writer: Any = SummaryWriter(str(folder))
        if state.where != str(folder):
            state.begin(folder.name, str(folder))
            rows = "".join(f"| {name} | {value} |\n" for name, value in about.parameters.items())
            self.writer.add_text("parameters", f"| parameter | value |\n|---|---|\n{rows}")
        state.how = f"tensorboard --logdir {elsewhere or about.runs}"

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()  # or a killed training would lose what its tracking.json says is there

    def results(self, results: Results) -> None:
        """Figures and parameters for the page HPARAMS; it keeps no files, so the text says where they are."""
        import numpy as np
        from PIL import Image

        self.writer.add_hparams(dict(self.about.parameters), results.figures, run_name=".", global_step=results.step)
        with Image.open(results.picture) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self.writer.add_image("test/confusion_matrix", pixels, results.step, dataformats="HWC")
        self.writer.add_text("test/confusion_matrix.json", json.dumps(results.matrix), results.step)
        paths = [*results.files, self.about.run.adapter]
        self.writer.add_text("files", "\n".join(f"- {path.resolve()}" for path in paths), results.step)

    def close(self, outcome: str) -> None:
        self.writer.close()
