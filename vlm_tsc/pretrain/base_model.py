"""The untrained `plot-llava-mini`: a LLaVA of about five million parameters, its tokenizer and its processor.

CLIP vision tower → two-layer projector → Llama decoder, as in LLaVA-1.5 (arXiv 2310.03744), with LLaVA-1.5's chat
template. The folder it is saved to opens with `AutoModelForImageTextToText` and `AutoProcessor` and nothing special.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

PAD, BOS, EOS, UNKNOWN, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"

# A number is one token per digit with what precedes it: " -0", ".5", "3". So "-0.53" is three tokens whose first
# carries the sign and the magnitude, and a digit means the same wherever it stands.
_PIECES = Regex(r" ?-?\d|\.\d| ?\p{L}+|\n| ?[^\s\p{L}\d]|\s")

LLAVA_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% if message['role'] != 'assistant' %}{{ content['text'] + ' ' }}"
    "{% else %}{% generation %}{{ content['text'] + ' ' }}{% endgeneration %}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int, whole_words: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in which every digit stands alone; any text can be encoded.

    Each of `whole_words`, whatever the texts hold, is one token beyond `vocab_size` where nothing is joined to it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS, UNKNOWN, IMAGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    numbers = [f" {digit} -{digit}{digit}.{digit}" for digit in range(10)] * 1000  # merged whatever the texts hold
    tokenizer.train_from_iterator([*texts, *numbers], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=with_words(tokenizer, whole_words),
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=2048,
    )


def with_words(tokenizer: Tokenizer, words: Iterable[str]) -> Tokenizer:
    """The same byte-level tokenizer with one token for each of `words`; other texts are cut as before."""
    whole = json.loads(tokenizer.to_str())
    vocabulary = whole["model"]["vocab"]
    for word in words:
        ((spelt, _),) = tokenizer.pre_tokenizer.pre_tokenize_str(word)
        vocabulary.setdefault(spelt, len(vocabulary))
    whole["model"]["ignore_merges"] = True  # a whole word that is a token is that token, without a way to merge it
    return Tokenizer.from_str(json.dumps(whole))


def build_processor(tokenizer: PreTrainedTokenizerFast, image_size: int, patch_size: int) -> LlavaProcessor:
    """The processor: pictures are drawn at `image_size`, so it only scales 0..255 to -1..1 and never resizes."""
    image_processor = CLIPImageProcessorPil(
        size={"height": image_size, "width": image_size},
        do_center_crop=False,
        do_resize=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the class token, which the default strategy drops again
        chat_template=LLAVA_CHAT_TEMPLATE,
    )


def vision_config(image_size: int, patch_size: int, width: int, layers: int) -> CLIPVisionConfig:
    """The tower's shape."""
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 32),
        image_size=image_size,
        patch_size=patch_size,
        projection_dim=width,
    )


def build_model(
    tokenizer: Any,
    vision: Any,
    *,
    width: int,
    layers: int,
    intermediate: int,
    feature_layer: int | list[int],
) -> LlavaForConditionalGeneration:
    """A LLaVA with fresh weights in fp32 around the given tower shape."""
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 32),
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=feature_layer,
        vision_feature_select_strategy="default",
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        tie_word_embeddings=False,
    )
    return LlavaForConditionalGeneration(config)
