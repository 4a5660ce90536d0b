from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlm_tsc.conversation.encoding import prompt_text
from vlm_tsc.conversation.records import messages_of, record
from vlm_tsc.conversation.writers import WRITERS, to_messages, to_qwen, to_sharegpt, to_vicuna, write_as
from vlm_tsc.errors import InputError

ONE = record("a", ["images/a.png"], "<image>\nWhich class?", "A")
TWO = record("b", ["images/b0.png", "images/b1.png"], "<image>\n<image>\nWhich class?", "B")
TEXT = record("c", [], "Which class?", "A")
RECORDS = [ONE, TWO, TEXT]


def test_vicuna_is_text_only() -> None:
    for written, source in zip(to_vicuna(RECORDS), RECORDS, strict=True):
        assert written == {
            "id": source["id"],
            "conversations": [{"from": "human", "value": "Which class?"}, source["conversations"][1]],
        }


def test_qwen_puts_paths_into_the_text() -> None:
    assert to_qwen(RECORDS)[1] == {
        "id": "b",
        "conversations": [
            {
                "from": "user",
                "value": "Picture 1: <img>images/b0.png</img>\nPicture 2: <img>images/b1.png</img>\nWhich class?",
            },
            {"from": "assistant", "value": "B"},
        ],
    }
    assert to_qwen(RECORDS)[2]["conversations"][0] == {"from": "user", "value": "Which class?"}


def test_sharegpt_has_one_marker_per_image() -> None:
    for written, source in zip(to_sharegpt(RECORDS), RECORDS, strict=True):
        user, assistant = written["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert user["content"].count("<image>") == len(written["images"])
        assert [user["content"], assistant["content"]] == [turn["value"] for turn in source["conversations"]]


def test_messages_render_as_ours(any_processor) -> None:
    for written, source in zip(to_messages(RECORDS), RECORDS, strict=True):
        user = written["messages"][:1]
        assert prompt_text(any_processor, user) == prompt_text(any_processor, messages_of(source)[:1])
        assert sum(part["type"] == "image" for part in user[0]["content"]) == len(written["images"])


@pytest.mark.parametrize("format", WRITERS)
def test_every_format_is_written_and_leaves_the_records_alone(tmp_path: Path, format: str) -> None:
    before = json.dumps(RECORDS)
    written = write_as(format, {"train": RECORDS, "test": RECORDS[:2]}, tmp_path)
    assert json.dumps(RECORDS) == before
    assert [item["id"] for item in json.loads(written[0].read_text())] == ["a", "b", "c"]
    assert [item["id"] for item in json.loads(written[1].read_text())] == ["a", "b"]
    assert written[:2] == [tmp_path / "train.json", tmp_path / "test.json"]


def test_dataset_info_describes_the_sharegpt_file(tmp_path: Path) -> None:
    data, _, info = write_as("sharegpt", {"train": RECORDS, "test": RECORDS}, tmp_path)
    entries = json.loads(info.read_text())
    assert [*entries] == ["train", "test"]
    entry = entries["train"]
    item = json.loads(data.read_text())[0]
    assert entry["file_name"] == data.name
    assert entry["formatting"] == "sharegpt"
    assert set(entry["columns"].values()) <= set(item)
    tags = entry["tags"]
    assert set(item["messages"][0]) == {tags["role_tag"], tags["content_tag"]}
    assert [message[tags["role_tag"]] for message in item["messages"]] == [tags["user_tag"], tags["assistant_tag"]]


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean vicuna"):
        write_as("vicunas", {"train": RECORDS}, tmp_path)
