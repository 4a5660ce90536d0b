"""How training goes: in lines a person can read, and to whom else wants to know."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from vlm_tsc.errors import InputError
from vlm_tsc.terminal import bar, note, say

OnLog = Callable[[int, Mapping[str, float]], None]


class ProgressLines(TrainerCallback):
    """A progress bar on a terminal; elsewhere (a log file) about ten lines."""

    def __init__(self, on_terminal: bool):
        self.on_terminal = on_terminal
        self.bar: tqdm[Any] | None = None
        self.loss = self.accuracy = ""
        self.started = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = time.monotonic()
        if state.is_world_process_zero and state.global_step:
            say(f"going on from step {state.global_step} of {state.max_steps}")
        if self.on_terminal and state.is_world_process_zero:
            self.bar = bar(None, "train", total=state.max_steps, initial=state.global_step, unit="step", leave=True)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "loss" in logs:
            self.loss = f"loss {logs['loss']:.3f}"
        if "eval_accuracy" in logs:
            self.accuracy = f"validation {logs['eval_accuracy']:.3f}"
        if self.bar is not None:
            self.bar.set_postfix_str(" ".join(part for part in (self.loss, self.accuracy) if part), refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)
        elif state.is_world_process_zero and state.global_step % max(1, state.max_steps // 10) == 0:
            seconds = time.monotonic() - self.started
            facts = [f"step {state.global_step}/{state.max_steps}", self.loss, self.accuracy, f"{seconds:.0f} s"]
            note("  ".join(fact for fact in facts if fact))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.close()


class Finite(TrainerCallback):
    """Ends a training whose loss is no number, on every rank alike: nothing is learned from there on."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        for name in ("loss", "train_loss", "eval_log_loss"):
            value = (logs or {}).get(name, 0.0)
            if not math.isfinite(value):
                what, where = "the training loss is not finite", f"step {state.global_step}, {name}"
                fix = "a lower --learning-rate; --precision fp32 if that was bf16; or look for extreme values"
                raise InputError(what, where=where, got=value, fix=fix)


class Curves(TrainerCallback):
    """Hands every line of the log on, as it is made."""

    def __init__(self, tell: OnLog):
        self.tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if state.is_world_process_zero and logs:
            self.tell(state.global_step, logs)
