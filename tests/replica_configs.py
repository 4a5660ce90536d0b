"""Configurations of the published checkpoints, as their config.json has them, and the same with tiny widths."""

from __future__ import annotations

from typing import Any

from transformers import Idefics3Config, LlavaConfig, LlavaNextConfig, LlavaOnevisionConfig, PreTrainedConfig
from transformers import Qwen2_5_VLConfig as QwenVLConfig

_CLIP = {"model_type": "clip_vision_model", "patch_size": 14, "image_size": 336, "projection_dim": 768}
_CLIP |= {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
_SIGLIP = {"model_type": "siglip_vision_model", "patch_size": 14, "image_size": 384, "vision_use_head": False}
_SIGLIP |= {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16}
_SMALL_SIGLIP = {"patch_size": 16, "image_size": 512}
_SMALL_SIGLIP |= {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_QWEN_TOWER = {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16, "out_hidden_size": 2048}
_QWEN_TOWER |= {"fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2}


def published_config(name: str, tiny: bool = False) -> PreTrainedConfig:
    """The configuration of base `name`; `tiny` changes widths and depths, and nothing that decides on tokens."""
    return PUBLISHED[name](_TINY if tiny else {})


def _text(model_type: str, sizes: tuple[int, int, int, int, int], theta: float, tiny: dict, **others: Any) -> dict:
    """A decoder of (hidden, intermediate, layers, heads, key-value heads)."""
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    rope = {"rope_type": "default", "rope_theta": theta}
    values = dict(zip(keys, sizes, strict=True)) | {"rope_parameters": rope, "model_type": model_type} | others
    return values | tiny.get("text", {})


def _llava(sizes: tuple[int, int, int, int, int]) -> Any:
    def make(tiny: dict) -> PreTrainedConfig:
        text = _text("llama", sizes, 1e4, tiny, vocab_size=32064, max_position_embeddings=4096, rms_norm_eps=1e-5)
        return LlavaConfig(
            vision_config=_CLIP | tiny.get("vision", {}), text_config=text, image_token_index=32000, pad_token_id=32001
        )

    return make


def _llava_next(tiny: dict) -> PreTrainedConfig:
    text = _text(
        "mistral", (4096, 14336, 32, 32, 8), 1e6, tiny, vocab_size=32064, max_position_embeddings=32768,
        rms_norm_eps=1e-5, sliding_window=None,
    )  # fmt: skip
    return LlavaNextConfig(vision_config=_CLIP | tiny.get("vision", {}), text_config=text, image_token_index=32000)


def _onevision(sizes: tuple[int, int, int, int, int], tied: bool) -> Any:
    def make(tiny: dict) -> PreTrainedConfig:
        text = _text(
            "qwen2", sizes, 1e6, tiny, vocab_size=152000, max_position_embeddings=32768, tie_word_embeddings=tied,
            bos_token_id=151643, eos_token_id=151645,
        )  # fmt: skip
        return LlavaOnevisionConfig(
            vision_config=_SIGLIP | tiny.get("vision", {}), text_config=text, tie_word_embeddings=tied
        )

    return make


def _qwen(tiny: dict) -> PreTrainedConfig:
    text = _text(
        "qwen2_5_vl_text", (2048, 11008, 36, 16, 2), 1e6, tiny, vocab_size=151936, max_position_embeddings=128000,
        rms_norm_eps=1e-6, tie_word_embeddings=True,
    )  # fmt: skip
    # the three position axes share the halves of a head: 16 + 24 + 24 of 64
    text["rope_parameters"] |= {"mrope_section": [2, 3, 3] if tiny else [16, 24, 24]}
    tower = _QWEN_TOWER | tiny.get("qwen_tower", {})
    return QwenVLConfig(vision_config=tower, text_config=text, tie_word_embeddings=True)


def _smolvlm(sizes: tuple[int, int, int, int, int]) -> Any:
    def make(tiny: dict) -> PreTrainedConfig:
        text = _text(
            "llama", sizes, 1e5, tiny, vocab_size=49280, max_position_embeddings=8192, rms_norm_eps=1e-5, pad_token_id=2
        )
        return Idefics3Config(
            vision_config=_SMALL_SIGLIP | tiny.get("vision", {}), text_config=text, image_token_id=49190, scale_factor=4
        )

    return make


_WIDTHS = {"hidden_size": 32, "intermediate_size": 64}
_TINY: dict[str, dict[str, Any]] = {
    "text": _WIDTHS | {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16},
    "vision": _WIDTHS | {"num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 32},
    "qwen_tower": _WIDTHS | {"depth": 2, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [1]},
}
PUBLISHED = {
    "llava-1.5-7b": _llava((4096, 11008, 32, 32, 32)),
    "llava-1.5-13b": _llava((5120, 13824, 40, 40, 40)),
    "llava-next-7b": _llava_next,
    "llava-onevision-0.5b": _onevision((896, 4864, 24, 14, 2), tied=True),
    "llava-onevision-7b": _onevision((3584, 18944, 28, 28, 4), tied=False),
    "qwen2.5-vl-3b": _qwen,
    "smolvlm-256m": _smolvlm((576, 1536, 30, 9, 3)),
    "smolvlm-500m": _smolvlm((960, 2560, 32, 15, 5)),
}
