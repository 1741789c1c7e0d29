"""Categorical columns: what their codes stand for, and the sets of codes that nodes ask for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.program.table_atoms import Column

Fail = Callable[[str], ProgramError]  # makes the error, with its place


@dataclass(frozen=True)
class Categories:
    """The values that the codes of categorical columns stand for; columns without any hold the codes themselves.

    Attributes:
        texts: column -> the text of each code.
        numbers: column -> the number of each code.
    """

    texts: Mapping[int, Sequence[str]] = field(default_factory=dict)
    numbers: Mapping[int, Sequence[float]] = field(default_factory=dict)

    def make_columns(self, names: Sequence[str], kind: str) -> list[Column]:
        """The columns of these names: `text` if their categories are texts, else of this kind."""
        return [Column(name, "text" if i in self.texts else kind) for i, name in enumerate(names)]

    def list_values(self, names: Sequence[str]) -> dict[str, tuple[float | str, ...]]:
        """The name of each categorical column -> the value of each of its codes."""
        known: dict[int, Any] = {**self.texts, **self.numbers}
        return {names[i]: tuple(known[i]) for i in sorted(known)}

    def name_codes(
        self, column: int, codes: Sequence[int], fail: Fail, most: float = np.inf
    ) -> tuple[float | str, ...] | None:
        """The values of these ascending codes; None if the column holds the codes themselves, which are below `most`.

        Raises:
            ProgramError: a code out of range.
        """
        known: Any = self.texts.get(column) or self.numbers.get(column)
        most = most if known is None else len(known)
        if codes and (codes[0] < 0 or codes[-1] >= most):
            raise fail(f"categories {codes[0]} to {codes[-1]} of feature {column}, which has only {most:,} categories")
        return None if known is None else tuple(known[code] for code in codes)


def list_bits(words: NDArray[Any]) -> list[int]:
    """The places of the bits that are set in 32-bit words, ascending."""
    bits = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")
    places: list[int] = np.flatnonzero(bits).tolist()
    return places


def cut_sets(segments: Iterable[tuple[int, int, int]], codes: NDArray[Any], fail: Fail) -> dict[int, list[int]]:
    """Node -> its codes, ascending, each once. Sets may not overlap, or a small file could make many large ones.

    Args:
        segments: node, first, and past the last of its `codes`.

    Raises:
        ProgramError: a segment out of range, a second one of a node, or segments that overlap.
    """
    sets: dict[int, list[int]] = {}
    n_codes = 0
    for node, start, end in segments:
        if not 0 <= start <= end <= len(codes):
            raise fail(f"the categories of node {node} are not all in the file")
        if node in sets:
            raise fail(f"node {node} has two sets of categories")
        n_codes += end - start
        if n_codes > len(codes):
            raise fail("the sets of several nodes overlap")
        sets[node] = np.unique(codes[start:end]).tolist()
    return sets
