"""tracking.json: which run of each tracker a run folder belongs to, and how far that one is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes
from vlm_tsc.run import RunFolder


@dataclass
class State:
    """One tracker's run.

    Attributes
    ----------
    id, where : str
        Its id, and the store that it is in: in another one the run is logged anew.
    url : str or None
        Its page, where there is one.
    how : str
        What to type to see it, or to send it.
    step : int
        Optimiser step up to which every curve is logged.
    logged : str
        Hash of the evaluation whose results are logged; empty before.
    """

    id: str = ""
    where: str = ""
    url: str | None = None
    how: str = ""
    step: int = 0
    logged: str = ""

    def begin(self, id: str, where: str) -> None:
        """Forget everything: a new run of the tracker."""
        self.__init__(id=id, where=where)

    def told(self, tracker: str) -> str:
        """A line for people."""
        return f"{tracker}: {self.url or self.how}"


def read_states(run: RunFolder) -> dict[str, State]:
    """Tracker → state; empty where nothing was logged.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    try:
        return {name: State(**values) for name, values in json.loads(run.tracking.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        fix = f"remove {run.tracking}: the run is then logged anew"
        raise InputError("this file cannot be read", where=run.tracking, got=error, fix=fix) from None


def write_states(run: RunFolder, states: dict[str, State]) -> None:
    """Write tracking.json atomically, without a flush to the disk: it is written at every line of the log."""
    content = {name: asdict(state) for name, state in states.items()}
    write_bytes(run.tracking, (json.dumps(content, indent=1) + "\n").encode(), sync=False)
