"""Export: the folder opens with transformers alone and answers as the run's adapter; else nothing is written."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

import train
from tests.conftest import make_set
from tests.test_job import FAST, only_run, write_sets
from vlm_tsc.conversation.records import read_records
from vlm_tsc.evaluate.evaluation import RecordedCases
from vlm_tsc.finetune.adapter import load_adapter, load_finished
from vlm_tsc.use import export, merge
from vlm_tsc.use.merge import next_token_logits


def trained(folder, tiny_base, *options: str):
    given = [*write_sets(folder, make_set(12, 0), make_set(10, 1)), "--base", str(tiny_base), *FAST]
    assert train.main([*given, "--learning-rate", "1e-2", *options]) == 0
    return only_run(folder)


@pytest.fixture(scope="module")
def run(tiny_base, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("lora"), tiny_base)


@pytest.fixture(scope="module")
def quantised_run(tiny_base, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("qlora"), tiny_base, "--method", "qlora")


def adapter_logits(run, tiny_base) -> torch.Tensor:
    model, processor, _ = load_adapter(run.adapter, tiny_base, torch.float32)
    assert isinstance(model, PeftModel)
    return next_token_logits(model, processor, RecordedCases(read_records(run.test), run.path))


def test_the_merged_folder_opens_with_transformers_alone(run, tiny_base, tmp_path, capsys):
    assert export.main([str(run.path), "--merge", "--output", str(tmp_path / "out")]) == 0
    assert "the same first token in 10 of 10 cases" in capsys.readouterr().out
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "out").eval()
    processor = AutoProcessor.from_pretrained(tmp_path / "out", backend="pil")
    processor.tokenizer.padding_side = "left"
    assert processor.chat_template and model.dtype == torch.float32
    cases = RecordedCases(read_records(run.test), run.path)
    ours, before = next_token_logits(model, processor, cases), adapter_logits(run, tiny_base)
    torch.testing.assert_close(ours, before, atol=1e-3, rtol=0)
    assert (
        next_token_logits(load_finished(tmp_path / "out", tiny_base, torch.float32)[0], processor, cases) == ours
    ).all()
    assert not [path.name for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".part")]


def test_the_merged_folder_has_the_files_and_names_of_a_published_checkpoint(run, tiny_base, tmp_path):
    """What servers read that know the family's published layout alone."""
    out = tmp_path / "out"
    assert export.main([str(run.path), "--merge", "--output", str(out)]) == 0
    files = ("config.json", "preprocessor_config.json", "processor_config.json", "chat_template.jinja")
    assert all((out / name).is_file() for name in (*files, "tokenizer.json", "tokenizer_config.json"))
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["LlavaForConditionalGeneration"]
    assert {"text_config", "vision_config"} <= set(config) and "quantization_config" not in config
    pictures = json.loads((out / "preprocessor_config.json").read_text())
    assert pictures["image_processor_type"] == "CLIPImageProcessor"
    with safe_open(tiny_base / "model.safetensors", "pt") as base, safe_open(out / "model.safetensors", "pt") as made:
        assert set(made.keys()) == set(base.keys())
    assert not (out / "adapter_config.json").exists()


def test_the_card_says_what_the_run_was(run, tmp_path):
    assert export.main([str(run.path), "--output", str(tmp_path / "out")]) == 0
    card, metrics = (tmp_path / "out" / "README.md").read_text(), json.loads(run.metrics.read_text())
    for fact in (
        metrics["split"],
        metrics["commit"],
        f"{metrics['accuracy']:.4f}",
        "| A | down |",
        "12 training cases",
    ):
        assert fact in card
    question = read_records(run.test)[0]["conversations"][0]["value"]
    assert question.removeprefix("<image>\n") in card and str(tmp_path) not in card and str(run.path) not in card
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == (
        run.adapter / "adapter_model.safetensors"
    ).read_bytes()


def test_a_merge_that_loses_the_adapter_is_refused(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False)
    assert export.main([str(run.path), "--merge", "--output", str(tmp_path / "out")]) == 2
    assert "does not answer as its adapter does" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_rounding_to_the_bases_format_changes_answers_it_is_written_in_fp32(
    tiny_base, tmp_path, monkeypatch, capsys
):
    half = tmp_path / "half"
    shutil.copytree(tiny_base, half)
    AutoModelForImageTextToText.from_pretrained(tiny_base, dtype=torch.bfloat16).save_pretrained(half)
    (tmp_path / "lora").mkdir()
    run = trained(tmp_path / "lora", half, "--num-epochs", "5")  # untrained, its best words all but tie

    def written(name: str) -> torch.dtype:
        assert export.main([str(run.path), "--merge", "--output", str(tmp_path / name)]) == 0
        return AutoModelForImageTextToText.from_pretrained(tmp_path / name).dtype

    assert written("own") == torch.bfloat16
    monkeypatch.setattr(merge, "LARGEST_PROBABILITY", 1e-9)  # what rounded weights cannot keep
    assert written("wide") == torch.float32
    assert "written in fp32 instead" in capsys.readouterr().out
    assert export.main([str(run.path), "--merge", "--precision", "bf16", "--output", str(tmp_path / "asked")]) == 2


def test_a_quantised_base_is_unpacked_only_when_asked(quantised_run, tiny_base, tmp_path, capsys):
    given = [str(quantised_run.path), "--merge", "--output", str(tmp_path / "out")]
    assert export.main(given) == 2
    assert "--dequantise" in capsys.readouterr().err
    assert export.main([*given, "--dequantise"]) == 0
    model, processor, facts = load_finished(tmp_path / "out", tiny_base, torch.float32)
    cases = RecordedCases(read_records(quantised_run.test), quantised_run.path)
    before = adapter_logits(quantised_run, tiny_base)
    torch.testing.assert_close(next_token_logits(model, processor, cases), before, atol=1e-3, rtol=0)
    assert facts["method"] == "full" and "quantised" not in facts


def test_nothing_is_uploaded_or_written_without_an_account(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert export.main([str(run.path), "--merge", "--output", str(tmp_path / "out"), "--push", "me/mine"]) == 2
    assert "hf auth login" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(run, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("x")
    assert export.main([str(run.path), "--output", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert export.main([str(tmp_path)]) == 2
    assert "this is no run" in capsys.readouterr().err
