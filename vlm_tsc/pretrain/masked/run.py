"""Pre-train an encoder: resumable to the step, and never gone on from with other series or settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vlm_tsc.classify.masked_transformer.encoder import seeded
from vlm_tsc.classify.masked_transformer.encoder_folder import Pretrained, write_encoder
from vlm_tsc.classify.model_folder import device
from vlm_tsc.manifest import data_hash
from vlm_tsc.mlflow_store import ENCODER, Store
from vlm_tsc.pretrain.loop import run_stage
from vlm_tsc.pretrain.masked.config import Pretraining
from vlm_tsc.pretrain.masked.contrastive import Contrast, paired_batch
from vlm_tsc.pretrain.masked.data import source_of
from vlm_tsc.pretrain.masked.mae import MaskedAutoencoder, masked_batch
from vlm_tsc.pretrain.masked.timemae import TimeMAE
from vlm_tsc.pretrain.noted import NOTES_FILE, note_pretraining

# task → network, which has an `encoder` and a `loss` of a batch; and how series become a batch
TASKS: dict[str, tuple[Callable[[Pretraining], nn.Module], Callable[..., dict[str, Any]]]] = {
    "mae": (MaskedAutoencoder, masked_batch),
    "timemae": (TimeMAE, masked_batch),
    "contrastive": (Contrast, paired_batch),
}


def pretrain_masked(
    config: Pretraining, work: Path, *, data_dir: Path | str | None = None, workers: int = 1
) -> Pretrained:
    """Run or resume a pre-training in the folder `work`; the encoder's folder is `work/encoder`.

    Raises
    ------
    InputError
        When series cannot be read, or `work` holds another pre-training.
    """
    source = source_of(config, data_dir)
    note_pretraining(
        work,
        config.model_dump(mode="json"),
        source.arrays(),
        fix="--name NAME or --work-dir DIR for a folder of its own, or remove this one",
        sets=source.sets,
    )
    make, batch_of = TASKS[config.task]
    network = make(config).to(device())

    def batch(step: int) -> dict[str, Any]:
        points = source.draw(config.seed, step, config.batch_size)
        return batch_of(points, config, np.random.default_rng([config.seed, step, 1])) | {"step": step}

    def loss_of(network: Any, made: dict[str, Any]) -> tuple[torch.Tensor, dict[str, float]]:
        tensors = {name: value.to(device()) for name, value in made.items() if name != "step"}
        with seeded(config.seed, made["step"], 2):  # dropout: a resumed run draws the same
            return network.loss(tensors)

    run_stage(
        network,
        batch,
        loss_of,
        folder=work,
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        workers=workers,
        plots_per_batch=config.batch_size,
        unit="series",
    )
    facts = {"name": config.name, "task": config.task, "sets": source.sets, "synthetic": config.is_synthetic}
    facts |= {"steps": config.steps, "seed": config.seed, "config": config.model_dump(mode="json")}
    encoder: Any = network.encoder
    return write_encoder(work / ENCODER, encoder.cpu(), facts, source.seen)


def log_pretraining(found: Pretrained, work: Path, runs: Path) -> str:
    """Log a finished pre-training under MLflow's experiment `pretrain`; the run's id.

    One that is logged already, of the same weights under the same name, is not logged again.
    """
    store, name = Store(runs), found.facts["name"]
    key = data_hash({"name": name, "sha256": found.facts["sha256"]})
    if (logged := store.logged("pretrain", key)) is not None:
        return logged
    lines = (work / "log.jsonl").read_text(encoding="utf-8").splitlines() if (work / "log.jsonl").is_file() else []
    config = {key: value for key, value in found.facts["config"].items() if key != "shape"}
    sizes = {f"shape.{key}": value for key, value in found.facts["config"]["shape"].items()}
    return store.log_run(
        "pretrain",
        name,
        parameters={**config, **sizes, "sets": ", ".join(found.sets), "commit": found.facts["commit"]},
        curves=map(json.loads, lines),
        files=[work / ENCODER, work / NOTES_FILE],
        key=key,
    )


def register(found: Pretrained, run: str, runs: Path) -> int:
    """Register the encoder of a logged pre-training under its name; the version.

    Weights that are registered under this name already keep their version.
    """
    store, name, sha256 = Store(runs), found.facts["name"], found.facts["sha256"]
    known = store.registered(name, sha256)
    return store.register(name, run, sha256) if known is None else known
