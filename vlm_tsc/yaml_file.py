"""A YAML file, and the line on which each of its keys stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vlm_tsc.errors import InputError, nearest

Lines = dict[tuple[str, ...], int]


def read_yaml(path: Path | str) -> tuple[dict[str, Any], Lines]:
    """Read a YAML mapping, with the safe loader only.

    Returns
    -------
    values : dict
        Keys as text, in the file's order; nested mappings as they are.
    lines : dict
        `("options", "round_to")` → line number, counted from 1.

    Raises
    ------
    InputError
        When the file is missing, empty, no mapping, no YAML, or names a key twice (PyYAML would keep the last one).
    """
    path = Path(path)
    loader = _loader(_text(path), path)
    try:
        node = loader.get_single_node()
        if node is None:
            raise InputError("the file is empty", where=path, allowed="`option: value` lines")
        if not isinstance(node, yaml.MappingNode):
            raise InputError("the file has no `option: value` lines", where=path, got=loader.construct_document(node))
        lines: Lines = {}
        _note_lines(node, path, (), lines)
        values = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _broken(error, path) from None
    except (ValueError, RecursionError) as error:  # an impossible date; brackets nested a thousand deep
        raise InputError("the YAML cannot be read", where=path, got=str(error)) from None
    finally:
        loader.dispose()
    return {str(key): value for key, value in values.items()}, lines


def line_of(lines: Lines, key: tuple[str, ...]) -> str:
    """Text such as ", line 12" for the innermost part of `key` whose line is known, empty when none is."""
    while key and key not in lines:
        key = key[:-1]
    return f", line {lines[key]}" if key else ""


def _text(path: Path) -> str:
    if path.is_dir():
        raise InputError("a YAML file is wanted, not a folder", where=path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        folder = path.parent
        names = [other.name for other in folder.iterdir()] if folder.is_dir() else []
        close = nearest(path.name, names, n=1)
        fix = f"did you mean {folder / close[0]}?" if close else None
        raise InputError("there is no such file", where=path, fix=fix) from None
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8 text", where=path, got=f"byte {error.start}: {error.reason}") from None


def _loader(text: str, path: Path) -> yaml.SafeLoader:
    try:
        return yaml.SafeLoader(text)
    except yaml.YAMLError as error:  # the reader refuses control characters at once
        raise _broken(error, path) from None


def _broken(error: yaml.YAMLError, path: Path) -> InputError:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
    return InputError("the YAML cannot be read", where=where, got=getattr(error, "problem", None) or str(error))


def _note_lines(node: yaml.MappingNode, path: Path, above: tuple[str, ...], lines: Lines) -> None:
    for key_node, value_node in node.value:
        key = (*above, str(key_node.value))
        line = key_node.start_mark.line + 1
        if key in lines:
            raise InputError(f"{key[-1]} is there twice", where=f"{path}, lines {lines[key]} and {line}")
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode) and not above:  # two levels, so that nested aliases stay cheap
            _note_lines(value_node, path, key, lines)
