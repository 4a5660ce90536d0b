"""The checkpoint folder of a base, and its processor."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from vlm_tsc.bases import BaseConfig
from vlm_tsc.errors import InputError

log = logging.getLogger(__name__)


def checkpoint_folder(base: BaseConfig, llava_root: Path | str | None = None) -> Path:
    """Where the base's files are: its own folder, one in `llava_root`, the Hugging Face cache, or downloaded into that.

    Raises
    ------
    InputError
        When it is nowhere and cannot be downloaded, with the command that fetches it.
    """
    own = Path(os.path.expanduser(base.repository))
    if (own / "config.json").is_file():
        return own
    if llava_root is not None:
        root = Path(os.path.expanduser(llava_root))
        if not root.is_dir():
            log.warning("--llava-root %s does not exist; looking elsewhere", root)
        for candidate in (root / base.repository, root / Path(base.repository).name, root / base.name):
            if (candidate / "config.json").is_file():
                return candidate
    if own.is_absolute() or own.is_dir():
        raise InputError(
            "There is no checkpoint in this folder.", where=f"--base {base.name}", got=f"no {own}/config.json"
        )
    return _from_hub(base)


def _from_hub(base: BaseConfig) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(base.repository, revision=base.revision, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        log.info("downloading %s", base.repository)
    try:
        return Path(snapshot_download(base.repository, revision=base.revision))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(
            "This base is not on this machine and cannot be downloaded.",
            where=f"--base {base.name}",
            got=str(error).split("\n")[0][:200],
            allowed="a folder; a name in --llava-root; a repository in the Hugging Face cache",
            fix=f"where there is a network: hf download {base.repository} --local-dir "
            f"DIR/{Path(base.repository).name}, then --llava-root DIR",
        ) from None


def load_processor(folder: Path | str) -> Any:
    """The checkpoint's processor; prompts are padded on the left, so that answers begin in one column.

    Raises
    ------
    InputError
        When the folder holds no processor with a tokenizer and pictures.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, backend="pil")
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            "The checkpoint has no processor that can be loaded.", where=folder, got=str(error).split("\n")[0]
        ) from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise InputError(
            "This checkpoint is no vision-language model: it cannot take pictures.",
            where=folder,
            got=type(processor).__name__,
            allowed="a checkpoint that transformers' AutoModelForImageTextToText and AutoProcessor open",
        )
    processor.tokenizer.padding_side = "left"
    return processor


def picture_size(base: BaseConfig, processor: Any) -> tuple[int, int]:
    """Pixels (width, height) at which pictures are drawn: what the tower takes, so that nothing is resized."""
    if base.image_size is not None:
        return base.image_size
    image_processor = processor.image_processor
    for name in ("crop_size", "size"):
        size = getattr(image_processor, name, None)
        if not size:
            continue
        size = dict(size)
        if "height" in size:
            return int(size["width"]), int(size["height"])
        for side in ("shortest_edge", "longest_edge"):
            if side in size:
                return int(size[side]), int(size[side])
    return 336, 336
