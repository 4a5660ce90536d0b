"""The command that makes a run again: only what differs from the defaults, ready to be copied."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.config import Settings, load_settings, settings_from
from vlm_tsc.evaluate.baseline import OPTIONS, baseline_command
from vlm_tsc.evaluate.search import INCEPTION_TIME
from vlm_tsc.evaluate.trained import NAME as INCEPTION_TIME_NAME
from vlm_tsc.evaluate.trained import PROBES
from vlm_tsc.run import RunFolder

_WIDTH = 76


def command_of(run: RunFolder) -> str:
    """What to type in the project's folder to make the run again, as its `config.yaml` tells.

    Raises
    ------
    InputError
        When that file is missing or wrong.
    """
    baseline = baseline_config(run)
    if baseline is None:
        return shlex.join(["python", "train.py", *options_of_run(load_settings(run.config))])
    given = {key: type(OPTIONS[key] or "")(value) for key, value in baseline.items() if key in OPTIONS}
    command = baseline_command(baseline["classifier"], given)
    own = baseline.get("options") or shlex.join(_own_words(baseline))
    seed = f"--seed {baseline['seed']}" if baseline.get("seed") else ""
    return " ".join(filter(None, [command, own, seed]))


def _own_words(baseline: Mapping[str, Any]) -> list[str]:
    """The options of a trained baseline besides data and seed, off what its config.yaml says it was made with."""
    name, parameters = baseline["classifier"], baseline.get("parameters") or {}
    if name == INCEPTION_TIME_NAME:
        given = _inception_time(baseline, parameters)
    elif name in PROBES and "base" in parameters:
        given = _probe(baseline, parameters)
    else:
        given = {}
    return [word for key, value in given.items() for word in _words(key, value)]


def _inception_time(baseline: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters that are not the paper's, or that a search had to leave as they are; the search; the start."""
    search = baseline.get("search") or {}
    kept = set(INCEPTION_TIME) - set(search.get("names", INCEPTION_TIME))
    fields = Hyperparameters.model_fields
    given = {
        name: value
        for name, value in parameters.items()
        if name in fields and (name in kept or value != fields[name].default)
    }
    others = {"search": search.get("trials"), "start_from": baseline.get("start_from")}
    return given | {name: value for name, value in others.items() if value is not None}


def _probe(baseline: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The base, and how its cases are shown where that is not as the base has it."""
    decides = {"base": parameters["base"], "llava_root": baseline.get("llava_root")}
    decides = {name: value for name, value in decides.items() if value is not None}
    shown = {name: value for name, value in parameters.items() if name in Settings.model_fields and value is not None}
    usual, settings = settings_from(decides), settings_from({**shown, **decides})
    values = {name: getattr(settings, name) for name in (*decides, *shown)}
    return {name: value for name, value in values.items() if value is not None and value != _default(usual, name)}


def baseline_config(run: RunFolder) -> dict[str, Any] | None:
    """The content of a baseline's config.yaml, which names a classifier; None for any other."""
    try:
        content = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None  # load_settings says what is wrong with it
    return content if isinstance(content, dict) and "classifier" in content else None


def options_of_run(settings: Settings) -> list[str]:
    """The words of a command line from which `settings_from_cli` reads these settings again.

    A setting that is what the base, the scenario and the defaults say anyway is left out.
    """
    decides = {"base": settings.base, "llava_root": settings.llava_root, "scenario": settings.scenario}
    usual = settings_from({key: value for key, value in decides.items() if value is not None})
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    given = {name: value for name, value in values.items() if value is not None and value != _default(usual, name)}
    return [word for name, value in given.items() for word in _words(name, value)]


def _default(usual: Settings, name: str) -> Any:
    """What holds when the option is not given; `usual` was told what decides over the others."""
    return Settings.model_fields[name].default if name in ("base", "llava_root", "scenario") else getattr(usual, name)


def _words(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    text = (",".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)
    return [f"{option}={text}"] if text.startswith("-") else [option, text]  # or it would be taken for an option


def folded(command: str) -> str:
    """The command over several lines of a shell, each at most 76 characters where its words allow."""
    lines = [""]
    for word in _units(shlex.split(command)):
        joined = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], joined] if len(joined) <= _WIDTH - 4 or not lines[-1] else [*lines, word]
    return " \\\n    ".join(lines)


def _units(words: list[str]) -> list[str]:
    """Words as the shell wants them, an option together with its value."""
    units: list[str] = []
    for word in words:
        follows = units and units[-1].startswith("--") and " " not in units[-1] and not word.startswith("--")
        units = [*units[:-1], f"{units[-1]} {shlex.quote(word)}"] if follows else [*units, shlex.quote(word)]
    return units
