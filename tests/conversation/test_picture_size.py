"""Pictures are drawn at the tower's size: what was drawn is what the tower gets, not a resized copy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.replicas import FAMILIES, make_replica
from vlm_tsc.bases import load_base
from vlm_tsc.conversation.processor import checkpoint_folder, load_processor, picture_size
from vlm_tsc.representation.line import draw

CASE = np.sin(np.linspace(0, 20, 200))[None]


@pytest.mark.parametrize("which", ["bundled", "tiny"])
def test_the_tower_of_our_own_bases_gets_every_pixel_as_drawn(which, tiny_base):
    base = load_base("plot-llava-mini" if which == "bundled" else str(tiny_base))
    processor = load_processor(checkpoint_folder(base))
    picture = draw(CASE, picture_size(base, processor))
    pixels = processor.image_processor(images=[picture], return_tensors="np").pixel_values[0]
    np.testing.assert_allclose(pixels, picture.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_published_familys_processor_resizes_nothing(name, tmp_path):
    processor = load_processor(make_replica(name, tmp_path / name))
    size = picture_size(load_base(FAMILIES[name].base), processor)
    checker = np.indices(size[::-1]).sum(0) % 2 * 255  # any resizing would turn it grey
    picture = np.repeat(checker[:, :, None], 3, axis=2).astype(np.uint8)
    pixels = np.asarray(processor.image_processor(images=[picture], return_tensors="np").pixel_values)
    assert len(np.unique(pixels.round(4))) <= 6, "two values a colour plane"
