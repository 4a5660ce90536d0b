"""Templates → HTML. Everything is escaped: labels and generated texts are anybody's."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
import numpy as np

from vlm_tsc import __version__, report
from vlm_tsc.report.table import cut
from vlm_tsc.representation.png import png_bytes

_OWN = Path(__file__).resolve().parent / "templates"
_REPORT = Path(report.__file__).resolve().parent / "templates"  # its style, and its axes


def rendered(template: str, **content: Any) -> str:
    """One page, or a part of one."""
    return _environment().get_template(template).render(content)


@functools.cache
def style() -> str:
    """The report's style and what the explorer adds."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (_REPORT / "style.css", _OWN / "explore.css"))


@functools.cache
def script() -> str:
    return (_OWN / "explore.js").read_text(encoding="utf-8")


def data_uri(picture: np.ndarray) -> str:
    """A picture that is in no file: `(height, width, 3)` uint8."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode("ascii")


def address(path: str, **values: Any) -> str:
    """`path` with values as its query."""
    return f"{path}?{urlencode(values)}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_OWN, _REPORT]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cut": cut, "data_uri": data_uri}
    environment.globals |= {"address": address, "version": __version__}
    return environment
