"""One training that was logged to every tracker at once, on a machine where nobody is logged in anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import train
from tests.conftest import make_set
from tests.test_job import FAST, write_sets
from vlm_tsc.run import RunFolder

ALL = "wandb,mlflow,tensorboard"


@dataclass(frozen=True)
class Tracked:
    """A run, the words of its command, what `--json` said, and the environment before and after."""

    run: RunFolder
    words: list[str]
    document: dict[str, Any]
    errors: str
    environments: tuple[dict[str, str], dict[str, str]]

    @property
    def metrics(self) -> dict[str, Any]:
        return json.loads(self.run.metrics.read_text())

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        return json.loads(self.run.tracking.read_text())

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.run.path.parent.parent / 'mlflow.db'}"


@pytest.fixture(scope="session", autouse=True)
def nobody_logged_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "TENSORBOARD_"))]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def tracked(nobody_logged_in: None, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    folder = tmp_path_factory.mktemp("tracked")
    given = [*write_sets(folder, make_set(12, 0), make_set(4, 1)), "--base", str(tiny_base), *FAST]
    words = [*given, "--num-epochs", "4", "--report-to", ALL]  # of 3 steps: the loss is logged every 10
    before = dict(os.environ)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as errors:
        assert train.main([*words, "--json"]) == 0, errors.getvalue()
    after = dict(os.environ)
    (run,) = (folder / "runs" / "mine").iterdir()
    return Tracked(RunFolder(run), words, json.loads(out.getvalue()), errors.getvalue(), (before, after))
