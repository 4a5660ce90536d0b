"""The checkpoint folder of a base, and its processor."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlm_tsc.bases import BaseConfig
from vlm_tsc.errors import InputError

log = logging.getLogger(__name__)

# No pickles, and not the same weights in other formats, which some repositories also hold.
_CHECKPOINT_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_ANY_SIZE = 336  # pixels of a picture's side where the tower does not mind: LLaVA-1.5's


def checkpoint_folder(base: BaseConfig, llava_root: Path | str | None = None) -> Path:
    """Where the base's files are: its own folder, one in `llava_root`, the Hugging Face cache, or downloaded into that.

    Raises
    ------
    InputError
        When it is nowhere and cannot be downloaded, with the command that fetches it.
    """
    if (found := local_folder(base, llava_root)) is not None:
        return found
    if llava_root is not None and not Path(os.path.expanduser(llava_root)).is_dir():
        log.warning("--llava-root %s does not exist; looking elsewhere", llava_root)
    own = Path(os.path.expanduser(base.repository))
    if own.is_absolute() or own.is_dir():
        raise InputError(
            "There is no checkpoint in this folder.", where=f"--base {base.name}", got=f"no {own}/config.json"
        )
    return from_hub(base, llava_root, _CHECKPOINT_FILES, _is_whole)


def local_folder(base: BaseConfig, llava_root: Path | str | None = None) -> Path | None:
    """The base's own folder, or its folder in `llava_root`; None where there is neither."""
    candidates = [Path(os.path.expanduser(base.repository))]
    if llava_root is not None:
        root = Path(os.path.expanduser(llava_root))
        candidates += [root / base.repository, root / Path(base.repository).name, root / base.name]
    return next((folder for folder in candidates if (folder / "config.json").is_file()), None)


def from_hub(
    base: BaseConfig,
    llava_root: Path | str | None,
    files: list[str],
    is_whole: Callable[[Path], bool],
    only: str = "",
) -> Path:
    """Folder of the Hugging Face cache with such `files` of a base, downloaded into it if need be.

    Parameters
    ----------
    files : list of str
        Patterns of their names.
    is_whole : callable
        Whether a folder has all of them.
    only : str
        The one file that would do, for the message.

    Raises
    ------
    InputError
        When they cannot be downloaded, with the command that fetches them elsewhere.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted: dict[str, Any] = {"revision": base.revision, "allow_patterns": files}
    problem = "its copy in the Hugging Face cache is not whole"
    for local in (True, False):
        try:
            folder = Path(snapshot_download(base.repository, local_files_only=local, **wanted))
            if is_whole(folder):
                return folder
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
            problem = str(error).split("\n")[0][:200]
        if local:
            log.info("downloading %s", base.repository)
    root = llava_root or "DIR"
    pinned = f" --revision {base.revision}" if base.revision not in (None, "main") else ""
    fetch = f"hf download {base.repository}{only and f' {only}'}{pinned}"
    raise InputError(
        "This base is not on this machine and cannot be downloaded.",
        where=f"--base {base.name if base.source else base.repository}",
        got=problem,
        allowed="a folder; a name in --llava-root; a repository in the Hugging Face cache",
        fix=f"where there is a network: {fetch} --local-dir {root}/{Path(base.repository).name}, "
        f"then here: --llava-root {root}",
    )


def _is_whole(folder: Path) -> bool:
    """Whether a checkpoint has all its weights: a cache may hold its configuration alone, or half a download."""
    index = folder / "model.safetensors.index.json"
    names = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {"model.safetensors"}
    return all((folder / name).exists() for name in {"config.json", *names})


def load_processor(folder: Path | str) -> Any:
    """The checkpoint's processor; prompts are padded on the left, so that answers begin in one column.

    Processors that cut an enlarged picture into tiles are told to leave it whole: a plot is drawn at the tower's size,
    and its tiles would cost many times the tokens without showing more.

    Raises
    ------
    InputError
        When the folder holds no processor with a tokenizer and pictures.
    """
    try:
        processor = _processor_class(folder).from_pretrained(folder, backend="pil")
    except (ValueError, OSError, KeyError, ImportError) as error:
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
    pictures = processor.image_processor
    if getattr(pictures, "do_image_splitting", False):
        pictures.do_image_splitting = False
        pictures.size = pictures.max_image_size
    return processor


def _processor_class(folder: Path | str) -> Any:
    """AutoProcessor; of a model that also takes videos, its own processor without the part for them.

    That part needs torchvision, which nothing else here does.
    """
    from transformers import AutoConfig, AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    whole: Any = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(folder)), None)
    parts = whole.get_attributes() if whole else []
    kept = [part for part in parts if "video" not in part]
    if kept == parts:
        return AutoProcessor
    return type(whole.__name__, (whole,), {"get_attributes": classmethod(lambda cls: kept)})


def picture_size(base: BaseConfig, processor: Any) -> tuple[int, int]:
    """Pixels (width, height) at which pictures are drawn: what the tower takes, so that nothing is resized."""
    if base.image_size is not None:
        return base.image_size
    image_processor = processor.image_processor
    if hasattr(image_processor, "merge_size"):  # takes pictures of any shape: its `size` is a range of areas, not edges
        unit = image_processor.patch_size * image_processor.merge_size
        return (_ANY_SIZE // unit * unit,) * 2
    cropped = getattr(image_processor, "do_center_crop", False)  # else its crop_size is a default that means nothing
    for name in ("crop_size", "size") if cropped else ("size",):
        size = getattr(image_processor, name, None)
        if not size:
            continue
        size = dict(size)
        if "height" in size:
            return int(size["width"]), int(size["height"])
        for side in ("shortest_edge", "longest_edge"):
            if side in size:
                return int(size[side]), int(size[side])
    return _ANY_SIZE, _ANY_SIZE
