"""Sections of a page of the documentation that commands write: each stands between its own two comments."""

from collections.abc import Sequence
from pathlib import Path


def write_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->`.

    Raises:
        SystemExit: the page has no such comments.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    content = page.read_text(encoding="utf-8")
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no lines {begin.strip()} and {end} with room between them")
    page.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], n_names: int = 1) -> str:
    """A table in Markdown; all columns after the first `n_names` stand to the right."""
    rule = ["---" if place < n_names else "---:" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
