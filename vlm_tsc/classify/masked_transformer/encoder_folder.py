"""A pre-trained encoder, its folder, and which sets it has seen."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.model_folder import WEIGHTS, facts_of, packed, read_folder, tensors_of, write_folder
from vlm_tsc.classify.seen import n_seen
from vlm_tsc.errors import InputError
from vlm_tsc.resources import PACKAGE

log = logging.getLogger(__name__)
KIND, FORMAT = "masked-encoder", 1
SHIPPED = PACKAGE / "checkpoints" / "masked-encoder"
DEFAULT, FRESH = "default", "fresh"
HOW = "python -m vlm_tsc.pretrain masked --conf-file configs/pretrain/mae.yaml makes one"


@dataclass(frozen=True)
class Pretrained:
    """Weights of a `PatchEncoder`, and what is known of them.

    Attributes
    ----------
    shape : Shape
    tensors : dict of str to Tensor
    facts : dict
        `name`, `task`, `sets` (names of the sets whose training parts it has seen; none for synthetic series), `steps`,
        `seed`, `config`, `sha256`, `commit`.
    seen : ndarray of int64, optional
        Hashes of the cases it has seen, see `case_hashes`; None where the folder does not say.
    """

    shape: Shape
    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]
    seen: np.ndarray | None = None

    def encoder(self) -> PatchEncoder:
        """A new encoder with these weights."""
        made = PatchEncoder(self.shape)
        made.load_state_dict(self.tensors)
        return made

    @property
    def label(self) -> str:
        """Name and the first digits of the weights' hash, such as `mae-3f9c02`."""
        return f"{self.facts['name']}-{self.facts['sha256'][:6]}"

    @property
    def sets(self) -> list[str]:
        """Names of the sets it was pre-trained on."""
        return self.facts["sets"]

    def has_seen(self, dataset: str) -> bool:
        """Whether it was pre-trained on the set of this name."""
        return dataset.lower() in {name.lower() for name in self.sets}

    def n_seen(self, cases: Iterable[np.ndarray], besides: Iterable[np.ndarray] = ()) -> int:
        """How many of these cases it was pre-trained on, whatever set they are of; a warning where nobody noted.

        Those among `besides` do not count, see `classify.seen.n_seen`.
        """
        if self.seen is None:
            log.warning("%s does not say which cases it has seen; sets are compared by name alone", self.label)
            return 0
        return n_seen(cases, self.seen, besides)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], where: Path | str = "memory") -> Pretrained:
        """What `encoder_files` gave.

        Raises
        ------
        InputError
            When they are not the two files of one encoder.
        """
        try:
            facts = facts_of(files, KIND, FORMAT)
            tensors, seen = tensors_of(files)
            if seen is None and facts["sets"] == []:  # of synthetic series none are recorded ones
                seen = np.array([], dtype=np.int64)
            made = cls(Shape(**facts["shape"]), tensors, facts, seen)
            made.encoder()
            if not made.label or not isinstance(made.sets, list):
                raise ValueError("no name, or no list of sets")
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            got = str(error).split("\n")[0]
            raise InputError("this is no pre-trained encoder", where=where, got=got, fix=HOW) from error
        return made


def encoder_files(encoder: PatchEncoder, facts: Mapping[str, Any], seen: np.ndarray | None = None) -> dict[str, bytes]:
    """Name → content of the two files of an encoder's folder; `seen` as `Pretrained` has it."""
    whole = {"classifier": KIND, "format": FORMAT, "shape": encoder.shape.model_dump(), **facts}
    return packed(encoder.state_dict(), whole, seen)


def write_encoder(
    folder: Path, encoder: PatchEncoder, facts: Mapping[str, Any], seen: np.ndarray | None = None
) -> Pretrained:
    """Write an encoder's folder; `seen` as `Pretrained` has it."""
    files = encoder_files(encoder, facts, seen)
    write_folder(folder, files)
    return Pretrained.from_files(files, folder)


def read_encoder(folder: Path | str) -> Pretrained:
    """Read an encoder's folder.

    Raises
    ------
    InputError
        When there is none, or it is broken.
    """
    return Pretrained.from_files(read_folder(Path(folder), HOW), folder)


def find_encoder(name: str) -> Pretrained | None:
    """The encoder that an option names: a folder; "default" for the package's; None for "fresh".

    Raises
    ------
    InputError
        When it is not there or broken, the package's too: fresh weights in its stead would be another method.
    """
    if name == FRESH:
        return None
    if name == DEFAULT and not (SHIPPED / WEIGHTS).is_file():
        fix = "install the package anew, or take encoder fresh: none"
        raise InputError("the package's pre-trained encoder is missing", where=SHIPPED, fix=fix)
    return read_encoder(SHIPPED if name == DEFAULT else name)
