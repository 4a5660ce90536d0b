"""Where a base is looked for, in which order, and what is said when it is nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlm_tsc.bases import load_base
from vlm_tsc.conversation.processor import checkpoint_folder, load_processor
from vlm_tsc.errors import InputError

REPOSITORY = "llava-hf/llava-1.5-7b-hf"


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No network, and a Hugging Face cache of this test's own."""
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


def checkpoint(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", *(names or ("model.safetensors",))):
        (folder / name).write_text("{}")
    return folder


def cached(cache: Path, repository: str, *names: str) -> Path:
    """A repository in the cache, as `hf download` leaves it."""
    root = cache / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("abc")
    return checkpoint(root / "snapshots" / "abc", *names)


@pytest.mark.parametrize("layout", [REPOSITORY, "llava-1.5-7b-hf", "llava-1.5-7b"])
@pytest.mark.parametrize("name", ["llava-1.5-7b", REPOSITORY, "llava-1.5-7b-hf"])
def test_a_known_base_is_found_in_llava_root(tmp_path, offline, name, layout):
    cached(offline, REPOSITORY)
    folder = checkpoint(tmp_path / "root" / layout)
    base = load_base(name, tmp_path / "root")
    assert checkpoint_folder(base, tmp_path / "root") == folder, "before the cache"
    assert base.defaults["lora_r"] == 128, "whatever it is called, it has the settings of its kind"


def test_a_folder_named_like_a_known_repository_has_its_settings(tmp_path):
    folder = checkpoint(tmp_path / "Qwen2.5-VL-3B-Instruct")
    base = load_base(str(folder))
    assert checkpoint_folder(base) == folder
    assert base.image_size == (448, 448)
    assert load_base(str(checkpoint(tmp_path / "mine"))).image_size is None


@pytest.mark.parametrize("name", ["llava-1.5-7b", "someone/some-vlm", "some-vlm"])
def test_the_cache_is_searched(offline, name):
    folder = cached(offline, REPOSITORY if name.startswith("llava") else "someone/some-vlm")
    assert checkpoint_folder(load_base(name)) == folder


def test_a_name_that_two_repositories_of_the_cache_have_is_no_name(offline):
    for owner in ("someone", "another"):
        cached(offline, f"{owner}/some-vlm")
    with pytest.raises(InputError, match="there is no base some-vlm"):
        load_base("some-vlm")


def test_an_absent_llava_root_is_a_warning(tmp_path, offline, caplog):
    folder = cached(offline, REPOSITORY)
    assert checkpoint_folder(load_base("llava-1.5-7b"), tmp_path / "nowhere") == folder
    assert "does not exist" in caplog.text


def test_offline_and_nowhere_says_how_to_fetch_it(tmp_path):
    with pytest.raises(InputError) as caught:
        checkpoint_folder(load_base("llava-onevision-0.5b"))
    message = str(caught.value)
    assert message.startswith("This base is not on this machine and cannot be downloaded.\n  where:   --base llava-one")
    fetch = "hf download llava-hf/llava-onevision-qwen2-0.5b-ov-hf --local-dir DIR/llava-onevision-qwen2-0.5b-ov-hf"
    assert f"{fetch}, then here: --llava-root DIR" in message
    pinned = load_base("someone/some-vlm").model_copy(update={"revision": "v2"})
    with pytest.raises(InputError) as caught:
        checkpoint_folder(pinned, tmp_path)
    assert f"hf download someone/some-vlm --revision v2 --local-dir {tmp_path}/some-vlm" in str(caught.value)


@pytest.mark.parametrize("names", [["tokenizer.json"], ["model.safetensors.index.json", "a.safetensors"]])
def test_half_a_checkpoint_in_the_cache_is_not_used(offline, names):
    folder = cached(offline, REPOSITORY, *names)
    if len(names) == 2:
        (folder / names[0]).write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}))
    with pytest.raises(InputError, match="cannot be downloaded"):
        checkpoint_folder(load_base(REPOSITORY))
    (folder / "b.safetensors").touch()
    (folder / "model.safetensors").touch()
    assert checkpoint_folder(load_base(REPOSITORY)) == folder


def test_what_is_downloaded(monkeypatch, tmp_path):
    asked = []
    whole = checkpoint(tmp_path / "whole")

    def download(repository, local_files_only=False, **options):
        asked.append((repository, local_files_only, options["allow_patterns"]))
        return str(tmp_path / "local" if local_files_only else whole)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert checkpoint_folder(load_base("smolvlm-256m")) == whole
    assert [local for _, local, _ in asked] == [True, False]
    assert "*.safetensors" in asked[1][2] and not any(name.endswith((".bin", ".onnx")) for name in asked[1][2])


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="There is no checkpoint in this folder"):
        checkpoint_folder(load_base(str(tmp_path)))


def test_a_processor_that_needs_another_package_is_refused(tiny_base, monkeypatch):
    def needs(*_, **__):
        raise ImportError("Package `num2words` is required to run this processor.")

    monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", needs)
    with pytest.raises(InputError, match=r"no processor that can be loaded(.|\n)*Package `num2words` is required"):
        load_processor(tiny_base)
