"""Small real processors, built in-process: a tiny tokenizer under published templates and under made-up ones.

Replicas of whole published checkpoints are in `tests/replicas.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

from tests import replicas

_PARTS = (
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
)
TEMPLATES = {
    "llava-1.5": replicas.TEMPLATES["llava-1.5"],
    # the start token written by the template
    "with start": (
        "{{ bos_token }}{% for message in messages %}{{ message['role'].upper() + ': ' }}"
        + _PARTS
        + "{{ content['text'] + ' ' }}"
        "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    ),
    # an end token of its own, and a line break after it
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}" + _PARTS + "{{ content['text'] }}"
        "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "onevision": replicas.TEMPLATES["llava-onevision"],
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with Llama's conventions: "▁" for spaces, one token per digit, a start token that it adds itself."""
    special = ["<unk>", "<s>", "</s>", "<pad>", "<image>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    texts = ["USER: The plot shows a time series. Values: 0.5 -1.2 Classes: Answer with one letter. ASSISTANT: A"]
    alphabet = [chr(i) for i in range(32, 127)] + ["▁", "\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def make_processor(template: str = "llava-1.5", image_size: int = 28, patch_size: int = 14) -> LlavaProcessor:
    """A LlavaProcessor of (image_size / patch_size)² tokens per picture."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": image_size}, crop_size={"height": image_size, "width": image_size}
        ),
        tokenizer=make_tokenizer(),
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATES[template],
    )


@pytest.fixture(scope="session")
def processor() -> LlavaProcessor:
    return make_processor()


@pytest.fixture(scope="session", params=list(TEMPLATES))
def any_processor(request: pytest.FixtureRequest) -> LlavaProcessor:
    return make_processor(request.param)


@pytest.fixture
def cases() -> list[np.ndarray]:
    """Five univariate cases of different lengths and magnitudes."""
    random = np.random.default_rng(0)
    return [random.normal(size=(1, n)) * 10**i for i, n in enumerate([30, 24, 17, 2, 41])]


@pytest.fixture
def new_processor():
    """A function that makes a fresh LLaVA-1.5 processor with another chat template."""

    def make(template: str | None) -> LlavaProcessor:
        made = make_processor()
        made.chat_template = template
        return made

    return make
