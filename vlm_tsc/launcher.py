"""What a launcher of several processes, such as torchrun or deepspeed, says of them; read without torch."""

from __future__ import annotations

import os

from vlm_tsc.errors import InputError


def n_processes() -> int:
    """How many were started together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_several(what: str, *, where: str = "the launcher", fix: str) -> None:
    """Raise InputError in each of several processes, before any has begun what they cannot share."""
    if (count := n_processes()) > 1:
        raise InputError(what, where=where, got=f"{count} processes", fix=fix)
