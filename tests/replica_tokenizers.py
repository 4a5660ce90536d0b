"""Tokenizers of the published families, trained here on a few sentences: the same habits, the same special tokens.

The merges are our own, so ordinary words have other ids than in the published vocabularies. The rest of each vocabulary
is filled with names that no text can produce, so that it has its published size and every special token its published
id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

_TEXTS = [
    "USER: The plot shows a time series of the value over time. Classes: A or B. Answer with one letter. ASSISTANT: A",
    "User: Values: 0.5 -1.2 3.75 mean standard deviation minimum maximum Answer: B [INST] [/INST] system assistant",
] * 3
_BYTES = pre_tokenizers.ByteLevel.alphabet()


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """LLaMA's and Mistral's, as LLaVA-1.5 and LLaVA-NeXT extend it: "▁" is a space, and its own token before a digit.

    What is not in the vocabulary is written in bytes, `<0x00>` … `<0xFF>` (ids 3 to 258). `<unk>` 0, `<s>` 1, `</s>` 2,
    32,000 tokens in all; then `<image>` 32000 and `<pad>` 32001.
    """
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)]
    vocab, merges = _bpe(words, first, [chr(i) for i in range(33, 127)] + ["▁"], 32000)
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return _wrapped(tokenizer, special, names, {"image_token": "<image>"})


def qwen2_tokenizer(added: Sequence[str], extra: dict[str, str]) -> PreTrainedTokenizerFast:
    """Qwen2's: bytes, every digit alone, no start token.

    `<|endoftext|>` 151643, which pads, `<|im_start|>` 151644, `<|im_end|>` 151645, which ends, then `added`.
    """
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated")
    words = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    vocab, merges = _bpe(words, [], _BYTES, 151643)
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *added]
    return _wrapped(tokenizer, special, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, extra)


def smollm2_tokenizer() -> PreTrainedTokenizerFast:
    """SmolLM2's, as SmolVLM extends it: bytes, every digit alone, no start token of its own.

    `<|endoftext|>` 0, `<|im_start|>` 1, `<|im_end|>` 2; `<global-img>` 49152, `<row_1_col_1>` … `<row_6_col_6>`,
    `<fake_token_around_image>` 49189, `<image>` 49190, reserved ones, `<end_of_utterance>` 49279, which ends.
    """
    words = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    first = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocab, merges = _bpe(words, first, _BYTES, 49152)
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)
    tokenizer.decoder = decoders.ByteLevel()
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    added = ["<global-img>", *tiles, "<fake_token_around_image>", "<image>"]
    added += [f"<|reserved_special_token_{i}|>" for i in range(88)] + ["<end_of_utterance>"]
    names = {"bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>"}
    names |= {"unk_token": "<|endoftext|>", "pad_token": "<|im_end|>"}
    return _wrapped(tokenizer, [*first, *added], names, {})


def _bpe(
    words: Sequence[pre_tokenizers.PreTokenizer], first: Sequence[str], alphabet: Sequence[str], size: int
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of exactly `size` pieces that begins with `first`, and its merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(words))
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=list(alphabet), show_progress=False)
    tokenizer.train_from_iterator(_TEXTS, trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    pieces = [*first, *sorted(trained["vocab"], key=trained["vocab"].__getitem__)]
    pieces += [f"<unused {i}>" for i in range(size - len(pieces))]
    return {piece: i for i, piece in enumerate(pieces)}, [tuple(merge) for merge in trained["merges"]]


def _wrapped(
    tokenizer: Tokenizer, special: Sequence[str], names: dict[str, str], extra: dict[str, str]
) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, extra_special_tokens=extra, clean_up_tokenization_spaces=False, **names
    )
