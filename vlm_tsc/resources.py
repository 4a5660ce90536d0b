"""Where `configs/` and `prompts/` are: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Folder of shipped files.

    Parameters
    ----------
    name : str
        "configs" or "prompts", or a folder below one of them such as "configs/bases".

    Returns
    -------
    Path
        The folder inside the package where there is one, else the one beside the package. The package comes first
        because what lies beside an installed package (`site-packages/configs`) may be somebody else's.

    Raises
    ------
    FileNotFoundError
        When neither exists: the installation is incomplete.
    """
    for root in (PACKAGE, PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(2, "the installation is incomplete: a folder of shipped files is missing", name)


def find_file(path: Path | str) -> Path | None:
    """`path` as given, else the shipped file of that name ("configs/deepspeed/zero2.json"), else None."""
    candidates = [Path(os.path.expanduser(path))]
    if not Path(path).is_absolute():  # so that the README's lines also work from another folder
        candidates += [PACKAGE / path, PACKAGE.parent / path]
    return next((candidate for candidate in candidates if candidate.is_file()), None)
