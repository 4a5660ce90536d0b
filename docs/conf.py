"""Sphinx's settings, and one directive. To build the pages: python -m sphinx -W docs build/docs"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vlm_tsc import __version__  # noqa: E402  # found beside docs/, installed or not

project = "VLM-TSC"
author = copyright = "The VLM-TSC authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]  # says how to build these pages, and is read where it lies
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

default_role = "literal"  # docstrings put code between single backticks
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes as a list
autodoc_member_order = "bysource"
# No autodoc_mock_imports: torch takes seconds, but a mocked aeon hides the parameters of our classifiers.
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"VLM-TSC {__version__}"
html_show_sphinx = False


class ProgramHelp(SphinxDirective):
    """`{program-help}` with a program and its first words: what it prints with `--help`, asked at every build."""

    has_content = False
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the program may have changed when the page has not
        command = [sys.executable, *self.arguments[0].split(), "--help"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.rstrip()
        return [nodes.literal_block(told, told, language="text")]


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls: makes the directive known."""
    app.add_directive("program-help", ProgramHelp)
    return {"parallel_read_safe": True}
