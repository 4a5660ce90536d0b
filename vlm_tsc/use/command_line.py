"""The command line that the commands of this package share: RUN, and a model of options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from vlm_tsc.errors import InputError
from vlm_tsc.options import Model, help_text, options_of, parse, raise_all, validated


def option(group: str, default: Any, description: str, **details: Any) -> Any:
    """A field that is an option. `unset`, `metavar` and `allowed` are for `--help`; the rest are Pydantic's limits."""
    shown = {"group": group} | {key: details.pop(key) for key in ("unset", "metavar", "allowed") if key in details}
    return Field(default, description=description, json_schema_extra=shown, **details)


def run_and_options(
    argv: Sequence[str], model: type[Model], *, prog: str, description: str, required: Sequence[str] = ()
) -> tuple[Path, Model]:
    """Folder and options of `python <prog> RUN [--option value ...]`.

    Raises
    ------
    InputError
        With every problem of the command line.
    SystemExit
        After `--help` is printed.
    """
    options = options_of(model)
    words = parse(argv, options, prog)
    if words.help:
        print(help_text(options, prog, description, "RUN"))
        sys.exit(0)
    value, problems = validated(model, words.given)
    for name in required:
        if name not in words.given and name not in words.incomplete:
            problems.append(InputError(f"{options[name].word} is missing", allowed=options[name].help))
    if len(words.positional) != 1:
        got = " ".join(words.positional) or "nothing"
        problems.append(InputError("name one run", where=f"{prog} RUN", got=got, allowed="a run's folder"))
    raise_all([*words.problems, *problems], f"the options of {prog}")
    assert value is not None  # else there was a problem
    return Path(words.positional[0]), value
