"""What pages show but nobody writes by hand: commands, public names, figures.

A page holds a line `<!-- insert: NAME -->`; the site has in its place what `INSERTS[NAME]` gives, as Markdown. The
README, which isn't part of the site, holds its table between such a line and `<!-- end -->`; `python -m docs.contents`
renews it.
"""

import ast
import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from docs import commands, figures

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
_INSERT = re.compile(r"^<!-- insert: ([a-z0-9-]+) -->$", re.MULTILINE)
_KEPT = re.compile(r"(<!-- insert: ([a-z0-9-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)

# Page of the API reference -> the rooms whose public names it shows, in this order.
PAGES: dict[str, tuple[str, ...]] = {
    "capture": ("capture", "store"),
    "extract": ("quantise", "extract", "runs", "training"),
    "programs": ("program", "text", "errors"),
    "evaluate": ("bits", "evaluator", "compile", "plan", "score", "label_score", "module"),
    "understand": ("analyse", "explain", "compare", "chains", "show"),
    "tables": ("frontends", "table"),
}


def list_public_names() -> dict[str, str]:
    """Public name -> the module that `__init__.pyi` imports it from, without the package's own name."""
    tree = ast.parse((ROOT / "eric_fast" / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name: node.module or "" for node in imports for alias in node.names}
    return {name: module for name, module in names.items() if not name.startswith("_")}


def list_names_of_page(page: str) -> list[str]:
    """The public names that a page of the API reference shows; a room that no page names goes to `understand`."""
    known = {room for rooms in PAGES.values() for room in rooms}
    rooms = {name: module.split(".")[0] for name, module in list_public_names().items()}
    wanted = {name: room for name, room in rooms.items() if room in PAGES[page]}
    if page == "understand":
        wanted |= {name: room for name, room in rooms.items() if room not in known}
    return sorted(wanted, key=lambda name: (not name.islower(), name.lower()))


def has_example(value: Any) -> bool:
    """Whether a docstring, that of a class or of one of its methods, holds an example that runs."""
    members = vars(value).values() if inspect.isclass(value) else ()
    texts = [inspect.getdoc(value), *(inspect.getdoc(member) for member in members if callable(member))]
    return any(">>> " in (text or "") for text in texts)


def print_api(page: str) -> str:
    """A section for each public name, from its docstring."""
    import eric_fast

    parts = []
    for name in list_names_of_page(page):
        value = getattr(eric_fast, name)
        kind = "autoclass" if inspect.isclass(value) else "autofunction" if callable(value) else "autodata"
        bases = "   :inherited-members: PickledByFields\n" * (name == "RuleModel")  # what it does is spread over bases
        parts.append(f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: eric_fast.{name}\n{bases}```\n")
    return "\n".join(parts)


INSERTS: dict[str, Callable[[], str]] = {
    "commands": commands.print_commands,
    **{f"api-{page}": partial(print_api, page) for page in PAGES},
    **figures.TABLES,
}


def fill_page(app: Any, name: str, source: list[str]) -> None:
    """Put what is generated into a page that Sphinx has read (its event `source-read`)."""
    source[0] = _INSERT.sub(lambda match: INSERTS[match[1]](), source[0])


def renew_readme(text: str) -> str:
    """The README's text with its tables as the results have them now."""
    return _KEPT.sub(lambda match: f"{match[1]}\n{INSERTS[match[2]]()}\n", text)


if __name__ == "__main__":
    README.write_text(renew_readme(README.read_text(encoding="utf-8")), encoding="utf-8")
