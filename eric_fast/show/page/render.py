"""From the document to the page: one HTML file that loads nothing.

The page may run this script and this style alone: a Content-Security-Policy names both by their hash, and lets nothing
else in but images that the page itself holds. Data is JSON in script elements that nobody runs, with `<`, `>` and `&`
escaped, so that no name in it can end the element.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from eric_fast.errors import require_package
from eric_fast.visible import make_all_visible

_STYLE = "style.css"
# In this order they are one script
SCRIPTS = (
    "data.js",
    "logic.js",
    "dom.js",
    "words.js",
    "votes.js",
    "pictures.js",
    "overview.js",
    "classes.js",
    "kernels.js",
    "graph.js",
    "proof.js",
    "images.js",
    "main.js",
)
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def render_page(document: Mapping[str, Any], thumbnails: Sequence[str], summary: Mapping[str, Any]) -> str:
    """The page's text.

    Args:
        document: what `client/data.js` reads.
        thumbnails: base64 WebP, one for each embedded image, or none at all.
        summary: what the template shows before any script runs.
    """
    require_package("jinja2", "the report")
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    style, script = read_client(_STYLE), join_scripts()
    page: str = environment.from_string(read_client("page.html.jinja")).render(
        summary=make_all_visible(summary),
        style=Markup(style),
        script=Markup(script),
        style_hash=hash_source(style),
        script_hash=hash_source(script),
        document=Markup(escape_json(make_all_visible(document))),
        thumbnails=Markup(escape_json(thumbnails)),
    )
    return page


def join_scripts() -> str:
    """The client's files as one script, in one scope of their own."""
    return '"use strict";\n(() => {\n' + "\n".join(map(read_client, SCRIPTS)) + "\n})();\n"


def read_client(name: str) -> str:
    """A file of `client/`, which is part of the package."""
    return (files("eric_fast.show.page") / "client" / name).read_text(encoding="utf-8")


def escape_json(content: object) -> str:
    """JSON that can stand in a script element."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


def hash_source(source: str) -> str:
    """As a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode("ascii")
