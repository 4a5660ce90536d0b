"""A checkpoint, and an adapter on it, as a model that can answer."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from vlm_tsc.answer.quantised import Quantisation, bitsandbytes_config, keep_layout
from vlm_tsc.conversation.processor import load_processor
from vlm_tsc.errors import InputError


def device() -> torch.device:
    """The GPU if there is one (under a launcher: this rank's own), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def device_name() -> str:
    """The device for people: a GPU by its name, a CPU by the threads that compute on it."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def choose_precision(wanted: str) -> torch.dtype:
    """ "auto" is bfloat16 where the hardware multiplies it faster than float32, else float32."""
    if wanted == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            able = torch.cpu.get_capabilities()
            fast = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
        wanted = "bf16" if fast else "fp32"
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[wanted]


def computing_in(precision: torch.dtype, model: Any) -> torch.autocast:
    """Within, `model` computes in `precision`: bfloat16 by autocast, float32 as its weights are."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=precision == torch.bfloat16)


def load_model(
    folder: Path | str, precision: torch.dtype = torch.float32, quantisation: Quantisation | None = None
) -> tuple[Any, Any]:
    """Model and processor of a local checkpoint folder, in evaluation mode; quantised on the device, else on the CPU.

    Weights stay in float32 on the CPU, where bfloat16 is used under autocast, and take `precision` on a GPU.

    Raises
    ------
    InputError
        When the folder is missing or is no image-text-to-text checkpoint.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError("There is no checkpoint here.", where=f"--base {folder}", got="no config.json")
    dtype = precision if torch.cuda.is_available() else torch.float32
    try:
        config = AutoConfig.from_pretrained(folder)
        if type(config) not in AutoModelForImageTextToText._model_mapping:
            raise ValueError(f"a {config.model_type} model")
        how: dict[str, Any] = {}
        if quantisation is not None:
            how["quantization_config"] = bitsandbytes_config(config, quantisation, precision)
            how["device_map"] = {"": device()}
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, config=config, **how)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            "This checkpoint is no vision-language model that can be loaded.",
            where=f"--base {folder}",
            got=str(error).split("\n")[0],
            allowed="a checkpoint that transformers' AutoModelForImageTextToText and AutoProcessor open",
        ) from error
    if quantisation is not None:
        keep_layout(model)
    return model.eval(), load_processor(folder)


def use_all_cores() -> None:
    """Let torch use every core this process may run on (a container may own fewer than the machine has)."""
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def be_quiet() -> None:
    """Keep the libraries' own progress bars and advice off the terminal; their errors still show.

    Call it before peft or deepspeed are imported: they speak at import.
    """
    from transformers.utils import logging as transformers_logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it announces which of its kernels are absent
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # what DeepSpeed finds out anyway, and then announces
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for category in (UserWarning, FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=category, module=r"(peft|transformers|torch|accelerate|deepspeed)\.")
