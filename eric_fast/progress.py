"""How a long stage tells whoever called it how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called with the stage in words, the units done, and the units in all."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
