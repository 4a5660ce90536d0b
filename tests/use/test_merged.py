"""An adapter put into its base without PEFT is what PEFT makes of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import LORA_TARGETS
from vlm_tsc.finetune.merged import merge_plain_lora


def _adapter(base, folder, **more):
    """An adapter of random weights on language, vision and the whole projector, and its base."""
    torch.manual_seed(0)
    model, _ = load_model(base)
    projector = [name for name, _ in model.named_modules() if name.endswith(("linear_1", "linear_2"))]
    targets = f"{LORA_TARGETS['language']}|{LORA_TARGETS['vision']}"
    config = LoraConfig(r=3, lora_alpha=8, target_modules=targets, modules_to_save=projector, **more)
    made = get_peft_model(model, config)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.1)
    made.save_pretrained(folder)


def test_it_gives_pefts_own_bits(tiny_base, tmp_path):
    _adapter(tiny_base, tmp_path)
    ours, _ = load_model(tiny_base)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    assert merge_plain_lora(ours, tmp_path)
    theirs, _ = load_model(tiny_base)
    theirs = PeftModel.from_pretrained(theirs, tmp_path).merge_and_unload()
    found, expected = ours.state_dict(), theirs.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    changed = {name for name in found if not torch.equal(found[name], before[name])}
    assert any("vision" in name for name in changed) and any("projector" in name for name in changed)


@pytest.mark.parametrize("more", [{"use_dora": True}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 2}}])
def test_other_kinds_are_left_to_peft(tiny_base, tmp_path, more):
    _adapter(tiny_base, tmp_path, **more)
    model, _ = load_model(tiny_base)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not merge_plain_lora(model, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_adapter_of_other_layers_changes_nothing(tiny_base, tmp_path):
    _adapter(tiny_base, tmp_path)
    other = torch.nn.Linear(2, 2)
    assert not merge_plain_lora(other, tmp_path)


def test_a_loaded_classifier_answers_without_peft(a_run):
    """Its import takes longer than loading the bundled base does; aeon imports what a class's tags name."""
    code = "import sys, numpy as np; from vlm_tsc.classify.llava import LlavaClassifier\n"
    code += f"LlavaClassifier.load({str(a_run.path)!r}).predict(np.zeros((1, 1, 30))); sys.exit('peft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
