"""The memory estimate: counted parts against really built models, the table, and what is done with it."""

from __future__ import annotations

import gc
import logging
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from tests.conftest import make_splits
from tests.finetune.test_fit import PRESENTATION
from tests.replica_configs import PUBLISHED, published_config
from tests.replicas import FAMILIES, make_replica
from vlm_tsc import memory
from vlm_tsc.answer.model import load_model
from vlm_tsc.answer.quantised import quantised_layers
from vlm_tsc.bases import LORA_TARGETS, load_base
from vlm_tsc.config import settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.finetune import session
from vlm_tsc.finetune.estimate import Plan, activation_bytes, estimate, largest_batch, trained_parameters, weight_bytes
from vlm_tsc.finetune.micro_batch import fitting_micro_batch, warn_if_too_large
from vlm_tsc.finetune.parts import make_trainable, quantisation_of
from vlm_tsc.finetune.plan import choose_micro_batch, gpu_memory
from vlm_tsc.finetune.sizes import UnknownSizes, configuration, sizes_of

PLAN = Plan("lora", ("language", "projector"), 8, True, False, 700, 576)
LORA = {"r": 8, "alpha": 16, "dropout": 0.1}


@pytest.fixture(scope="module", params=list(FAMILIES))
def folder(request, tmp_path_factory):
    return make_replica(request.param, tmp_path_factory.mktemp("replicas") / request.param)


@pytest.fixture(scope="module")
def sizes(folder):
    return sizes_of(AutoConfig.from_pretrained(folder), LORA_TARGETS)


@pytest.fixture(scope="module")
def seven_b():
    base = load_base("llava-1.5-7b")
    return sizes_of(configuration(base), base.lora_targets)


def stored(model) -> int:
    """Bytes of all weights, and of what bitsandbytes keeps to read them."""
    total = sum(weight.nbytes for weight in model.parameters())
    for layer in quantised_layers(model).values():
        state = getattr(layer.weight, "quant_state", None)
        if state is not None:
            total += sum(t.nbytes for t in (state.absmax, state.code, state.state2.absmax, state.state2.code))
            total += state.offset.nbytes
        else:
            total += layer.weight.SCB.nbytes
    return total


@pytest.mark.parametrize("method", ["lora", "qlora", "qlora8"])
def test_weights_are_those_of_the_loaded_model(folder, sizes, method):
    model, _ = load_model(folder, quantisation=quantisation_of(method, LORA_TARGETS))
    assert weight_bytes(sizes, replace(PLAN, method=method, width=4)) == stored(model)


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("lora", ("language", "projector")),
        ("lora", ("vision",)),
        ("dora", ("language", "vision")),
        ("lora", ("language", "head")),
        ("full", ("head",)),
        ("full", ("language", "head")),
        ("full", ("language", "projector")),
        ("full", ("vision",)),
    ],
)
def test_trained_weights_are_those_of_the_trained_model(folder, sizes, method, parts):
    model, _ = load_model(folder)
    if "head" in parts and model.config.get_text_config().tie_word_embeddings:
        pytest.skip("its head is its table of embeddings")
    model = make_trainable(model, LORA_TARGETS, parts, method, LORA)
    count = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert trained_parameters(sizes, replace(PLAN, method=method, parts=parts)) == count


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_configuration_in_a_bases_yaml_is_the_published_one(name):
    ours, published = configuration(load_base(name)), published_config(name)
    assert type(ours) is type(published) and ours.to_dict() == published.to_dict()


def kept_for_backward(model, inputs, columns: int) -> int:
    """Bytes that a forward pass keeps, each piece of memory once, weights aside."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        output = model(**inputs, logits_to_keep=columns, use_cache=False).logits
    assert output.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_are_about_what_a_forward_pass_keeps(dropout):
    """Of a decoder wide enough that what grows with tokens and widths is all that counts."""
    config = published_config("llava-1.5-7b", tiny=True)
    config.text_config.update({"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 3, "head_dim": 64})
    config.text_config.num_key_value_heads = 2
    torch.manual_seed(0)
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration(config).to(torch.bfloat16)  # as a GPU has it
    model = make_trainable(model, LORA_TARGETS, ("language",), "lora", LORA | {"dropout": dropout}).train()
    ids = torch.randint(3, 1000, (2, 300))
    plan = replace(PLAN, parts=("language",), dropout=dropout > 0, tokens=300, image_tokens=0)
    found = kept_for_backward(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, 2)
    counted = sizes_of(config, LORA_TARGETS)
    layer = activation_bytes(counted, replace(plan, checkpointing=True)) - 3 * 128 * 2 * 300
    ours = 2 * (activation_bytes(counted, plan) - layer)  # what is kept, without what is at work
    if dropout:  # where it was: a byte on a GPU, and a float on a CPU
        ours += 2 * 300 * 3 * (6 * 128 + 344) * (4 - 1)
    assert 0.85 < ours / found < 1.25


def test_a_7b_is_as_large_as_its_yaml_says(seven_b):
    base = load_base("llava-1.5-7b")
    assert seven_b.parameters == base.parameters and base.memory_gb is not None
    assert weight_bytes(seven_b, PLAN) / 1e9 == pytest.approx(base.memory_gb["bf16"], abs=0.01)
    assert weight_bytes(seven_b, replace(PLAN, method="qlora")) / 1e9 == pytest.approx(base.memory_gb["nf4"], rel=0.1)


def test_what_takes_less_memory_is_estimated_lower(seven_b):
    plain = estimate(seven_b, PLAN, 4)
    for less in (
        replace(PLAN, checkpointing=True),
        replace(PLAN, method="qlora"),
        replace(PLAN, tokens=600),
        replace(PLAN, stage=3, ranks=8),
    ):
        assert estimate(seven_b, less, 4).total < plain.total
    assert estimate(seven_b, replace(PLAN, method="full"), 4).total > 4 * plain.weights
    two = replace(PLAN, stage=2, ranks=8)
    assert estimate(seven_b, two, 4).weights == plain.weights
    assert estimate(seven_b, two, 4).gradients == plain.gradients // 8


def test_as_many_cases_as_fit_are_taken_at_once(seven_b):
    needs = {n: estimate(seven_b, PLAN, n).total for n in (1, 2, 3, 4, 6, 12)}
    assert largest_batch(seven_b, PLAN, needs[4], (1, 2, 4, 8)) == 4
    assert fitting_micro_batch(seven_b, PLAN, 12, needs[4]) == 4
    assert fitting_micro_batch(seven_b, PLAN, 6, needs[4]) == 3, "a part that six are made of"
    assert fitting_micro_batch(seven_b, PLAN, 12, needs[12], given=2) == 2


def test_what_cannot_fit_is_refused_with_what_would(seven_b):
    one, less = (estimate(seven_b, plan, 1).total for plan in (PLAN, replace(PLAN, checkpointing=True)))
    with pytest.raises(InputError, match=r"does not fit(.|\n)*fix: +--gradient-checkpointing"):
        fitting_micro_batch(seven_b, PLAN, 4, less)
    with pytest.raises(InputError, match=r"fix: +--micro-batch 1"):
        fitting_micro_batch(seven_b, PLAN, 4, one, given=4)
    with pytest.raises(InputError, match=r"fix: +--method qlora"):
        fitting_micro_batch(seven_b, PLAN, 4, less - 1)
    with pytest.raises(InputError, match="a smaller --base"):
        fitting_micro_batch(seven_b, PLAN, 4, 1e9)
    with pytest.raises(InputError, match="divisor"):
        fitting_micro_batch(seven_b, PLAN, 4, 1e12, given=3)


def test_a_cpu_is_only_warned_of(seven_b, caplog):
    with caplog.at_level(logging.WARNING):
        warn_if_too_large(seven_b, PLAN, 1, 1e12)
        assert not caplog.records
        warn_if_too_large(seven_b, PLAN, 1, 1e9)
    assert "--gradient-checkpointing" in caplog.text


def test_what_an_earlier_training_held_is_given_back_before_a_gpu_is_measured(monkeypatch):
    class Trainer:
        pass

    trainer: Any = Trainer()
    trainer.model = trainer
    held, at_emptying = weakref.ref(trainer), []
    del trainer
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: at_emptying.append(held()))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: (3 if at_emptying else 1, 4))
    assert gpu_memory(torch.device("cuda")) == (3, 4) and at_emptying == [None]


def test_nothing_of_a_model_is_held_after_its_training(tiny_base, tmp_path, monkeypatch):
    made, load = [], session.load_model

    def noted(*args):
        model, processor = load(*args)
        made.append(weakref.ref(model))
        return model, processor

    monkeypatch.setattr(session, "load_model", noted)
    settings = settings_from({"dataset": "Slopes", "base": str(tiny_base), "num_epochs": 0.5, "batch_size": 4})
    base, adapter = load_base(str(tiny_base)), tmp_path / "adapter"
    gc.disable()
    try:
        session.finetune_with(settings, base, tiny_base, make_splits(), PRESENTATION, adapter, seed=0)
    finally:
        gc.enable()
    assert adapter.exists() and [model() for model in made] == [None]


def test_a_base_whose_sizes_are_unknown_is_trained_without_an_estimate(tiny_base, caplog, monkeypatch):
    base = load_base(str(tiny_base))
    odd = base.model_copy(update={"lora_targets": LORA_TARGETS | {"projector": "nowhere"}})
    settings = settings_from({"dataset": "Slopes", "base": str(tiny_base), "batch_size": 4})
    for device in ("cpu", "cuda"):
        monkeypatch.setattr("vlm_tsc.finetune.plan.device", lambda name=device: torch.device(name))
        monkeypatch.setattr("vlm_tsc.finetune.plan.gpu_memory", lambda gpu: (1 << 40, 1 << 40))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda gpu: "a GPU")
        caplog.clear()
        assert choose_micro_batch(settings, odd, tiny_base, make_splits(), PRESENTATION, 4) == 4
        assert len(caplog.records) == 1 and "projector" in caplog.text


def test_a_vision_tower_of_other_words_ends_in_a_clear_error(tmp_path, capsys):
    vision = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    text |= {"num_key_value_heads": 2, "vocab_size": 100, "rope_parameters": rope}
    config = AutoConfig.for_model("qwen2_vl", vision_config=vision, text_config=text)
    with pytest.raises(UnknownSizes, match="intermediate_size"):
        sizes_of(config, LORA_TARGETS)
    config.save_pretrained(tmp_path)
    assert memory.main(["--base", str(tmp_path)]) == 2
    assert "intermediate_size" in capsys.readouterr().err


def test_the_table_needs_no_checkpoint(capsys):
    words = ["--base", "llava-1.5-7b", "--method", "qlora", "--batch-size", "2", "--gradient-checkpointing"]
    assert memory.main(words) == 0
    text = capsys.readouterr().out
    assert "2 cases of 2,048 tokens" in text and "4-bit" in text and "24 GB:" in text
    rows = [float(line.split()[-2]) for line in text.splitlines() if line.endswith(" GB")]
    assert sum(rows[:-1]) == pytest.approx(rows[-1], abs=0.05)
    assert max(map(len, text.splitlines())) <= 80


def test_a_configuration_that_is_nowhere(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert memory.main(["--base", "nobody/no-such-model"]) == 2
    told = capsys.readouterr().err
    assert "--base nobody/no-such-model\n" in told and "is not on this machine" in told
    assert "hf download nobody/no-such-model config.json --local-dir DIR/no-such-model, then here: --llava-root" in told


def test_without_a_network_a_configuration_is_asked_for_once(capsys, monkeypatch, tmp_path):
    """Not six times, half a minute long, as AutoConfig does."""
    import httpx2

    asked = []

    def unreachable(*args, **_):
        asked.append(args)
        raise httpx2.ConnectError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(httpx2.Client, "send", unreachable)
    assert memory.main(["--base", "nobody/no-such-model"]) == 2
    assert len(asked) == 1 and "hf download nobody/no-such-model" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_read(capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of-nobody"}')
    assert memory.main(["--base", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "cannot be read" in told and str(tmp_path / "config.json") in told
