"""Branches of trees in the terminal, of which some are shown where there are many."""

from rich.tree import Tree

from eric_fast.errors import say_count
from eric_fast.show.visible_text import Text

MOST_BRANCHES = 20


def limit_branches(n: int, few: int) -> int:
    """How many of `n` branches are shown: all, or a few where they are many."""
    return n if n <= MOST_BRANCHES else few


def add_rest(tree: Tree, n_more: int, noun: str) -> None:
    """Add a line that says how many more there are, if there are."""
    if n_more > 0:
        tree.add(Text(f"... and {say_count(n_more, f'more {noun}')}"))
