"""LLaVA records in the formats of other trainers.

vicuna     FastChat: text only, pictures left out
qwen       Qwen-VL: the picture's path stands in the text
sharegpt   LLaMA-Factory, with its dataset_info.json
messages   TRL and Hugging Face chat templates: content as a list of parts, pictures in a column of their own
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_tsc.conversation.prompt import IMAGE_MARKER
from vlm_tsc.conversation.records import Record, images_of, messages_of, write_records
from vlm_tsc.errors import InputError, nearest
from vlm_tsc.files import write_json

_ROLES = {"human": "user", "gpt": "assistant"}


def to_vicuna(records: Sequence[Record]) -> list[dict[str, Any]]:
    """FastChat's records: `{"id", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}]}`."""
    return [
        {
            "id": record["id"],
            "conversations": [
                {**turn, "value": turn["value"].replace(f"{IMAGE_MARKER}\n", "")} for turn in record["conversations"]
            ],
        }
        for record in records
    ]


def to_qwen(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Qwen-VL's records: roles user and assistant, `Picture 1: <img>path</img>` in place of `<image>`."""
    return [{"id": record["id"], "conversations": _qwen_turns(record)} for record in records]


def _qwen_turns(record: Record) -> list[dict[str, str]]:
    turns = [{"from": _ROLES[turn["from"]], "value": turn["value"]} for turn in record["conversations"]]
    for i, path in enumerate(images_of(record), start=1):
        turns[0]["value"] = turns[0]["value"].replace(IMAGE_MARKER, f"Picture {i}: <img>{path}</img>", 1)
    return turns


def to_sharegpt(records: Sequence[Record]) -> list[dict[str, Any]]:
    """LLaMA-Factory's records: `{"messages": [{"role", "content"}, …], "images": [path, …]}`, `<image>` kept."""
    return [
        {
            "id": record["id"],
            "messages": [{"role": _ROLES[turn["from"]], "content": turn["value"]} for turn in record["conversations"]],
            "images": images_of(record),
        }
        for record in records
    ]


def dataset_info(file_name: str) -> dict[str, Any]:
    """An entry of LLaMA-Factory's dataset_info.json for a file of `to_sharegpt`."""
    return {
        "file_name": file_name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }


def to_messages(records: Sequence[Record]) -> list[dict[str, Any]]:
    """TRL's records: `{"messages": [{"role", "content": [{"type": "image"}, {"type": "text", "text"}]}], "images"}`."""
    return [{"id": record["id"], "messages": messages_of(record), "images": images_of(record)} for record in records]


WRITERS: dict[str, Callable[[Sequence[Record]], list[dict[str, Any]]]] = {
    "vicuna": to_vicuna,
    "qwen": to_qwen,
    "sharegpt": to_sharegpt,
    "messages": to_messages,
}


def write_as(format: str, parts: Mapping[str, Sequence[Record]], folder: Path | str) -> list[Path]:
    """Write each part's records to `folder/<part>.json`; for "sharegpt" also `folder/dataset_info.json`.

    Picture paths stay as they are: relative to the run folder, which is what other trainers are given as image folder.

    Raises
    ------
    InputError
        For an unknown format.
    """
    if format not in WRITERS:
        close = nearest(format, WRITERS, n=1)
        fix = f"did you mean {close[0]}?" if close else None
        raise InputError("Unknown format of records.", got=format, allowed=WRITERS, fix=fix)
    files = {part: Path(folder) / f"{part}.json" for part in parts}
    written = [write_records(files[part], WRITERS[format](records)) for part, records in parts.items()]
    if format == "sharegpt":
        entries = {part: dataset_info(file.name) for part, file in files.items()}
        written.append(write_json(Path(folder) / "dataset_info.json", entries))
    return written
