"""Pictures as PNG bytes and back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from vlm_tsc.errors import InputError


def png_bytes(picture: np.ndarray) -> bytes:
    """Encode `(height, width, 3)` uint8 as PNG, fast rather than small: grey if the planes are equal."""
    grey = (picture[:, :, 0] == picture[:, :, 1]).all() and (picture[:, :, 0] == picture[:, :, 2]).all()
    file = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if grey else picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def read_png(path: Path | str) -> np.ndarray:
    """Decode a picture to `(height, width, 3)` uint8.

    Raises
    ------
    InputError
        When the file is missing or is no readable picture.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise InputError("The picture is missing.", where=path, fix="run dataset.py again to draw it") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(
            "The picture cannot be read.",
            where=path,
            got=error,
            allowed="a PNG",
            fix="delete it and run dataset.py again",
        ) from None
