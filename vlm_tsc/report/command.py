"""The command that makes a run again: only what differs from the defaults, ready to be copied."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from vlm_tsc.config import Settings, load_settings, settings_from
from vlm_tsc.evaluate.baseline import OPTIONS, baseline_command
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
    seed = f"--seed {baseline['seed']}" if baseline.get("seed") else ""
    return " ".join(filter(None, [command, baseline.get("options"), seed]))


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
