"""Series to pre-train on: the training parts of many sets, or synthetic ones; all on the encoder's grid."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from vlm_tsc.archive import download
from vlm_tsc.archive.formats import read
from vlm_tsc.archive.policies import without_missing
from vlm_tsc.archive.sources import DATA_DIR, find
from vlm_tsc.classify.masked_transformer.patches import Grid
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.classify.seen import case_hashes
from vlm_tsc.errors import InputError, nearest
from vlm_tsc.pretrain.masked.config import ALL, Pretraining
from vlm_tsc.pretrain.synthetic import CORPUS_OFFSET, episode

log = logging.getLogger(__name__)
_EPISODE = 4  # series of a synthetic episode, as in `synthetic.corpus`


class Source(Protocol):
    """Where batches come from.

    `sets` are the names of the sets whose training parts are used, `seen` the hashes of their cases (None: of no set).
    """

    sets: list[str]
    seen: np.ndarray | None

    def draw(self, seed: int, step: int, n: int) -> list[np.ndarray]:
        """`n` series `(n_channels, n_points)` on the grid; a pure function of its arguments."""
        ...

    def arrays(self) -> list[np.ndarray]:
        """What determines the series, for a hash."""
        ...


class Sets:
    """Training parts of sets. How often a set is drawn from grows with the root of its size: none drowns the others."""

    def __init__(self, parts: dict[str, list[np.ndarray]], shape: Shape):
        self.sets = sorted(parts)
        self.seen: np.ndarray | None = case_hashes(case for cases in parts.values() for case in cases)
        self.series = [_on_grid(parts[name], shape, name) for name in self.sets]
        roots = np.sqrt([len(one) for one in self.series])
        self.shares = roots / roots.sum()

    def draw(self, seed: int, step: int, n: int) -> list[np.ndarray]:
        """See `Source.draw`."""
        random = np.random.default_rng([seed, step, 0])
        chosen = random.choice(len(self.series), n, p=self.shares)
        return [self.series[i][random.integers(len(self.series[i]))] for i in chosen]

    def arrays(self) -> list[np.ndarray]:
        """See `Source.arrays`."""
        return [one for series in self.series for one in series]


class Synthetic:
    """The stream of `vlm_tsc.pretrain.synthetic.corpus`, every channel a series of its own; it never ends."""

    def __init__(self, shape: Shape):
        if shape.n_channels != 1:
            what = "synthetic series are drawn channel by channel"
            raise InputError(what, where="shape.n_channels", got=shape.n_channels, allowed=1)
        self.sets: list[str] = []
        self.seen: np.ndarray | None = None
        self.shape = shape

    def draw(self, seed: int, step: int, n: int) -> list[np.ndarray]:
        """See `Source.draw`."""
        per_step = -(-n // _EPISODE)
        found: list[np.ndarray] = []
        for i in range(per_step):
            cases = episode(seed, CORPUS_OFFSET + step * per_step + i, n_cases=_EPISODE).X
            found += _on_grid(cases, self.shape, "synthetic")
        return [found[i] for i in np.random.default_rng([seed, step, 0]).permutation(len(found))[:n]]

    def arrays(self) -> list[np.ndarray]:
        """See `Source.arrays`."""
        return []


def source_of(config: Pretraining, data_dir: Path | str | None = None) -> Source:
    """The series that a configuration names.

    Raises
    ------
    InputError
        When a set is not found, is broken, or has another number of channels than the encoder; when "all" is to leave
        out one that is neither there nor anywhere: a typing error there would spoil what is scored.
    """
    if config.is_synthetic:
        return Synthetic(config.shape)
    if config.datasets != (ALL,):
        excluded = {name.lower() for name in config.exclude}
        both = sorted(name for name in config.datasets if name.lower() in excluded)
        if both:
            raise InputError("sets both named and excluded", where="datasets, exclude", got=both)
        return Sets({name: train_part(name, data_dir) for name in config.datasets}, config.shape)
    parts, names = {}, all_sets(data_dir)
    excluded = _excluded(config.exclude, names)
    for name in names:
        if name in excluded:
            continue
        try:
            parts[name] = train_part(name, data_dir)
        except InputError as error:  # of so many sets some cannot be used: what is left is in the encoder's facts
            log.warning("left out: %s", error)
    if not parts:
        raise InputError("no set is left to pre-train on", where="datasets, exclude")
    return Sets(parts, config.shape)


def _excluded(wanted: Sequence[str], names: Sequence[str]) -> set[str]:
    """Those of `names` that `wanted` means, whatever the case of its letters."""
    by_lower = {name.lower(): name for name in names}
    missing = [name for name in wanted if name.lower() not in by_lower]
    archive = {name.lower() for name in download.known()} if missing else set()  # aeon's list takes seconds
    for name in missing:
        if name.lower() not in archive:
            near = ", ".join(nearest(name, names)) or None
            raise InputError(
                "there is no such set to leave out", where="exclude", got=name, allowed=near and f"near: {near}"
            )
        log.warning("exclude: %s is not in the data folder", name)
    return {by_lower[name.lower()] for name in wanted if name.lower() in by_lower}


def all_sets(data_dir: Path | str | None) -> list[str]:
    """Names of the sets in a data folder."""
    given = data_dir or os.environ.get(DATA_DIR)
    if not given or not Path(given).is_dir():
        fix = f"--data-dir DIR, or the environment variable {DATA_DIR}"
        raise InputError("all sets of which folder?", where="datasets", got=given or "no data folder", fix=fix)
    return sorted(path.name for path in Path(given).iterdir() if any(path.glob(f"{path.name}_TRAIN.*")))


def train_part(name: str, data_dir: Path | str | None = None) -> list[np.ndarray]:
    """Cases `(n_channels, n_timepoints)` of a set's training file; its test file is not opened.

    Raises
    ------
    InputError
        Also for a file that has not been split: its test cases would be among them.
    """
    found = find(name, data_dir)
    if found.one_file:
        fix = "a folder NAME with NAME_TRAIN.* and NAME_TEST.*, and --data-dir"
        raise InputError("this file is not split into train and test", where=name, got=found.train, fix=fix)
    return without_missing(read(found.train), "interpolate")


def _on_grid(cases: Sequence[np.ndarray], shape: Shape, name: str) -> list[np.ndarray]:
    """Scaled and resampled as for fine-tuning; each channel by itself where the encoder has one."""
    n_channels = len(cases[0])
    if shape.n_channels not in (1, n_channels):
        what = "the encoder takes another number of channels"
        raise InputError(what, where=name, got=n_channels, allowed=f"{shape.n_channels}, or n_channels: 1 for any")
    scaling = Scaling.of(cases)
    grid = Grid(max(case.shape[1] for case in cases), shape.length, shape.patch)
    points = [grid(scaling(case)).astype(np.float32) for case in cases]
    return points if shape.n_channels > 1 else [row[None] for one in points for row in one]
