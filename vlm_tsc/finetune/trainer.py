"""Hugging Face's Trainer with a loss on the answers only, and checkpoints that are read back without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file, save
from torch.utils.data import SequentialSampler
from transformers import Trainer

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes, write_json
from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.finetune.state import load_optimizer_tensors, load_random_state, optimizer_tensors, save_random_state

_OPTIMIZER_FILE = "optimizer.safetensors"
_SCHEDULER_FILE = "scheduler.json"


class AnswerTrainer(Trainer):
    """Trains on draws in their given order.

    Parameters
    ----------
    answer_loss : AnswerLoss
        What is minimised.
    validate : callable, optional
        () -> figures of the validation part, called at every evaluation; names get the prefix "eval_".
    projector : sequence of str
        Names of the projector's layers: they train at `projector_learning_rate` if that is given.
    on_checkpoint : callable, optional
        (folder) → called on the first rank with every checkpoint before it is whole.
    """

    loss_is_scaled_for_ga = False  # compute_loss returns a mean over the micro-batch

    def __init__(
        self,
        *args: Any,
        answer_loss: AnswerLoss,
        validate: Callable[[], dict[str, float]] | None = None,
        projector: Sequence[str] = (),
        projector_learning_rate: float | None = None,
        on_checkpoint: Callable[[Path], None] | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
        self.answer_loss = answer_loss
        self.validate = validate
        self.projector = tuple(projector)
        self.projector_learning_rate = projector_learning_rate
        self.on_checkpoint = on_checkpoint

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """A mean over the cases of the micro-batch."""
        loss, outputs = self.answer_loss(model, inputs)
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """The figures of `validate`, logged."""
        figures = self.validate() if self.validate else {}
        named = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        self.log(named)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, named)
        return named

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As the Trainer's, but the projector may have a learning rate of its own."""
        if self.optimizer is not None or self.projector_learning_rate is None:
            return super().create_optimizer(model)
        model = model or self.model
        decay = self.get_decay_parameter_names(model)
        groups: dict[tuple[bool, bool], list[Any]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                is_projector = any(f"{layer}." in name for layer in self.projector)
                groups.setdefault((is_projector, name in decay), []).append(parameter)
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
        self.optimizer = kind(
            [
                {
                    "params": parameters,
                    "lr": self.projector_learning_rate if is_projector else self.args.learning_rate,
                    "weight_decay": self.args.weight_decay if decays else 0.0,
                }
                for (is_projector, decays), parameters in groups.items()
            ],
            **options,
        )
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        draws: Any = train_dataset or self.train_dataset
        return SequentialSampler(draws)  # they are shuffled already

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """A whole model's checkpoint keeps the names that its weights have here, because it is read back into it.

        For `from_pretrained`, transformers gives them those of the published checkpoints; read back under these, none
        would match, and what is there would silently stay.
        """
        is_checkpoint = output_dir is not None and Path(output_dir).parent == Path(str(self.args.output_dir))
        if isinstance(self.model, PeftModel) or not is_checkpoint:
            return super()._save(output_dir, state_dict)
        if self.args.should_save:
            model: Any = self.model
            model.save_pretrained(output_dir, state_dict=state_dict, save_original_format=False)
        return None

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        if load_result.unexpected_keys:
            raise _misfit(load_result.unexpected_keys)
        super()._issue_warnings_after_load(load_result)

    # The checkpoint's optimizer, schedule and random state without pickle. DeepSpeed keeps its own files.
    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            return super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            write_bytes(Path(output_dir) / _OPTIMIZER_FILE, save(optimizer_tensors(self.optimizer)))
            schedule: Any = self.lr_scheduler
            state = {k: v for k, v in schedule.state_dict().items() if k != "lr_lambdas"}
            write_json(Path(output_dir) / _SCHEDULER_FILE, state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or self.is_deepspeed_enabled:
            return super()._load_optimizer_and_scheduler(checkpoint)
        load_optimizer_tensors(self.optimizer, load_file(Path(checkpoint) / _OPTIMIZER_FILE))
        state = json.loads((Path(checkpoint) / _SCHEDULER_FILE).read_text())
        schedule: Any = self.lr_scheduler
        lambdas = schedule.state_dict()["lr_lambdas"]  # functions: made anew, never stored
        schedule.load_state_dict({**state, "lr_lambdas": lambdas})
        for group, rate in zip(self.optimizer.param_groups, state["_last_lr"], strict=True):
            group["lr"] = rate  # the schedule sets it only after the next step

    def _load_best_model(self) -> None:
        """Under DeepSpeed, from the weights that stand whole in a checkpoint: its own files need as many processes."""
        if not self.is_deepspeed_enabled:
            return super()._load_best_model()
        from deepspeed.runtime.zero import GatheredParameters

        model: Any = self.model
        is_adapter = isinstance(model, PeftModel)
        left = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        for file in sorted(Path(str(self.state.best_model_checkpoint)).glob("*.safetensors")):
            if file.name.startswith("random_state"):
                continue
            weights = load_file(file)
            with GatheredParameters([p for p in model.parameters() if p.requires_grad], modifier_rank=0):
                if is_adapter:
                    set_peft_model_state_dict(model, weights)
                else:  # what is not trained is parted under ZeRO-3, and as it was
                    trained = {name: value for name, value in weights.items() if name in left}
                    model.load_state_dict(trained, strict=False)
                    left -= set(trained)
        if left and not is_adapter:
            raise _misfit(left)
        return None

    def _save_rng_state(self, output_dir: str) -> None:
        if self.on_checkpoint is not None and self.is_world_process_zero():
            self.on_checkpoint(Path(output_dir))
        save_random_state(Path(output_dir) / f"random_state_{self.args.process_index}.safetensors")

    def _load_rng_state(self, checkpoint: str | None) -> None:
        path = Path(checkpoint or "") / f"random_state_{self.args.process_index}.safetensors"
        if checkpoint is not None and path.exists():
            load_random_state(path)


def _misfit(names: Collection[str]) -> InputError:
    """The error for a checkpoint with other names than the model's."""
    return InputError(
        "A checkpoint of this training does not fit the model.",
        got=", ".join(sorted(names)[:3]) + (" …" if len(names) > 3 else ""),
        allowed="the names of its weights",
        fix="--no-resume, which begins anew",
    )
