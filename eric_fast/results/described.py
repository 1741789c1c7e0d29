"""`Described`: objects that say in one line what they are, in a terminal and in a notebook."""

from abc import abstractmethod
from collections.abc import Iterator
from html import escape

MOST_CHARACTERS = 199


class Described:
    """An object whose fields are too many to show; dataclasses that derive from it are made with `repr=False`."""

    @abstractmethod
    def list_facts(self) -> Iterator[str]:
        """What a person wants to know first, a few words each."""

    def __repr__(self) -> str:
        text = f"<{type(self).__name__}: {', '.join(self.list_facts())}>"
        return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 4]}...>"

    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        facts = "".join(f"<li>{escape(fact)}</li>" for fact in self.list_facts())
        return f"<b>{escape(type(self).__name__)}</b><ul>{facts}</ul>"


def name_span(names: tuple[str, ...], noun: str) -> str:
    """`4 layers (conv1 to conv4)`, `layer conv4`."""
    if len(names) < 2:
        return f"{noun} {names[0]}" if names else f"no {noun}"
    return f"{len(names)} {noun}s ({names[0]} to {names[-1]})"
