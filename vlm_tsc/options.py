"""The command line of a flat Pydantic model: its words are read, its help is written, and its problems are all told.

argparse is not used: it stops at the first problem, and takes the value of a misspelt option for the CONFIG.yaml.
"""

from __future__ import annotations

import functools
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from vlm_tsc.errors import InputError, nearest

LAUNCHER_OPTIONS = {"local_rank"}  # the deepspeed launcher adds --local_rank=N; the environment says the same
HELP_WIDTH = 80
HELP_COLUMN = 27
MACHINE = "machine"  # the group that commands share by a common parent, whose fields come first; it is told last
COMMON: dict[str, Option] = {}  # what the running command takes besides; `vlm_tsc.terminal` has read it already


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Given:
    """A value that somebody gave: what they called it, and where."""

    value: Any
    name: str
    where: str


@dataclass(frozen=True)
class Option:
    """One field of the model, as the command line shows it."""

    name: str
    group: str
    help: str
    metavar: str
    allowed: str
    default: str
    is_flag: bool

    @property
    def word(self) -> str:
        """The option as it is typed."""
        return "--" + self.name.replace("_", "-")


@dataclass
class Words:
    """What the command line said."""

    positional: list[str] = field(default_factory=list)
    given: dict[str, Given] = field(default_factory=dict)
    problems: list[InputError] = field(default_factory=list)
    incomplete: set[str] = field(default_factory=set)
    help: bool = False


def option(group: str, default: Any, description: str, **details: Any) -> Any:
    """A field that is an option. `unset`, `metavar` and `allowed` are for `--help` and messages; the rest are
    Pydantic's limits."""
    shown = {"group": group} | {key: details.pop(key) for key in ("unset", "metavar", "allowed") if key in details}
    return Field(default, description=description, json_schema_extra=shown, **details)


@functools.cache
def options_of(model: type[BaseModel]) -> dict[str, Option]:
    """Field name → Option, in the model's order; extras of a field are read from its `json_schema_extra`."""
    return {name: _option(name, schema) for name, schema in model.model_json_schema()["properties"].items()}


def parse(argv: Sequence[str], options: Mapping[str, Option], prog: str) -> Words:
    """Read the words of a command line; `-` and `_` are the same in an option's name, and no name may be shortened.

    Parameters
    ----------
    argv : sequence of str
        Words after the program's name.
    options : mapping of str to Option
        Options that this program takes.
    prog : str
        The program's name, for messages.
    """
    words, rest = Words(), list(argv)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            words.help = True
        elif _is_option(word):
            _read_option(word, rest, options, prog, words)
        else:
            words.positional.append(word)
    return words


def _read_option(word: str, rest: list[str], options: Mapping[str, Option], prog: str, words: Words) -> None:
    name, equals, value = word.partition("=")
    key = name[2:].replace("-", "_") if name.startswith("--") else ""
    negated = key.removeprefix("no_")
    if key in LAUNCHER_OPTIONS:
        return
    if key in options and options[key].is_flag and not equals:
        words.given[key] = Given(True, name, "command line")
    elif key != negated and negated in options and options[negated].is_flag and not equals:
        words.given[negated] = Given(False, name, "command line")
    elif key in options and (equals or (rest and not _is_option(rest[0]))):
        words.given[key] = Given(value if equals else rest.pop(0), name, "command line")
    elif key in options:
        words.incomplete.add(key)
        words.problems.append(InputError(f"{name} needs a value", where="command line", allowed=options[key].allowed))
    elif key in COMMON:
        words.problems.append(InputError(f"{name} takes no value", where="command line", got=word))
    else:
        if not equals and rest and not _is_option(rest[0]):
            rest.pop(0)  # presumably its value, which must not be taken for the CONFIG.yaml
        words.problems.append(unknown(name, [*options, *COMMON], f"{prog} has no option {name}", "command line"))


def _is_option(word: str) -> bool:
    return word.startswith("--") or bool(re.match(r"-[A-Za-z]", word))  # -1 and -0.5 are values


def unknown(name: str, options: Iterable[str], what: str, where: str, *, dashes: bool = True) -> InputError:
    """The problem of a name that is no option, with the nearest that is one."""
    close = nearest(name.lstrip("-").replace("-", "_"), options, n=1)
    if not close:
        return InputError(what, where=where, fix="--help lists every option")
    shown = "--" + close[0].replace("_", "-") if dashes else close[0]
    return InputError(what, where=where, fix=f"did you mean {shown}?")


def problems_of(error: ValidationError, given: Mapping[str, Given], options: Mapping[str, Option]) -> list[InputError]:
    """Pydantic's errors in our words: the name and the place as the user knows them, what came, what is allowed."""
    problems = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        origin = given.get(name, Given(None, name, "settings"))
        ours = item.get("ctx", {}).get("error") if item["type"] == "value_error" else None
        reason = f": {ours}" if ours else " cannot be used"
        problems.append(
            InputError(
                f"the value of {origin.name}{reason}",
                where=origin.where,
                got=repr(item["input"]),
                allowed=options[name].allowed if name in options else None,
            )
        )
    return problems


def model_from_cli(
    argv: Sequence[str],
    model: type[Model],
    *,
    prog: str,
    description: str,
    required: Sequence[str] = (),
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    positional: str = "",
) -> Model:
    """A model of `python <prog> [POSITIONAL] [--option value ...]` whose fields are the options.

    Parameters
    ----------
    required : sequence of str
        Fields that must be given.
    positional : str
        A word in capitals that must stand without an option's name, for the field of that name: "FOLDER" for `folder`;
        in brackets, "[FOLDER]", it may be left out.
    presets : mapping of str to mapping, optional
        What each value of the field `preset` sets where no option is given.

    Raises
    ------
    InputError
        With every problem of the command line and the values.
    SystemExit
        After `--help` is printed.
    """
    word = positional.strip("[]")
    options = {name: option for name, option in options_of(model).items() if name != word.lower()}
    words = parse(argv, options, prog)
    if words.help:
        print(help_text(options, prog, description, positional))
        sys.exit(0)
    if positional and words.positional:
        words.given[word.lower()] = Given(words.positional.pop(0), word, "command line")
    elif positional and positional == word:
        allowed = options_of(model)[word.lower()].help
        words.problems.append(InputError(f"{word} is missing", where="command line", allowed=allowed))
    value, problems = validated(model, words.given, presets)
    for name in required:
        if name not in words.given and name not in words.incomplete:
            problems.append(InputError(f"{options[name].word} is missing", allowed=options[name].help))
    if words.positional:
        problems.append(InputError("an option was expected", where="command line", got=words.positional))
    raise_all([*words.problems, *problems], f"the options of {prog}")
    assert value is not None  # else there was a problem
    return value


def validated(
    model: type[Model], given: Mapping[str, Given], presets: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[Model | None, list[InputError]]:
    """The model of what was given, over its preset; None, and why, when a value is wrong."""
    values = {name: item.value for name, item in given.items()}
    preset = (presets or {}).get(str(values.get("preset")), {})
    try:
        return model.model_validate({**preset, **values}), []
    except ValidationError as error:
        return None, problems_of(error, given, options_of(model))


def raise_all(problems: Sequence[InputError], what: str) -> None:
    """Raise one InputError that tells every problem; nothing when there is none."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise InputError(f"{len(problems)} problems with {what}\n{listed}")


def help_text(options: Mapping[str, Option], prog: str, description: str, positional: str) -> str:
    """The text of `--help`, at most 80 columns wide."""
    options = {**options, **COMMON}
    usage = " ".join(filter(None, ["usage: python", prog, positional, "[--option value ...]"]))
    parts = [usage, textwrap.fill(description, HELP_WIDTH)]
    for group in sorted(dict.fromkeys(option.group for option in options.values()), key=lambda name: name == MACHINE):
        rows = [_help_row(option) for option in options.values() if option.group == group]
        parts.append("\n".join([f"{group}:", *rows]))
    if positional:
        parts.append(textwrap.fill(f"{positional.strip('[]')} {HELP_POSITIONAL[positional]}", HELP_WIDTH))
    return "\n\n".join([*parts, textwrap.fill(HELP_END, HELP_WIDTH)])


HELP_POSITIONAL = {
    "[CONFIG.yaml]": "gives the same options as `name: value` lines. The command line wins over it; it wins over the "
    "scenario, the base's own settings and the defaults.",
    "RUN": "is a run's folder, such as runs/ItalyPowerDemand/NAME. Its own settings hold where no option is given.",
    "FOLDER": "is the folder of a finished run, such as runs/ItalyPowerDemand/NAME, or of the model in it.",
    "RUNS": "is a folder of runs: runs, runs/ItalyPowerDemand, or a single run's folder.",
    "[RUNS]": "is the folder of all runs, which holds mlflow.db; runs, where it is not given.",
    "RUN...": "is the folder of a finished run, or of several: runs/ItalyPowerDemand/NAME, runs/ItalyPowerDemand, "
    "runs. One run gets a page of its own, several get one that compares them.",
}
HELP_END = (
    "In brackets: what holds when the option is not given. In an option's name - and _ are the same, and --no-NAME "
    "turns off what --NAME turns on."
)


def _help_row(option: Option) -> str:
    left = f"  {option.word}" + ("" if option.is_flag else f" {option.metavar}")
    text = f"{option.help} [{option.default}]"
    lines = textwrap.wrap(text, HELP_WIDTH - HELP_COLUMN, break_on_hyphens=False)
    if len(left) > HELP_COLUMN - 2:
        return "\n".join([left, *(" " * HELP_COLUMN + line for line in lines)])
    return "\n".join([left.ljust(HELP_COLUMN) + lines[0], *(" " * HELP_COLUMN + line for line in lines[1:])])


def _option(name: str, schema: dict[str, Any]) -> Option:
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kind = kinds[0]
    help_ = schema["description"]
    choices = kind.get("enum") or kind.get("items", {}).get("enum") or ([kind["const"]] if "const" in kind else None)
    if choices:
        help_ += (" Any of " if kind["type"] == "array" else " One of ") + ", ".join(choices) + "."
    default = schema.get("default")
    return Option(
        name=name,
        group=schema["group"],
        help=help_,
        metavar=schema.get("metavar") or _METAVARS.get(kind["type"], "WORD"),
        allowed=schema.get("allowed") or _allowed(kind, choices),
        default=schema.get("unset") or _shown(default),
        is_flag=kind["type"] == "boolean",
    )


_METAVARS = {"integer": "N", "number": "X", "array": "A,B"}
_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}


def _allowed(kind: dict[str, Any], choices: list[str] | None) -> str:
    if kind["type"] == "array":
        return f"a list of {', '.join(choices)}" if choices else f"a list, each {_allowed(kind['items'], None)}"
    if choices:
        return ", ".join(choices)
    if kind.get("format") == "path":
        return "a path"
    limits = [(text, kind[key]) for key, text in _LIMITS.items() if key in kind]
    return " ".join([_KINDS[kind["type"]], " and ".join(f"{text} {limit:g}" for text, limit in limits)]).strip()


_LIMITS = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, (list, tuple)):
        return ",".join(str(item) for item in default)
    return str(default)
