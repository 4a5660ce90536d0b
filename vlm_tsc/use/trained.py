"""What kind of series a model was trained on, and new series made to be of that kind, or refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from vlm_tsc.archive.part import Part
from vlm_tsc.archive.policies import Lengths, Missing, at_length, without_missing
from vlm_tsc.classify.saved import Saved
from vlm_tsc.errors import InputError


@dataclass(frozen=True)
class Trained:
    """The series that a model knows.

    Attributes
    ----------
    n_channels : int or None
        None where nobody noted it: an adapter without its run that was made before this was written down.
    shortest, longest : int or None
        n_timepoints; equal where all cases have one length. A model that only noted its longest case takes tables of
        just so many columns, in which a shorter case ends in empty cells.
    missing, lengths : str
        The run's policies, see `archive.policies`.
    """

    n_channels: int | None
    shortest: int | None
    longest: int | None
    missing: Missing = "error"
    lengths: Lengths = "keep"

    def check_columns(self, path: Path, n_columns: int) -> None:
        """Refuse a table of one case a row that has another number of columns than the model takes values.

        Raises
        ------
        InputError
            Also, with the fix, when there is just one column more: that of the labels.
        """
        if self.n_channels not in (None, 1):
            what = "a table of one case a row holds one channel"
            fix = "the layout sample, feature, x_… (.csv), .ts or .npz"
            raise InputError(what, where=path, allowed=f"{self.n_channels} channels, as trained", fix=fix)
        if self.longest is None or n_columns == self.longest or self.lengths == "resample":
            return  # what is stretched may have any length: nobody can tell a column of labels by its number
        got, allowed = f"{n_columns} columns", f"{self.longest}, the values of a case"
        if n_columns == self.longest + 1:
            fix = "remove the first column, that of the labels"
            raise InputError("the column of labels is still there", where=path, got=got, allowed=allowed, fix=fix)
        if self._is_one_length or self.shortest is None or n_columns > self.longest:
            raise InputError("the table does not fit the run", where=path, got=got, allowed=self._allowed)

    def prepared(self, part: Part, missing: Missing | None = None, *, any_length: bool = False) -> list[np.ndarray]:
        """The part's cases `(n_channels, n_timepoints)` under the run's policies, complete and of a known length.

        Every way to a model goes through here, so that a series gets one answer by whichever it came.

        Parameters
        ----------
        missing : str, optional
            Instead of the run's own policy.
        any_length : bool
            Under "keep", take series of other lengths than the run's too.

        Raises
        ------
        InputError
            With the place of the first case with values missing, infinite or too large for the models' single
            precision, other channels, or another length.
        """
        cases = without_missing(part, missing or self.missing)
        _refuse_large(part)
        for i, case in enumerate(cases):
            if self.n_channels not in (None, len(case)):
                what = "the run takes another number of channels"
                raise InputError(what, where=part.place(i), got=len(case), allowed=self.n_channels)
            if not (any_length and self.lengths == "keep") and not self._fits(case.shape[1]):
                what, got = "the run takes series of another length", f"{case.shape[1]} timepoints"
                raise InputError(what, where=part.place(i), got=got, allowed=self._allowed)
        if self.longest is None:  # of a model that does not say how long its series were
            return cases
        return [at_length(case, self.longest, self.lengths) for case in cases]

    @property
    def _is_one_length(self) -> bool:
        return self.lengths == "keep" and self.shortest == self.longest

    @property
    def _allowed(self) -> str:
        return f"{'' if self._is_one_length else 'at most '}{self.longest}, as trained"

    def _fits(self, n_timepoints: int) -> bool:
        if self.longest is None or self.lengths == "resample":
            return True
        return n_timepoints == self.longest if self._is_one_length else n_timepoints <= self.longest


def _refuse_large(part: Part) -> None:
    largest = float(np.finfo(np.float32).max)
    for i, case in enumerate(part.cases):
        found = np.nanmax(np.abs(case), initial=0)
        if found > largest:
            allowed = f"at most {largest:.1e}: models compute in single precision"
            raise InputError("a value is too large", where=part.place(i), got=f"{found:.1e}", allowed=allowed)


def trained_on(saved: Saved) -> Trained:
    """What a saved classifier was trained on: as its run's series tell, else as its own files do.

    Lengths are those of all parts of the run: with them it was made sure that a question fits the context.

    Raises
    ------
    InputError
        When the files cannot be read.
    """
    policies = (_policy(saved, "missing", Missing), _policy(saved, "lengths", Lengths))
    return Trained(*(_of_run(saved) or _of_model(saved)), *policies)


def _of_run(saved: Saved) -> tuple[int, int, int] | None:
    if saved.run is None or not (saved.run / "series.npz").is_file():
        return None
    from vlm_tsc.archive.store import read_splits

    splits = read_splits(saved.run / "series.npz")
    parts = [part for part in (splits.train, splits.validation, splits.test) if part is not None]
    lengths = np.concatenate([part.lengths for part in parts])
    return splits.train.n_channels, int(lengths.min()), int(lengths.max())


def _of_model(saved: Saved) -> tuple[int | None, int | None, int | None]:
    name = "base.json" if saved.kind == "llava" else "model.json"
    try:
        facts: dict[str, Any] = json.loads((saved.model / name).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError("the facts of this model cannot be read", where=saved.model / name, got=error) from None
    shortest, longest = facts.get("lengths", (None, facts.get("n_timepoints")))
    return facts.get("n_channels"), shortest, longest


def _policy(saved: Saved, name: str, kind: Any) -> Any:
    first, *_ = get_args(kind)  # error, and keep
    value = saved.settings.get(name, first)
    return value if value in get_args(kind) else first
