"""Pictures and records are the same whether this process draws them or others do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import make_set
from vlm_tsc.archive.splits import Splits
from vlm_tsc.conversation import prepare
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.cards import DatasetCard
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.run import RunFolder


def drawn(folder: Path, workers: int) -> tuple[list, dict[str, bytes]]:
    """Records, and file name → bytes of every picture, of a small set drawn into `folder`."""
    splits = Splits(make_set(150, 0), None, make_set(70, 1, "test"), "official")
    builder = PromptBuilder(AnswerMap(splits.train.class_names), DatasetCard("Tell."), "BASELINE", 1, 1, 1, "mean")
    run = RunFolder(folder)
    run.images.mkdir(parents=True)
    tasks = list(prepare._tasks(run, splits, Presentation(builder, (32, 32))))
    records = [record for made in prepare._each(tasks, workers) for record in made]
    return records, {path.name: path.read_bytes() for path in run.images.iterdir()}


def test_other_processes_draw_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = drawn(tmp_path / "alone", workers=2)  # too little work to start processes for
    monkeypatch.setattr(prepare, "_SECONDS_TO_START", -1.0)
    started = []
    in_processes = prepare._in_processes
    monkeypatch.setattr(prepare, "_in_processes", lambda *given: started.append(given) or in_processes(*given))
    assert drawn(tmp_path / "others", workers=2) == alone
    assert len(started) == 1 and len(alone[0]) == len(alone[1]) == 220
