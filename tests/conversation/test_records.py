from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vlm_tsc.conversation.records import (
    images_of,
    messages_of,
    question_messages,
    read_records,
    record,
    write_records,
)
from vlm_tsc.errors import InputError
from vlm_tsc.representation import png_bytes


def good(i: int, n_images: int = 1) -> dict:
    paths = [f"images/{i}-{k}.png" for k in range(n_images)]
    return record(f"train-{i:05}", paths, "<image>\n" * n_images + f"Question {i}?\nClasses: A or B.", "AB"[i % 2])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with three records and their pictures."""
    (tmp_path / "images").mkdir()
    for i in range(3):
        (tmp_path / "images" / f"{i}-0.png").write_bytes(png_bytes(np.full((8, 8, 3), 50 * i, np.uint8)))
    write_records(tmp_path / "train.json", [good(i) for i in range(3)])
    return tmp_path


def test_a_record_is_llavas() -> None:
    assert good(0) == {
        "id": "train-00000",
        "image": "images/0-0.png",
        "conversations": [
            {"from": "human", "value": "<image>\nQuestion 0?\nClasses: A or B."},
            {"from": "gpt", "value": "A"},
        ],
    }
    assert "image" not in good(0, 0)
    assert good(0, 2)["image"] == ["images/0-0.png", "images/0-1.png"]
    assert [len(images_of(good(0, n))) for n in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("n_images", [0, 1, 2])
def test_messages_hold_the_same(n_images: int) -> None:
    user, assistant = messages_of(good(1, n_images))
    assert user["content"] == [{"type": "image"}] * n_images + [
        {"type": "text", "text": "Question 1?\nClasses: A or B."}
    ]
    assert [user] == question_messages(good(1, n_images)["conversations"][0]["value"])
    assert assistant == {"role": "assistant", "content": [{"type": "text", "text": "B"}]}


def test_the_file_is_a_json_list_with_one_record_per_line(run: Path) -> None:
    text = (run / "train.json").read_text()
    records = [good(i) for i in range(3)]
    assert json.loads(text) == records == read_records(run / "train.json", answers=["A", "B"], images_in=run)
    assert [json.loads(line.rstrip(",")) for line in text.splitlines()[1:-1]] == records


def test_other_layouts_are_read_too(run: Path) -> None:
    (run / "train.json").write_text("\n\n " + json.dumps([good(0), good(1)], indent=2) + " \n")
    assert read_records(run / "train.json") == [good(0), good(1)]


def change(**changes) -> dict:
    return {**good(1), **changes}


def turns(*values: str, roles: tuple[str, ...] = ("human", "gpt")) -> dict:
    return change(conversations=[{"from": role, "value": value} for role, value in zip(roles, values, strict=True)])


FAULTS = {
    "no id": (change(id=""), "it has no id"),
    "number": (7, "a record is an object"),
    "image type": (change(image=[1]), "neither a path nor a list"),
    "outside": (change(image="../secret.png"), "inside the run folder"),
    "absolute": (change(image="/etc/passwd"), "inside the run folder"),
    "backslash": (change(image="..\\secret.png"), "inside the run folder"),
    "no turns": (change(conversations=[]), "not a list of turns"),
    "turn": (change(conversations=[{"from": "human"}]), "not a list of turns"),
    "roles": (turns("<image>\nQ", "A", roles=("human", "human")), "human, gpt"),
    "gpt first": (turns("A", "<image>\nQ", roles=("gpt", "human")), "human, gpt"),
    "open end": (turns("<image>\nQ", roles=("human",)), "human, gpt"),
    "no marker": (turns("Q", "A"), "1 pictures need 1 <image>"),
    "two markers": (turns("<image>\n<image>\nQ", "A"), "1 pictures need 1 <image>"),
    "late marker": (turns("Q <image>", "A"), "must begin with"),
    "marker in answer": (turns("<image>\nQ", "A<image>"), "got [1, 1]"),
    "marker without picture": ({k: v for k, v in good(1).items() if k != "image"}, "0 pictures need 0"),
    "empty answer": (turns("<image>\nQ", " "), "the answer is empty"),
    "wrong answer": (turns("<image>\nQ", "walk"), "none of A, B"),
    "same id": (change(id="train-00000"), "the id is that of line 2 already"),
    "missing": (change(image="images/9-0.png"), "is missing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_file_line_and_id(run: Path, name: str) -> None:
    item, message = FAULTS[name]
    write_records(run / "train.json", [good(0), item, good(2)])
    with pytest.raises(InputError) as caught:
        read_records(run / "train.json", answers=["A", "B"], images_in=run)
    text = str(caught.value)
    assert message in text
    assert "line 3" in text  # the bracket is line 1
    assert "train.json" in text
    assert isinstance(item, int) or not item["id"] or f"({item['id']})" in text


def test_all_faults_are_reported_at_once_but_not_endlessly(run: Path) -> None:
    write_records(run / "train.json", [change(id=f"x{i}", image="../a") for i in range(30)])
    with pytest.raises(InputError, match=r"(?s)line 2 \(x0\).*line 11 \(x9\).*and 20 more") as caught:
        read_records(run / "train.json")
    assert "line 12" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda png: png[: len(png) // 2],
        lambda png: png[:-20] + bytes(20),
        lambda png: png[:45] + bytes([png[45] ^ 0xFF]) + png[46:],
        lambda png: b"",
        lambda png: b"GIF89a" + png[6:],
    ],
    ids=["cut", "end", "one byte", "empty", "other format"],
)
def test_a_corrupt_png_is_found(run: Path, damage) -> None:
    path = run / "images" / "1-0.png"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"line 3 \(train-00001\): the picture images/1-0.png is no readable PNG"):
        read_records(run / "train.json", images_in=run)
    assert len(read_records(run / "train.json")) == 3  # pictures are opened only when asked


def test_a_link_that_leads_out_is_refused(run: Path, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.png"
    outside.write_bytes(png_bytes(np.zeros((4, 4, 3), np.uint8)))
    (run / "images" / "1-0.png").unlink()
    (run / "images" / "1-0.png").symlink_to(outside)
    with pytest.raises(InputError, match="outside the run folder"):
        read_records(run / "train.json", images_in=run)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1"),
        ("{}", "line 1"),
        ('[\n{"id": "a"},\n{"id": \n]\n', "line 4"),
        ('[\n{"id": "a"}\n{"id": "b"}\n]\n', "line 3"),
        ('[\n{"id": "a"},\n', "line 3"),
        ('[\n{"id": "a"},\n]', "line 3"),
        ('[\n{"id": "a"}\n]\n]', "line 4"),
        ("[" * 100_000, "nested"),
    ],
)
def test_corrupt_json_names_the_line(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(InputError, match="corrupt") as caught:
        read_records(path)
    assert where in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_empty_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        read_records(tmp_path / "train.json")
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(InputError, match="no records"):
        read_records(tmp_path / "train.json")
    (tmp_path / "train.json").write_bytes(b"[\xff]")
    with pytest.raises(InputError, match="UTF-8"):
        read_records(tmp_path / "train.json")
