"""TRL's SFTTrainer reads the `messages` records and learns from them; skipped where TRL is not installed."""

from __future__ import annotations

import json
import math

import pytest
import torch

import dataset
from tests.conftest import make_set
from tests.test_job import only_run, write_sets


@pytest.mark.filterwarnings("ignore")  # those of TRL and datasets are theirs
def test_trl_trains_a_step_on_the_messages(tiny_base, tmp_path):
    datasets = pytest.importorskip("datasets", reason="TRL's datasets is not installed: it is no dependency")
    trl = pytest.importorskip("trl", reason="TRL is not installed: it is no dependency")
    from vlm_tsc.answer.model import load_model

    given = [*write_sets(tmp_path, make_set(6, 0), make_set(4, 1)), "--base", str(tiny_base), "--formats", "messages"]
    assert dataset.main(given) == 0
    run = only_run(tmp_path)
    rows = datasets.Dataset.from_json(str(run.path / "messages" / "train.json"), cache_dir=str(tmp_path / "cache"))
    assert len(rows) == len(json.loads(run.train.read_text())) == 6
    rows = rows.map(lambda row: {"images": [str(run.path / image) for image in row["images"]]})
    rows = rows.cast_column("images", datasets.List(datasets.Image()))
    model, processor = load_model(tiny_base)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, learning_rate=1e-2,
        max_length=None, bf16=False, use_cpu=True, report_to=[], logging_steps=1, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = trl.SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=processor)
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["pixel_values"].shape[0] == 2
    trainer.train()
    assert math.isfinite(trainer.state.log_history[0]["loss"])
    assert any(not torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())
