"""LLaVA records: one case as a conversation on disk, and a validator that names file, line and fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from vlm_tsc.conversation.prompt import IMAGE_MARKER
from vlm_tsc.conversation.rationale import split_answer
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_text

Record = dict[str, Any]
_SPACE = re.compile(r"\s*")
_REBUILD = "run dataset.py again to rebuild the file"
_SHOWN = 10  # problems listed in one message; the rest is counted


def record(id: str, image_relpaths: Sequence[str], question: str, answer: str) -> Record:
    """One conversation: human question, gpt answer.

    Parameters
    ----------
    image_relpaths : sequence of str
        Pictures relative to the run folder, with "/". One is written as text, several as a list, none not at all.
    question : str
        Beginning with one `<image>` line per picture.
    """
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    if not image_relpaths:
        return {"id": id, "conversations": turns}
    image = image_relpaths[0] if len(image_relpaths) == 1 else [*image_relpaths]
    return {"id": id, "image": image, "conversations": turns}


def images_of(record: Record) -> list[str]:
    """Relative paths of a record's pictures."""
    images = record.get("image", [])
    return [images] if isinstance(images, str) else list(images)


def texts_of(record: Record) -> tuple[str, str]:
    """Question, and what the answer says before the class: nothing, but the lead of a rationale."""
    question, answer = (turn["value"] for turn in record["conversations"][:2])
    return question, split_answer(answer)[0]


def question_messages(question: str) -> list[dict[str, Any]]:
    """A human turn as chat messages: `<image>` markers become image parts, before the text."""
    text, n_images = question, 0
    while text.startswith(IMAGE_MARKER):
        text, n_images = text.removeprefix(IMAGE_MARKER).removeprefix("\n"), n_images + 1
    images = [{"type": "image"} for _ in range(n_images)]
    return [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]


def messages_of(record: Record) -> list[dict[str, Any]]:
    """A record as chat messages for `apply_chat_template`."""
    messages: list[dict[str, Any]] = []
    for turn in record["conversations"]:
        if turn["from"] == "human":
            messages += question_messages(turn["value"])
        else:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": turn["value"]}]})
    return messages


def write_records(path: Path | str, records: Sequence[Record]) -> Path:
    """Write a JSON list with one record per line, atomically."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    return write_text(path, f"[\n{lines}\n]\n")


def read_records(
    path: Path | str,
    *,
    answers: Sequence[str] | None = None,
    explained: bool = False,
    images_in: Path | str | None = None,
) -> list[Record]:
    """Read and check a JSON list of records.

    Parameters
    ----------
    answers : sequence of str, optional
        The only answers allowed.
    explained : bool
        Whether each of them stands behind a rationale, see `conversation.rationale`.
    images_in : path, optional
        Run folder in which every picture must exist and be a whole PNG; without it pictures are not opened.

    Raises
    ------
    InputError
        Naming the file, and for each faulty record its line, id and what is wrong.
    """
    path = Path(path)
    numbered = _parse(path)
    problems, first_line = [], {}
    for line, item in numbered:
        found = record_problems(item, answers=answers, explained=explained, images_in=images_in)
        if not found:
            first = first_line.setdefault(item["id"], line)
            found = [f"the id is that of line {first} already"] if first != line else []
        name = f" ({item['id']})" if isinstance(item, dict) and isinstance(item.get("id"), str) else ""
        problems += [f"line {line}{name}: {problem}" for problem in found]
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        listed = "\n".join(f"    {problem}" for problem in problems[:_SHOWN] + more)
        raise InputError(f"Records are faulty:\n{listed}", where=path, fix=_REBUILD)
    return [item for _, item in numbered]


def record_problems(
    item: Any,
    *,
    answers: Sequence[str] | None = None,
    explained: bool = False,
    images_in: Path | str | None = None,
) -> list[str]:
    """What is wrong with one record; nothing for a good one."""
    if not isinstance(item, dict):
        return ["a record is an object with id and conversations"]
    problems = [] if isinstance(item.get("id"), str) and item["id"] else ["it has no id"]
    images = item.get("image", [])
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        return [*problems, "image is neither a path nor a list of paths"]
    for image in images:
        problems += _image_problems(image, images_in)
    turns = item.get("conversations")
    if not isinstance(turns, list) or not turns or not all(_is_turn(turn) for turn in turns):
        return [*problems, "conversations is not a list of turns with from and value"]
    return problems + _turn_problems(turns, len(images), answers, explained)


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and all(isinstance(turn.get(key), str) for key in ("from", "value"))


def _turn_problems(
    turns: list[dict[str, str]], n_images: int, answers: Sequence[str] | None, explained: bool
) -> list[str]:
    problems = []
    if [turn["from"] for turn in turns] != ["human", "gpt"] * (len(turns) // 2 or 1):
        problems.append("turns must be human, gpt, human, gpt, …")
    markers = [turn["value"].count(IMAGE_MARKER) for turn in turns]
    if markers[0] != n_images or sum(markers) != n_images:
        problems.append(f"{n_images} pictures need {n_images} {IMAGE_MARKER} in the first turn, got {markers}")
    elif not turns[0]["value"].startswith(f"{IMAGE_MARKER}\n" * n_images):
        problems.append(f"the first turn must begin with its {IMAGE_MARKER} lines")
    for turn in turns[1::2]:
        if not turn["value"].strip():
            problems.append("the answer is empty")
        elif answers is not None:
            lead, answer = split_answer(turn["value"]) if explained else ("", turn["value"])
            if answer not in answers or bool(lead) != explained:
                behind = ", each behind a rationale" if explained else ""
                problems.append(f"the answer {turn['value']!r} is none of {', '.join(answers)}{behind}")
    return problems


def _image_problems(image: str, images_in: Path | str | None) -> list[str]:
    relative = PurePosixPath(image)
    if not image or relative.is_absolute() or ".." in relative.parts or "\\" in image or ":" in image:
        return [f"the picture's path {image!r} must be relative and stay inside the run folder"]
    if images_in is None:
        return []
    root = Path(images_in).resolve()
    path = (root / relative).resolve()
    if not path.is_relative_to(root):  # a link can lead out as well as ".."
        return [f"the picture {image} lies outside the run folder"]
    if not path.is_file():
        return [f"the picture {image} is missing"]
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's three ways to say that a PNG is broken
        return [f"the picture {image} is no readable PNG: {error}"]
    return []


def _parse(path: Path) -> list[tuple[int, Any]]:
    """Items of a JSON list, each with the line it begins on."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise InputError("The records are missing.", where=path, fix="run dataset.py first") from None
    except UnicodeDecodeError as error:
        raise InputError("The file is not UTF-8 text.", where=path, got=f"byte {error.start}") from None
    try:
        items = list(_items(text))
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise InputError("The JSON is corrupt.", where=where, got=error.msg, fix=_REBUILD) from None
    except RecursionError:
        raise InputError("The JSON is corrupt.", where=path, got="brackets nested too deep", fix=_REBUILD) from None
    if not items:
        raise InputError("The file holds no records.", where=path, fix=_REBUILD)
    return items


def _items(text: str) -> Iterator[tuple[int, Any]]:
    """Decode a JSON list item by item, so that the line of each is known however the file is laid out."""
    decoder = json.JSONDecoder()
    position, line, counted = _after(text, 0, "["), 1, 0
    if text[position : position + 1] != "]":
        while True:
            line, counted = line + text.count("\n", counted, position), position
            item, end = decoder.raw_decode(text, position)
            yield line, item
            position = _after(text, end, "")
            if text[position : position + 1] == "]":
                break
            position = _after(text, position, ",")
    end = _after(text, position + 1, "")
    if end != len(text):
        raise json.JSONDecodeError("text after the end of the list", text, end)


def _after(text: str, position: int, wanted: str) -> int:
    """The position behind white space, the `wanted` character and white space."""
    position = _SPACE.match(text, position).end()  # type: ignore[union-attr]  # it matches nothing, too
    if not text.startswith(wanted, position):
        raise json.JSONDecodeError(f"{wanted!r} expected", text, position)
    return _SPACE.match(text, position + len(wanted)).end()  # type: ignore[union-attr]
