"""Replicas of published checkpoints: folders as the hub has them, with tiny widths and random weights.

Configuration class, vocabulary layout, special tokens, chat template and processor settings are those of the published
files, since these are what a family's users trip over; only widths, depths and weights are not. Nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedTokenizerFast
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from tests.replica_configs import published_config
from tests.replica_tokenizers import llama_tokenizer, qwen2_tokenizer, smollm2_tokenizer

_IMAGES_FIRST = (
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
)
_TEXTS = "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
TEMPLATES = {
    # a space after the answer and no end token
    "llava-1.5": (
        "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}"
        "{% endif %}"
        + _IMAGES_FIRST
        + "{{ '<image>\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}"
        + _TEXTS
        + "{{ content['text'] + ' '}}{% endfor %}{% else %}"
        + _TEXTS
        + "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    ),
    # Mistral's: the end token in the template, no generation prompt of its own
    "llava-next": (
        "{% for message in messages %}{% if message['role'] == 'system' %}"
        "{{ '<<SYS>>\n' + message['content'][0]['text'] + '\n<</SYS>>\n\n' }}"
        "{% elif message['role'] == 'user' %}{{ '[INST] ' }}"
        + _IMAGES_FIRST
        + "{{ '<image>\n' }}{% endfor %}{# Render all text next #}"
        + _TEXTS
        + "{{ content['text'] }}{% endfor %}{{' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{{ ' ' + message['content'][0]['text'] + '</s> '}}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
    ),
    # generation prompt and conversation differ in white space: "assistant\nA" against "assistant \nA"
    "llava-onevision": (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}"
        + _IMAGES_FIRST
        + "{{ '<image>' }}{% endfor %}{# Render all video then #}"
        "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
        "{# Render all text next #}{% if message['role'] != 'assistant' %}"
        + _TEXTS
        + "{{ '\n' + content['text'] }}{% endfor %}{% else %}"
        + _TEXTS
        + "{% generation %}{{ '\n' + content['text'] }}{% endgeneration %}{% endfor %}{% endif %}{{'<|im_end|>'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    # a system turn nobody wrote; images between markers; a line break after the end token
    "qwen2.5-vl": (
        "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
        "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
        "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
        "{% for content in message['content'] %}"
        "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
        "{% set image_count.value = image_count.value + 1 %}"
        "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
        "{% elif content['type'] == 'video' or 'video' in content %}"
        "{% set video_count.value = video_count.value + 1 %}"
        "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
        "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    # the start token in the template; a space after the colon only where no image comes first
    "smolvlm": (
        "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
        "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
        "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
        "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    ),
}


def _qwen_vl_tokenizer() -> PreTrainedTokenizerFast:
    marks = [f"<|{name}_{side}|>" for name in ("object_ref", "box", "quad", "vision") for side in ("start", "end")]
    pads = ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
    return qwen2_tokenizer(marks + pads, {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"})


def _onevision_tokenizer() -> PreTrainedTokenizerFast:
    return qwen2_tokenizer(["<image>", "<video>"], {"image_token": "<image>", "video_token": "<video>"})


_CLIP_PICTURE = {
    "crop_size": {"height": 336, "width": 336},
    "size": {"shortest_edge": 336},
    "do_center_crop": True,
    "image_mean": OPENAI_CLIP_MEAN,
    "image_std": OPENAI_CLIP_STD,
    "resample": 3,
}
_HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_NEXT_GRID = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
_ONEVISION_GRID = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
_CLIP_TOKENS = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}


@dataclass(frozen=True)
class Family:
    """What the replica of one family is made of.

    Attributes
    ----------
    base : str
        The base in `configs/bases/` whose configuration it has.
    tokenizer : callable
        Makes the tokenizer.
    tokenizer_class : str
        As the published tokenizer_config.json names it.
    picture, processor : dict
        Contents of preprocessor_config.json and processor_config.json.
    image_tokens : int
        Tokens of a plot at the size the project draws it, markers between and around the image tokens included.
    """

    base: str
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    tokenizer_class: str
    picture: dict[str, Any]
    processor: dict[str, Any]
    image_tokens: int


FAMILIES = {
    "llava-1.5": Family(
        "llava-1.5-7b",
        llama_tokenizer,
        "LlamaTokenizer",
        _CLIP_PICTURE | {"image_processor_type": "CLIPImageProcessor"},
        _CLIP_TOKENS | {"processor_class": "LlavaProcessor"},
        576,  # (336 / 14)²
    ),
    "llava-next": Family(
        "llava-next-7b",
        llama_tokenizer,
        "LlamaTokenizer",
        _CLIP_PICTURE
        | {"image_processor_type": "LlavaNextImageProcessor", "image_grid_pinpoints": _NEXT_GRID, "do_pad": True},
        _CLIP_TOKENS | {"processor_class": "LlavaNextProcessor"},
        1176,  # the whole, its one tile, and a token at the end of each of 24 rows
    ),
    "llava-onevision": Family(
        "llava-onevision-0.5b",
        _onevision_tokenizer,
        "Qwen2Tokenizer",
        _HALVES
        | {"image_processor_type": "LlavaOnevisionImageProcessor", "image_grid_pinpoints": _ONEVISION_GRID}
        | {"size": {"height": 384, "width": 384}, "do_pad": True},
        {
            "processor_class": "LlavaOnevisionProcessor",
            "num_image_tokens": 729,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": "anyres_max_9",
        },
        1485,  # the whole, its one tile, and a token at the end of each of 27 rows
    ),
    "qwen2.5-vl": Family(
        "qwen2.5-vl-3b",
        _qwen_vl_tokenizer,
        "Qwen2Tokenizer",
        {
            "image_processor_type": "Qwen2VLImageProcessor",
            "min_pixels": 3136,
            "max_pixels": 12845056,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": OPENAI_CLIP_MEAN,
            "image_std": OPENAI_CLIP_STD,
        },
        {"processor_class": "Qwen2_5_VLProcessor"},
        256,  # (448 / 28)²
    ),
    "smolvlm": Family(
        "smolvlm-256m",
        smollm2_tokenizer,
        "GPT2Tokenizer",
        _HALVES
        | {"image_processor_type": "Idefics3ImageProcessor", "do_image_splitting": True, "do_pad": True}
        | {"max_image_size": {"longest_edge": 512}, "size": {"longest_edge": 2048}, "resample": 1},
        {"processor_class": "Idefics3Processor", "image_seq_len": 64},
        67,  # (512 / 16 / 4)², <global-img> and the two <fake_token_around_image>
    ),
}


def make_replica(name: str, folder: Path, *, tiny: bool = True) -> Path:
    """Write the replica of family `name` into `folder`, in the layout of the published repository.

    Not `tiny`, it has the published widths and depths too, in bfloat16: of LLaVA-1.5 14 GB, made on a GPU if there is
    one.
    """
    family = FAMILIES[name]
    torch.manual_seed(0)
    place = "cuda" if torch.cuda.is_available() and not tiny else "cpu"
    with torch.device(place):
        dtype = torch.float32 if tiny else torch.bfloat16
        model = AutoModelForImageTextToText.from_config(published_config(family.base, tiny=tiny), dtype=dtype)
    model.save_pretrained(folder)
    del model
    family.tokenizer().save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    _write(settings, json.loads(settings.read_text()) | {"tokenizer_class": family.tokenizer_class})
    _write(folder / "preprocessor_config.json", family.picture | family.processor)
    _write(folder / "processor_config.json", family.processor)
    _write(folder / "chat_template.json", {"chat_template": TEMPLATES[name]})
    return folder


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")
