"""rich's `Text`, of which nothing but the letters reaches the terminal."""

from typing import Any

from rich import text

from eric_fast.visible import make_visible


class Text(text.Text):
    """Text with names from outside: control characters are shown escaped, where rich would drop or pass them."""

    def __init__(self, plain: str = "", *arguments: Any, **options: Any) -> None:
        super().__init__(make_visible(plain), *arguments, **options)
