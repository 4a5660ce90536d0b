"""How a command line, a CONFIG.yaml, a scenario and a base become Settings; all that is wrong is told at once.

Which of several values counts: command line, then CONFIG.yaml, then the scenario, then what the base's own YAML says,
then the defaults of the model. Inside the package functions take plain arguments; no Settings object travels.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from vlm_tsc.bases import BaseConfig, load_base
from vlm_tsc.config_file import read_settings
from vlm_tsc.errors import InputError, nearest
from vlm_tsc.options import (
    Given,
    Model,
    Option,
    Words,
    help_text,
    options_of,
    parse,
    problems_of,
    raise_all,
    unknown,
    validated,
)
from vlm_tsc.resources import find_file, resource_dir
from vlm_tsc.settings import GROUPS, Settings

__all__ = ["GROUPS", "BaseConfig", "Settings", "load_base", "load_settings", "resolved_yaml"]
__all__ += ["run_and_settings_from_cli", "settings_and_own_from_cli", "settings_from", "settings_from_cli"]

Layer = dict[str, Given]
MUST_EXIST = ("data_dir", "test", "deepspeed")  # llava_root may be absent: only a warning, where it is searched


def settings_from_cli(
    argv: Sequence[str],
    *,
    prog: str,
    description: str,
    groups: Sequence[str] = GROUPS,
    required: Sequence[str] = ("dataset",),
) -> Settings:
    """Settings of `python <prog> [CONFIG.yaml] [--option value ...]`.

    Parameters
    ----------
    argv : sequence of str
        Words after the program's name.
    prog, description : str
        The program as it is typed, and what it does, for `--help` and messages.
    groups : sequence of str
        Groups of options that this program takes, out of `GROUPS`.
    required : sequence of str
        Settings that must be given somewhere.

    Raises
    ------
    InputError
        With every problem of the command line, the files it names, and the values.
    SystemExit
        After `--help` is printed.
    """
    words = _words(argv, prog, description, groups, "[CONFIG.yaml]")
    file, problems = _config_layer(words)
    unread = words.incomplete | ({*required} if problems and not file else set())  # an unread file may have said it
    settings, more = _resolved({**file, **words.given}, [name for name in required if name not in unread])
    raise_all([*words.problems, *problems, *more], f"the settings of {prog}")
    return settings


def settings_and_own_from_cli(
    argv: Sequence[str],
    own: type[Model],
    *,
    prog: str,
    description: str,
    groups: Sequence[str],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    own_file: str | None = None,
) -> tuple[Settings, Model]:
    """Settings as `settings_from_cli` gives them, and a model of a program's own options beside them.

    Parameters
    ----------
    own_file : str, optional
        The own option that names a YAML file with further own options; the command line wins over it.

    Raises
    ------
    InputError
        With every problem of both.
    SystemExit
        After `--help` is printed.
    """
    words = _words(argv, prog, description, groups, "[CONFIG.yaml]", options_of(own))
    file, problems = _config_layer(words)
    shared = {name: item for name, item in words.given.items() if name not in own.model_fields}
    told = {name: item for name, item in words.given.items() if name not in shared}
    layer, unread = _own_layer(own, told.get(own_file or ""))
    value, wrong = validated(own, {**layer, **told}, presets)
    required = () if "dataset" in words.incomplete or (problems and not file) else ("dataset",)
    settings, more = _resolved({**file, **shared}, required)
    raise_all([*words.problems, *problems, *unread, *more, *wrong], f"the settings of {prog}")
    assert value is not None  # else something was wrong
    return settings, value


def run_and_settings_from_cli(
    argv: Sequence[str], *, prog: str, description: str, groups: Sequence[str] = GROUPS
) -> tuple[Path, Settings]:
    """Folder and settings of `python <prog> RUN [--option value ...]`, where RUN is a finished or prepared run.

    The options given win over the run's own `config.yaml`.

    Raises
    ------
    InputError
        With every problem of the command line and the run's settings; also when RUN is missing or no run folder.
    SystemExit
        After `--help` is printed.
    """
    words = _words(argv, prog, description, groups, "RUN")
    folder = Path(words.positional[0] if words.positional else "")
    if len(words.positional) != 1 or not (folder / "config.yaml").is_file():
        got = " ".join(words.positional) or "nothing"
        problem = InputError("name one run folder", where=f"{prog} RUN", got=got, allowed="a folder with a config.yaml")
        raise_all([*words.problems, problem], f"the settings of {prog}")
    file, problems = read_settings(folder / "config.yaml", Settings.model_fields)
    settings, more = _resolved({**file, **words.given}, check_paths=words.given)
    raise_all([*words.problems, *problems, *more], f"the settings of {prog}")
    return folder, settings


def load_settings(path: Path | str) -> Settings:
    """Settings of a YAML file, such as a run's `config.yaml`.

    Raises
    ------
    InputError
        With every problem of the file.
    """
    given, problems = read_settings(Path(path), Settings.model_fields)
    settings, more = _resolved(given, check_paths=())  # a run may have moved to another machine
    raise_all([*problems, *more], f"the settings in {path}")
    return settings


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Settings of plain values, completed by the base's (and a scenario's) own.

    Raises
    ------
    InputError
        With every wrong or unknown value.
    """
    known = {key: Given(value, key, "settings") for key, value in values.items() if key in Settings.model_fields}
    problems = [
        unknown(key, Settings.model_fields, f"there is no setting {key}", "settings", dashes=False)
        for key in values
        if key not in known
    ]
    settings, more = _resolved(known, check_paths=())
    raise_all([*problems, *more], "the settings")
    return settings


def resolved_yaml(settings: Settings) -> str:
    """The text of a run's `config.yaml`: every setting that has a value; loading it gives equal settings."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return "# Every setting of this run, resolved.\n" + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _words(
    argv: Sequence[str],
    prog: str,
    description: str,
    groups: Sequence[str],
    positional: str,
    own: Mapping[str, Option] = MappingProxyType({}),
) -> Words:
    options = {name: option for name, option in options_of(Settings).items() if option.group in groups} | dict(own)
    words = parse(argv, options, prog)
    if words.help:
        print(help_text(options, prog, description, positional))
        sys.exit(0)
    return words


def _config_layer(words: Words) -> tuple[Layer, list[InputError]]:
    """What CONFIG.yaml gives, and what is wrong with it."""
    if not words.positional:
        return {}, []
    name, *more = words.positional
    problems = []
    if more:
        problems.append(InputError("only one CONFIG.yaml can be read", where="command line", got=words.positional))
    if Path(name).suffix.lower() not in (".yaml", ".yml"):
        fix = f"--dataset {name}" if not Path(name).exists() else None
        return {}, [*problems, InputError("this is no CONFIG.yaml", where="command line", got=name, fix=fix)]
    try:
        layer, found = read_settings(find_file(name) or Path(name), Settings.model_fields)
    except InputError as problem:
        return {}, [*problems, problem]
    return layer, [*problems, *found]


def _own_layer(own: type[Model], file: Given | None) -> tuple[Layer, list[InputError]]:
    """What a YAML file of a program's own options gives, and what is wrong with it."""
    if file is None:
        return {}, []
    try:
        return read_settings(find_file(str(file.value)) or Path(str(file.value)), own.model_fields)
    except InputError as problem:
        return {}, [problem]


def _resolved(
    given: Layer, required: Sequence[str] = (), *, check_paths: Collection[str] = MUST_EXIST
) -> tuple[Settings, list[InputError]]:
    """Settings of what was given, over scenario and base; with problems they are defaults that nobody may use."""
    scenario, problems = _scenario_layer(given.get("scenario"))
    layer = {**_environment_layer(), **scenario, **given}
    base, more = _base_layer(layer)
    layer, problems = {**base, **layer}, [*problems, *more]
    try:
        settings = Settings.model_validate({name: item.value for name, item in layer.items()})
    except ValidationError as error:
        settings = Settings()
        problems += problems_of(error, layer, options_of(Settings))
    problems += [_not_given(name) for name in required if name not in layer]
    wanted = [layer.get(name) for name in MUST_EXIST if name in check_paths]
    problems += [problem for item in wanted if (problem := _missing_path(item))]
    return settings, problems


def _environment_layer() -> Layer:
    root = os.environ.get("VLM_TSC_LLAVA_ROOT")
    return {"llava_root": Given(root, "VLM_TSC_LLAVA_ROOT", "environment")} if root else {}


def _scenario_layer(scenario: Given | None) -> tuple[Layer, list[InputError]]:
    if scenario is None:
        return {}, []
    known = {path.stem: path for path in sorted((resource_dir("configs") / "scenarios").glob("*.yaml"))}
    if scenario.value in known:
        return read_settings(known[scenario.value], Settings.model_fields)
    close = nearest(str(scenario.value), known, n=1)
    fix = f"did you mean {close[0]}?" if close else None
    what = f"there is no scenario {scenario.value}"
    return {}, [InputError(what, where=scenario.where, allowed=", ".join(known) or "none is shipped yet", fix=fix)]


def _base_layer(layer: Layer) -> tuple[Layer, list[InputError]]:
    said = layer.get("base", Given(Settings.model_fields["base"].default, "base", "the default"))
    root = layer["llava_root"].value if "llava_root" in layer else None
    if not isinstance(said.value, str):  # the model says so
        return {}, []
    try:
        root = root if isinstance(root, str | Path) else None
        base = load_base(said.value, root, where=f"{said.where} ({said.name})")
    except InputError as problem:
        return {}, [problem]
    return {key: Given(value, key, f"{base.source}, defaults") for key, value in base.defaults.items()}, []


def _not_given(name: str) -> InputError:
    option = options_of(Settings)[name]
    fix = f"{option.word} {option.metavar}, or {name}: {option.metavar} in a CONFIG.yaml"
    return InputError(f"{option.word} is missing", allowed=option.help, fix=fix)


def _missing_path(item: Given | None) -> InputError | None:
    if item is None or not isinstance(item.value, str | Path) or not str(item.value).isprintable():
        return None  # the model says so
    if os.path.exists(os.path.expanduser(item.value)) or find_file(item.value):
        return None
    return InputError(f"the path of {item.name} does not exist", where=item.where, got=item.value)
