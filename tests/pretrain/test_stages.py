"""The making of the bundled base, on sizes of seconds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, CLIPVisionModel

from vlm_tsc.answer.batch import IGNORED
from vlm_tsc.errors import InputError
from vlm_tsc.pretrain.__main__ import main
from vlm_tsc.pretrain.base_model import EOS, build_processor, train_tokenizer, vision_config
from vlm_tsc.pretrain.episode_stage import make_prompts
from vlm_tsc.pretrain.llava import LlavaPretraining, answers_right, encode, pretrain_llava
from vlm_tsc.pretrain.loop import STATE_FILE, run_stage
from vlm_tsc.pretrain.probe import cross_validated_accuracy, patch_features
from vlm_tsc.pretrain.tasks import caption_example, describe, example_texts, heights, question_example
from vlm_tsc.pretrain.vision_stage import (
    TowerWithHead,
    contrastive_loss,
    curve_loss,
    curve_of,
    make_batch,
    run_vision_stage,
    to_pixel_values,
)
from vlm_tsc.resources import resource_dir
from vlm_tsc.yaml_file import read_yaml

SHAPE = vision_config(image_size=32, patch_size=8, width=32, layers=2)


def test_contrastive_loss_equals_its_definition_case_by_case():
    rng = torch.Generator().manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(7, 4, generator=rng), dim=1)
    episodes, classes = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 0, 1, 0, 0, 1, 1])
    scale = torch.tensor(5.0)
    expected = 0.0
    for candidates in (lambda a, b: True, lambda a, b: bool(episodes[a] == episodes[b])):
        per_anchor = []
        for a in range(7):
            others = [b for b in range(7) if b != a and candidates(a, b)]
            positives = [b for b in others if episodes[a] == episodes[b] and classes[a] == classes[b]]
            if positives:
                weights = {b: torch.exp(scale * (z[a] @ z[b])) for b in others}
                total = sum(weights.values())
                per_anchor.append(-np.mean([float(torch.log(weights[b] / total)) for b in positives]))
        expected += np.mean(per_anchor)
    loss, figures = contrastive_loss(z, episodes, classes, scale)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert 0 <= figures["nearest_same_class"] <= 1


def test_the_curve_is_the_height_in_the_picture():
    ramp = np.linspace(2, 6, 3200)[None]
    curve = curve_of(np.concatenate([ramp, np.full_like(ramp, 9.0)]), None)
    np.testing.assert_allclose(curve[0], (np.arange(32) + 0.5) / 32, atol=1e-3)
    assert (curve[1] == 0.5).all() and np.isnan(curve[2]).all()
    short = curve_of(np.array([[0.0, 1.0]]), None)[0]
    assert short[0] == 0 and short[-1] == 1
    read = torch.from_numpy(curve).nan_to_num()[None]
    assert curve_loss(read, torch.from_numpy(curve)[None]) == 0
    assert curve_loss(read + 0.1, torch.from_numpy(curve)[None]) == pytest.approx(0.01 / 0.07, rel=1e-4)


def test_batches_are_a_pure_function_of_seed_and_step():
    a, b, c = (make_batch(0, step, image_size=32, n_episodes=2, n_cases=4) for step in (3, 3, 4))
    assert all(torch.equal(x.nan_to_num(), y.nan_to_num()) for x, y in zip(a, b, strict=True))
    assert not torch.equal(a[0], c[0])
    assert a[0].shape == (8, 3, 32, 32) and a[0].dtype == torch.uint8


def test_a_resumed_stage_equals_an_uninterrupted_one(tmp_path):
    def run(folder, steps_first=None):
        for upto in filter(None, (steps_first, 4)):
            torch.manual_seed(0)
            model = TowerWithHead(SHAPE)

            def batch(step, upto=upto):
                if step >= upto and upto < 4:
                    raise KeyboardInterrupt  # as a kill: no checkpoint of the last steps is written
                return make_batch(0, step, image_size=32, n_episodes=2, n_cases=4)

            def loss_of(model, made):
                z, read = model(to_pixel_values(made[0]))
                loss, figures = contrastive_loss(z, made[1], made[2], model.log_scale.exp())
                return loss + curve_loss(read, made[3]), figures

            try:
                run_stage(
                    model,
                    batch,
                    loss_of,
                    folder=folder,
                    steps=4,
                    learning_rate=1e-3,
                    warmup_steps=1,
                    workers=0,
                    save_every_seconds=0,
                    log_every=1,
                )
            except KeyboardInterrupt:
                assert int(load_file(folder / STATE_FILE)["step"]) == upto
        return load_file(folder / STATE_FILE)

    whole, parts = run(tmp_path / "whole"), run(tmp_path / "parts", steps_first=2)
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(line["plots_per_second"] > 0 and 0 < line["share_of_peak"] < 1 for line in lines)


def small_recipe(**changes):
    values, _ = read_yaml(resource_dir("configs/pretrain") / "plot-llava-mini.yaml")
    stage = {"steps": 2, "batch_size": 8, "learning_rate": 1e-3, "warmup_steps": 1}
    small = {"image_size": 32, "patch_size": 8, "vision_width": 32, "vision_layers": 2, "text_width": 32}
    small |= {"text_layers": 1, "text_intermediate": 64, "vocab_size": 500}
    stages = dict.fromkeys(("vision", "captions", "instructions", "episodes"), stage)
    return LlavaPretraining.model_validate(values | small | stages | changes)


@pytest.mark.parametrize("budget", ["0", "-1", "1.5", "nan"])
def test_a_budget_is_a_share_of_the_recipe(budget, capsys):
    assert main(["llava", "--conf-file", "configs/pretrain/plot-llava-mini.yaml", "--budget", budget]) == 2
    assert "above 0, at most 1" in capsys.readouterr().err


def test_the_whole_recipe_makes_a_checkpoint_that_opens_with_nothing_special(tmp_path):
    work, stage = tmp_path / "work", small_recipe().captions
    pretrain_llava(small_recipe(), work, tmp_path / "base", workers=0)
    longer = small_recipe(captions=stage.model_copy(update={"steps": 3}).model_dump())
    with pytest.raises(InputError, match=r"another pre-training(.|\n)*\['captions'\] differ"):
        pretrain_llava(longer, work, tmp_path / "other", workers=0)
    assert not (tmp_path / "other").exists()
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "base")
    processor = AutoProcessor.from_pretrained(tmp_path / "base", backend="pil")
    shown = caption_example(0, 0, 32).shown
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the series."}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(text=[text], images=[shown.pictures], return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert out.shape[1] > inputs["input_ids"].shape[1]


def test_numbers_are_one_token_per_digit():
    tokenizer = train_tokenizer([f"{i / 100:.2f} {-i / 100:.2f} A B" for i in range(300)], 400)
    assert [tokenizer.decode(i) for i in tokenizer(" -0.53 1.27")["input_ids"]] == [" -0", ".5", "3", " 1", ".2", "7"]
    assert tokenizer.eos_token == EOS
    assert tokenizer.decode(tokenizer("Füße ≥ 3 µV\n")["input_ids"]) == "Füße ≥ 3 µV\n"  # any text can be written


@pytest.mark.parametrize("make", [caption_example, question_example])
def test_examples_are_pure_and_their_answers_are_not_in_the_question_by_themselves(make):
    for index in range(40):
        one, again = make(0, index, 16), make(0, index, 16)
        assert (one.shown.question, one.answer, one.more) == (again.shown.question, again.answer, again.more)
        assert one.answer and all(answer for _, answer in one.more)
        assert one.shown.question.count("<image>") == len(one.shown.pictures)


def test_the_loss_of_a_conversation_is_on_its_answers_alone():
    examples = [caption_example(0, index, 16) for index in range(12)]
    processor = build_processor(train_tokenizer(example_texts(0, 200), 800), 16, 8)
    made = encode(processor, examples)
    tokenizer = processor.tokenizer
    end = tokenizer.eos_token_id
    for one, labels, ids in zip(examples, made["labels"], made["input_ids"], strict=True):
        written = [one.answer, *(answer for _, answer in one.more)]
        assert tokenizer.decode(labels[labels != IGNORED]) == "".join(
            f" {answer}{tokenizer.eos_token}" for answer in written
        )
        questions = [f"USER: {question} ASSISTANT:" for question, _ in one.more]
        assert all(question in tokenizer.decode(ids) for question in questions)
        assert (labels == end).sum() == len(written)
        right = labels.clone() == labels
        assert answers_right(right[None], labels[None], end) == [True] * len(written)
        right[-1] = False  # the end token of the last answer
        assert answers_right(right[None], labels[None], end) == [True] * (len(written) - 1) + [False]
    assert any(one.more for one in examples)


def test_heights_of_a_ramp():
    case = np.stack([np.linspace(0, 1, 160), np.linspace(1, 0, 160)])
    limits = np.array([[0.0, 1.0], [0.0, 2.0]])
    assert heights(case, limits, 0) == "A0 B0 C1 D2 E2 F3 G4 H4 I5 J5 K6 L7 M7 N8 O9 P9"
    assert heights(case, limits, 1) == "A4 B4 C4 D3 E3 F3 G2 H2 I2 J2 K1 L1 M1 N0 O0 P0"


def test_question_answers_are_balanced_over_letters():
    answers = [question_example(0, index, 8).answer for index in range(400)]
    letters = [answer for answer in answers if answer.isalpha()]
    share = {letter: letters.count(letter) / len(letters) for letter in "ABC"}
    assert len(letters) > 300 and all(value > 0.15 for value in share.values())


def test_description_of_a_ramp():
    assert describe(np.linspace(0, 1, 30)[None]) == "rising, no peak, highest at 9, lowest at 0, end higher, smooth"


@pytest.mark.long
def test_a_short_vision_stage_beats_the_untrained_tower(tmp_path):
    """Linear accuracy on synthetic episodes of another seed, before and after 150 small steps."""
    from vlm_tsc.pretrain.synthetic import episode

    shape = vision_config(image_size=56, patch_size=14, width=64, layers=3)
    torch.manual_seed(0)
    untrained = CLIPVisionModel(shape).eval()
    trained = run_vision_stage(
        shape, tmp_path, seed=0, steps=150, n_episodes=8, n_cases=8, learning_rate=5e-4, warmup_steps=20, workers=1
    ).eval()
    scores = {"untrained": [], "trained": []}
    for index in range(20):
        made = episode(99, index, n_cases=40)
        for name, tower in (("untrained", untrained), ("trained", trained)):
            scores[name].append(cross_validated_accuracy(patch_features(tower, made.X, None, -1), made.y))
    assert np.mean(scores["trained"]) > np.mean(scores["untrained"]) + 0.02


def test_cases_of_an_episode_batch_are_asked_the_same_and_are_pure():
    seen = set()
    for step in range(12):
        options = {"image_size": 16, "n_episodes": 2, "n_cases": 4}
        shown, episodes, classes = make_prompts(0, step, **options)
        again, _, _ = make_prompts(0, step, **options)
        assert [one.question for one in shown] == [one.question for one in again]
        assert all((a.pictures[0] == b.pictures[0]).all() for a, b in zip(shown, again, strict=True))
        assert episodes.tolist() == [0] * 4 + [1] * 4 and len(set(classes[:4].tolist())) == 2
        has_values = "Values" in shown[0].question
        assert len({one.question.splitlines()[-1] for one in shown}) == 1
        assert has_values or all(len({one.question for one in part}) == 1 for part in (shown[:4], shown[4:]))
        seen.add(has_values)
    assert seen == {True, False}
