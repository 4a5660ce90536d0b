"""What is told of several runs at their end."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_tsc import told, tracking
from vlm_tsc.config import settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.run import RunFolder


def test_a_tracker_that_fails_on_one_seed_is_still_told_of_the_others(monkeypatch, capsys):
    def log_finished(names, run):
        if run.path.name == "seed0":
            raise InputError("no connection", where=run.path)
        return [f"told of {run.path.name}"]

    monkeypatch.setattr(tracking, "log_finished", log_finished)
    runs = [RunFolder(Path(f"seed{seed}")) for seed in range(3)]
    with pytest.raises(InputError, match="seed0"):
        told.track(settings_from({"report_to": ["tensorboard"]}), runs)
    assert capsys.readouterr().out.split("\n")[:2] == ["told of seed1", "told of seed2"]
