"""The documentation site: `make docs` builds it with Sphinx into build/docs."""

import re
import sys
from importlib.metadata import version as find_version
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs import contents  # noqa: E402  it lies in ROOT

project = "eric_fast"
author = "the authors of eric_fast"
copyright = "the authors of eric_fast, Apache-2.0"
version = release = find_version("eric-fast")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # `make notebooks` runs them, and tests/test_notebooks.py holds their outputs
myst_enable_extensions = ["deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
default_role = "code"

autodoc_default_options = {
    "members": True,
    "undoc-members": False,
    "member-order": "bysource",
    "exclude-members": "set_fit_request, set_score_request",
}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
add_module_names = False
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

html_theme = "pydata_sphinx_theme"
html_title = "eric_fast"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {"text": "eric_fast"},
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
toc_object_entries = False  # sections have the same names
html_show_sourcelink = False
html_copy_source = False


def prepare_docstring(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Turn what docstrings have of Markdown into reStructuredText: plurals of code, and blocks of code."""
    in_section = False
    for place, line in enumerate(lines):
        lines[place] = re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line)
        in_section |= line.rstrip().endswith(":") and line[:1].isupper() and " " not in line.rstrip()
        starts_block = line.startswith("    ") and place > 0 and not lines[place - 1].strip()
        if starts_block and not in_section and ">>>" not in line and not lines[place - 2].startswith((" ", "-")):
            lines[place - 1] = "\n::\n"
    lines[:] = "\n".join(lines).split("\n")


def setup(app: Sphinx) -> None:
    """Fill in what is generated: commands, public names, figures."""
    app.connect("source-read", contents.fill_page)
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)  # before napoleon
