"""What is shipped: the settings of known bases, the example configuration, DeepSpeed's file, and how they are found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vlm_tsc.bases import LORA_TARGETS, known_bases, load_base
from vlm_tsc.config import load_settings, settings_from, settings_from_cli
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.steps import choose_steps
from vlm_tsc.resources import find_file, resource_dir

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted(resource_dir("configs/bases").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_base_loads(path):
    base = load_base(path.stem)
    assert base.source == path
    assert set(base.lora_targets) == {"language", "projector", "vision", "head"}
    assert None not in (base.licence, base.architecture, base.image_tokens, base.parameters, base.memory_gb)
    settings = settings_from({"base": path.stem})
    assert all(getattr(settings, name) is not None for name in ("context_length", "round_to", "trainable", "lora_r"))
    assert None not in (settings.learning_rate, settings.batch_size, settings.augment, settings.eval_batch_size)


def test_the_bundled_base_is_in_the_package():
    assert load_base("plot-llava-mini").repository == str(ROOT / "vlm_tsc/checkpoints/plot-llava-mini")


def test_settings_of_llava_7b():
    settings = settings_from({"base": "llava-hf/llava-1.5-7b-hf"})
    assert settings == settings_from({"base": "llava-1.5-7b"}).model_copy(update={"base": settings.base})
    assert (settings.lora_r, settings.lora_alpha, settings.learning_rate) == (128, 256, 2e-4)
    assert (settings.projector_learning_rate, settings.num_epochs, settings.context_length) == (2e-5, None, 2048)


@pytest.mark.parametrize("name", [*sorted(known_bases()), "owner/unknown"])
def test_no_base_is_trained_for_a_handful_of_steps(name):
    """TwoLeadECG's 23 cases: two passes would be three steps."""
    base, settings = load_base(name), settings_from({"base": name})
    schedule = {"epochs": base.epochs, "min_steps": base.min_steps, "max_steps": base.max_steps}
    assert settings.batch_size is not None
    cases = settings.batch_size * settings.gradient_accumulation
    assert choose_steps(23, cases, num_epochs=settings.num_epochs, **schedule) >= 100
    few = choose_steps(8000, cases, num_epochs=settings.num_epochs, **schedule)
    assert few == min(base.max_steps, base.epochs * 8000 / cases)


def test_shipped_config_works_and_says_only_the_dataset():
    assert load_settings(resource_dir("configs") / "llava_config.yaml") == settings_from(
        {"dataset": "ItalyPowerDemand"}
    )


DEEPSPEED = {"zero1": 1, "zero2": 2, "zero3": 3, "zero3_offload": 3}


@pytest.mark.parametrize("name", DEEPSPEED)
def test_deepspeed_settings_leave_sizes_to_the_trainer(name):
    settings = settings_from_cli(
        ["--dataset", "X", "--deepspeed", f"configs/deepspeed/{name}.json"], prog="train.py", description="Train."
    )
    assert settings.deepspeed is not None
    values = json.loads(settings.deepspeed.read_text())
    zero = values["zero_optimization"]
    assert zero["stage"] == DEEPSPEED[name]
    assert {values[f"train_{name}"] for name in ("batch_size", "micro_batch_size_per_gpu")} == {"auto"}
    assert (zero["stage"] == 3) == ("stage3_gather_16bit_weights_on_model_save" in zero)
    assert name.endswith("offload") == ("offload_param" in zero)


def test_every_deepspeed_file_is_tested():
    assert {path.stem for path in resource_dir("configs/deepspeed").iterdir()} == set(DEEPSPEED)


def test_the_papers_scenario_is_what_its_author_used():
    settings = settings_from({"scenario": "vlm_tsc_paper"})
    assert (settings.base, settings.lora_r, settings.lora_alpha) == ("llava-1.5-7b", 128, 256)
    assert (settings.learning_rate, settings.projector_learning_rate, settings.warmup_ratio) == (2e-4, 2e-5, 0.03)
    assert (settings.num_epochs, settings.batch_size, settings.gradient_accumulation) == (2, 4, 4)
    assert settings.deepspeed == find_file("configs/deepspeed/zero3.json")


def test_shipped_files_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings(find_file("configs/llava_config.yaml")).dataset == "ItalyPowerDemand"
    assert find_file("configs/deepspeed/zero2.json") == ROOT / "configs/deepspeed/zero2.json"
    with pytest.raises(FileNotFoundError):
        resource_dir("no_such_folder")


def test_a_base_of_nobody():
    with pytest.raises(InputError, match=r"did you mean plot-llava-mini\?"):
        load_base("plot-lava-mini")
    assert load_base("someone/some-vlm").repository == "someone/some-vlm"
    for name in ("/nowhere", "../x/y/z", "a/../b"):
        with pytest.raises(InputError, match="there is no base"):
            load_base(name)


def test_a_bases_mistake_names_its_line(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("repository: a/b\nimage_size: [1]\n")
    monkeypatch.setattr("vlm_tsc.bases.known_bases", lambda: {"mine": tmp_path / "mine.yaml"})
    with pytest.raises(InputError, match=r"mine\.yaml, line 2 \(image_size"):
        load_base("mine")


def test_known_bases_are_those_in_the_folder():
    assert set(known_bases()) == {path.stem for path in (ROOT / "configs/bases").iterdir()}


# Names of linear layers as `named_modules` of transformers 5.23 gives them: LLaVA and LLaVA-NeXT, Qwen2.5-VL, SmolVLM.
LAYERS = {
    "language": [
        "model.language_model.layers.0.self_attn.q_proj",
        "model.language_model.layers.11.mlp.down_proj",
        "model.text_model.layers.0.self_attn.o_proj",
    ],
    "projector": [
        "model.multi_modal_projector.linear_1",
        "model.visual.merger.mlp.0",
        "model.connector.modality_projection.proj",
    ],
    "vision": [
        "model.vision_tower.encoder.layers.0.self_attn.out_proj",
        "model.vision_tower.vision_model.encoder.layers.0.mlp.fc1",
        "model.visual.blocks.0.attn.qkv",
        "model.visual.blocks.0.mlp.gate_proj",
        "model.vision_model.encoder.layers.3.self_attn.k_proj",
    ],
    "head": ["lm_head", "model.lm_head"],
    None: [
        "model.language_model.lm_head_norm",
        "model.multi_modal_projector.act",
        "model.visual.merger.mlp.1",
        "model.vision_tower.head.mlp.fc1",
        "model.language_model.norm",
    ],
}


def test_lora_patterns_part_the_layers():
    for part, names in LAYERS.items():
        for name in names:
            assert [key for key, pattern in LORA_TARGETS.items() if re.fullmatch(pattern, name)] == [part] * bool(part)
