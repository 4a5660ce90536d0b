"""The LLaVA recipe in miniature: vision tower, captions, instructions, episodes; resumable at every stage."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from vlm_tsc.answer.attention import use_attention_for_training
from vlm_tsc.answer.batch import IGNORED, encode_examples, on_device
from vlm_tsc.answer.model import device
from vlm_tsc.conversation.encoding import answer_tokens, prompt_text
from vlm_tsc.conversation.records import question_messages
from vlm_tsc.errors import InputError
from vlm_tsc.pretrain.base_model import build_model, build_processor, train_tokenizer, vision_config
from vlm_tsc.pretrain.episode_stage import run_episode_stage
from vlm_tsc.pretrain.letters import answer_words, spread_answers
from vlm_tsc.pretrain.loop import run_stage
from vlm_tsc.pretrain.noted import note_pretraining
from vlm_tsc.pretrain.tasks import Example, caption_example, example_texts, question_example
from vlm_tsc.pretrain.vision_stage import make_batch, run_vision_stage, to_pixel_values
from vlm_tsc.representation.styles import Style
from vlm_tsc.resources import find_file
from vlm_tsc.yaml_file import read_yaml

STAGES = ("vision", "captions", "instructions", "episodes")
LENGTHS = ("steps", "warmup_steps")  # of a stage
CASES_PER_EPISODE = 8
_TOKENIZER_TEXTS = 3000
QUESTIONS_BESIDE = 8  # in every step of the episode stage
_SAME_LENGTH = 16  # examples that are padded to one length


class StageConfig(BaseModel):
    """One stage: optimizer steps, plots or examples a step, peak learning rates, warm-up steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    tower_learning_rate: float = 0.0  # in the language stages; 0 leaves the tower as it is


class LlavaPretraining(BaseModel):
    """All that `configs/pretrain/plot-llava-mini.yaml` sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    seed: int
    image_size: int
    patch_size: int
    picture: Style
    vision_width: int
    vision_layers: int
    feature_layer: int | list[int]
    text_width: int
    text_layers: int
    text_intermediate: int
    vocab_size: int
    vision: StageConfig
    captions: StageConfig
    instructions: StageConfig
    episodes: StageConfig

    def shortened(self, budget: float) -> LlavaPretraining:
        """The recipe with this share (above 0, at most 1) of every stage's steps and warm-up, at least one step."""
        stages = {name: getattr(self, name) for name in STAGES}
        shorter = {
            name: stage.model_copy(update={key: math.ceil(budget * getattr(stage, key)) for key in LENGTHS})
            for name, stage in stages.items()
        }
        return self.model_copy(update=shorter)


def read_config(path: Path | str) -> LlavaPretraining:
    """The configuration in a YAML file; InputError names what is wrong in it."""
    values, _ = read_yaml(find_file(path) or path)
    try:
        return LlavaPretraining.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        raise InputError("The pre-training configuration is wrong.", where=path, got="; ".join(problems)) from None


def pretrain_llava(config: LlavaPretraining, work: Path, out: Path, workers: int = 1) -> None:
    """Run or resume all stages in folder `work`, then write the checkpoint folder `out`, bf16 safetensors.

    Raises
    ------
    InputError
        When `work` holds a pre-training of another configuration, or loss or gradient are no longer numbers.
    """
    note_pretraining(work, config.model_dump(mode="json"))
    tower = pretrain_tower(config, work / "vision", workers)
    processor = make_processor(config)
    model = model_around(config, processor.tokenizer, tower.state_dict())
    nn.Module.to(model, device())
    use_attention_for_training(model)
    loss_of = language_loss(processor)
    for name, stage, make in (
        ("captions", config.captions, caption_example),
        ("instructions", config.instructions, question_example),
    ):
        run_stage(
            model,
            language_batches(processor, make, stage.batch_size, config.seed, config),
            loss_of,
            folder=work / name,
            plots_per_batch=stage.batch_size,
            **_training(model, stage, workers),
        )
    run_episode_stage(
        model,
        processor,
        work / "episodes",
        questions=language_batches(processor, question_example, QUESTIONS_BESIDE, config.seed + 1, config),
        question_loss=loss_of,
        seed=config.seed + 1,
        image_size=config.image_size,
        n_cases=CASES_PER_EPISODE,
        batch_size=config.episodes.batch_size,
        style=config.picture,
        **_training(model, config.episodes, workers),
    )
    spread_answers(model, processor.tokenizer, config.seed)
    save_base(model, processor, out)


def pretrain_tower(config: LlavaPretraining, folder: Path, workers: int = 1) -> Any:
    """Run or resume the recipe's first stage in `folder`: the vision tower, in fp32."""
    return run_vision_stage(
        tower_shape(config),
        folder,
        seed=config.seed,
        steps=config.vision.steps,
        n_episodes=config.vision.batch_size // CASES_PER_EPISODE,
        n_cases=CASES_PER_EPISODE,
        learning_rate=config.vision.learning_rate,
        warmup_steps=config.vision.warmup_steps,
        workers=workers,
        style=config.picture,
    )


def make_processor(config: LlavaPretraining) -> Any:
    """The base's processor, its tokenizer made from texts of the recipe's examples: the same for the same recipe."""
    tokenizer = train_tokenizer(_texts(config.seed), config.vocab_size, answer_words())
    processor = build_processor(tokenizer, config.image_size, config.patch_size)
    processor.tokenizer.padding_side = "left"
    return processor


@cache
def _texts(seed: int) -> tuple[str, ...]:
    """What the tokenizer learns from; kept, because drawing the examples takes seconds."""
    return tuple(example_texts(seed, _TOKENIZER_TEXTS))


def tower_shape(config: LlavaPretraining) -> Any:
    """The vision tower's configuration."""
    return vision_config(config.image_size, config.patch_size, config.vision_width, config.vision_layers)


def model_around(config: LlavaPretraining, tokenizer: Any, tower: Mapping[str, torch.Tensor]) -> Any:
    """The LLaVA with which the captions begin: these weights of a tower, a centred projector, a fresh decoder."""
    torch.manual_seed(config.seed)
    model = build_model(
        tokenizer,
        tower_shape(config),
        width=config.text_width,
        layers=config.text_layers,
        intermediate=config.text_intermediate,
        feature_layer=config.feature_layer,
    )
    model.model.vision_tower.load_state_dict(tower)
    centre_projector(model, config)
    return model


def _training(model: Any, stage: StageConfig, workers: int) -> dict[str, Any]:
    """What a language stage's config says to `run_stage`; the tower is frozen where it has no learning rate."""
    model.model.vision_tower.requires_grad_(stage.tower_learning_rate > 0)
    return {
        "steps": stage.steps,
        "learning_rate": stage.learning_rate,
        "warmup_steps": stage.warmup_steps,
        "workers": workers,
        "other_rates": {"vision_tower": stage.tower_learning_rate},
    }


@torch.no_grad()
def centre_projector(model: Any, config: LlavaPretraining) -> None:
    """Start the projector so that what differs between patches fills its range, and its output is of the words' size.

    The tower's features have a norm of 90, a third of it common to all patches; a word's embedding has 0.3. Fed in as
    they are, picture tokens drown what the decoder's layers add to them, and 20,000 captions did not teach it to look.
    """
    size, style = config.image_size, config.picture
    pixels, *_ = make_batch(config.seed, 0, image_size=size, n_episodes=16, n_cases=8, style=style)
    hidden = model.model.vision_tower(pixel_values=to_pixel_values(pixels), output_hidden_states=True).hidden_states
    layers = config.feature_layer if isinstance(config.feature_layer, list) else [config.feature_layer]
    features = torch.cat([hidden[layer][:, 1:] for layer in layers], dim=-1).flatten(0, 1)
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    first, second = model.model.multi_modal_projector.linear_1, model.model.multi_modal_projector.linear_2
    nn.init.orthogonal_(first.weight)
    first.weight /= deviation
    first.bias.copy_(-first.weight @ mean)
    nn.init.orthogonal_(second.weight, gain=0.5)
    nn.init.zeros_(second.bias)
    nn.init.normal_(model.get_input_embeddings().weight, std=0.5)


def language_batches(processor: Any, make: Any, batch_size: int, seed: int, config: LlavaPretraining) -> Any:
    """step -> examples as sub-batches: those with and without a picture cannot share a tensor, and short ones need no
    padding beside short ones."""

    def batch(step: int) -> list[dict[str, Any]]:
        indices = range(step * batch_size, (step + 1) * batch_size)
        examples = [make(seed + 1, index, config.image_size, config.picture) for index in indices]
        examples.sort(key=lambda one: (len(one.shown.pictures), len(one.shown.question)))
        groups = [[e for e in examples if bool(e.shown.pictures) == pictured] for pictured in (False, True)]
        parts = [group[i : i + _SAME_LENGTH] for group in groups for i in range(0, len(group), _SAME_LENGTH)]
        return [encode(processor, part) for part in parts]

    return batch


def language_loss(processor: Any) -> Any:
    """(model, sub-batches) -> mean loss over examples, and the share of answers that are right as a whole."""

    def loss_of(model: nn.Module, parts: list[dict[str, Any]]) -> tuple[torch.Tensor, dict[str, float]]:
        losses, right = [], []
        for inputs in parts:
            inputs = on_device(model.device, inputs)  # type: ignore[arg-type]
            labels = inputs.pop("labels")
            logits = model(**inputs, logits_to_keep=labels.shape[1] + 1, use_cache=False).logits[:, :-1].float()
            wanted = labels != IGNORED
            per_token = nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
            losses.append(per_token.sum(1) / wanted.sum(1))  # a case counts as one, however long its answer
            right += answers_right(logits.argmax(-1) == labels, labels, processor.tokenizer.eos_token_id)
        return torch.cat(losses).mean(), {"whole_answer_right": sum(right) / len(right)}

    return loss_of


def encode(processor: Any, examples: list[Example]) -> dict[str, Any]:
    """Conversations as tensors, the loss on every answer; each turn ends with the end token, as in LLaVA-1.5."""
    tails, asked = [], []
    for one in examples:
        prompt = prompt_text(processor, question_messages(one.shown.question))
        tail = answer_tokens(processor, prompt, one.answer)
        spans = []  # of `tail`: further questions, on which there is no loss
        for question, answer in one.more:
            text = prompt_text(processor, question_messages(question)).removeprefix(processor.tokenizer.bos_token)
            words = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
            spans.append((len(tail), len(tail) + len(words)))
            tail = tail + words + answer_tokens(processor, text, answer)
        tails.append(tail)
        asked.append(spans)
    made = encode_examples(processor, [one.shown for one in examples], tails)
    for labels, tail, spans in zip(made["labels"], tails, asked, strict=True):
        for start, stop in spans:
            labels[len(labels) - len(tail) + start : len(labels) - len(tail) + stop] = IGNORED
    return made


def answers_right(right: torch.Tensor, labels: torch.Tensor, end: int) -> list[bool]:
    """For every answer in `labels` (n_cases, n_tokens), each closed by token `end`: were all its tokens right?"""
    found = []
    for ok, row in zip(right, labels, strict=True):
        wrong = (~ok & (row != IGNORED)).cumsum(0)[row == end]
        found += (wrong.diff(prepend=wrong.new_zeros(1)) == 0).tolist()
    return found


def save_base(model: Any, processor: Any, out: Path) -> None:
    """Write a checkpoint folder, bf16 safetensors; another of that name is replaced."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.cpu().to(torch.bfloat16).save_pretrained(part, max_shard_size="15MB")
    processor.save_pretrained(part)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
