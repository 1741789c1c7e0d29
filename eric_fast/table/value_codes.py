"""The values of a column as codes of one byte, which stand for all that a program's comparisons tell apart."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from eric_fast.kernels import EQUAL, GREATER, LESS, MISSING
from eric_fast.program.table_atoms import TableAtom
from eric_fast.table.columns import GAP, OTHERS, KnownTexts, is_missing

_MOST_KEPT = 4096  # values whose codes are kept, of a column
_MOST_LETTERS = 100  # of such a value
_MOST_SINGLY = 32  # numbers that Python encodes sooner than NumPy
_MOST_INTEGER = 2**53  # whole numbers up to here are what they are in every type
MOST_CODES = 256
_IS_GAP = re.compile(GAP)


class OddValueError(ValueError):
    """A value that other code reads, or refuses and explains."""


class TextCodes(dict[Any, int]):
    """Value -> its code: the index of its text among those that the program compares, or one of the two past them.

    Args:
        atoms: all comparisons of the column with sets of texts.
        loose: see `KnownTexts`. If so, whole numbers and truths are the texts that spell them.
    """

    def __init__(self, atoms: Sequence[TableAtom], *, loose: bool) -> None:
        texts = sorted(
            {value for atom in atoms if isinstance(atom.constant, tuple) for value in map(str, atom.constant)}
        )
        self.n_codes = len(texts) + 2
        self._known = KnownTexts(texts, loose=loose)
        self._other, self._missing = len(texts), len(texts) + 1

    def __missing__(self, value: Any) -> int:
        if isinstance(value, str):
            code = self._take(self._known.find(value))
            _keep(self, value, code)
            return code
        if is_missing(value):
            return self._missing
        if not (self._known.loose and isinstance(value, bool | int) and abs(value) <= _MOST_INTEGER):
            raise OddValueError
        return self._take(self._known.find_number(value))  # not kept: True equals 1, but is spelled otherwise

    def _take(self, code: float) -> int:
        return self._other if code == OTHERS else int(code)

    def encode(self, values: Sequence[Any]) -> bytes:
        """The code of each value. Raises OddValueError: a value that is not supported."""
        return bytes(map(self.__getitem__, values))

    def make_truths(self, atom: TableAtom) -> bytes:
        """For each code whether the comparison holds, as the digits 0 and 1."""
        assert isinstance(atom.constant, tuple)
        true = {int(self._known.code_of[str(value)]) for value in atom.constant}
        if atom.missing:
            true.add(self._missing)
        return _spell_truths(code in true for code in range(self.n_codes))


class NumberCodes(dict[Any, int]):
    """Value -> its code: twice the number of constants below it, and one more if it equals one; missing ones come last.

    Args:
        constants: all that the column is compared with.
        loose: whether a text that spells no number is a missing value.
    """

    def __init__(self, constants: Sequence[float], *, loose: bool) -> None:
        self._constants = sorted(set(constants))
        self._missing = 2 * len(self._constants) + 1
        self.n_codes = self._missing + 1
        self._loose = loose

    def __missing__(self, value: Any) -> int:
        number = self._read_text(value) if isinstance(value, str) else _read_number(value)
        if number != number:
            return self._missing
        code = bisect_left(self._constants, number) + bisect_right(self._constants, number)
        _keep(self, value, code)
        return code

    def encode(self, values: Sequence[Any]) -> bytes:
        """As that of `TextCodes`."""
        if len(values) <= _MOST_SINGLY or set(map(type, values)) != {float}:
            return bytes(map(self.__getitem__, values))
        numbers = np.array(values)
        codes = np.searchsorted(self._constants, numbers) + np.searchsorted(self._constants, numbers, "right")
        codes[np.isnan(numbers)] = self._missing
        return codes.astype(np.uint8).tobytes()

    def _read_text(self, text: str) -> float:
        if not text.isprintable():  # such as spaces that aren't ASCII
            raise OddValueError
        if text.isascii() and "_" not in text:  # Python takes more than columns of texts do
            try:
                return float(text)
            except ValueError:
                pass  # spells no number
        if self._loose or _IS_GAP.match(text.strip()):
            return np.nan
        raise OddValueError

    def make_truths(self, constant: float, holds: int) -> bytes:
        """As those of `TextCodes`. `holds`: the outcomes under which a comparison with this constant holds."""
        equal = 2 * bisect_left(self._constants, constant) + 1
        outcomes = [LESS if code < equal else GREATER for code in range(self.n_codes)]
        outcomes[equal], outcomes[self._missing] = EQUAL, MISSING
        return _spell_truths(holds & outcome != 0 for outcome in outcomes)


def _keep(codes: dict[Any, int], value: Any, code: int) -> None:
    """Keep the code of a value; the last ones are kept, since a row's rules ask for its values again and again."""
    if isinstance(value, str) and len(value) > _MOST_LETTERS:
        return
    if len(codes) >= _MOST_KEPT:
        codes.clear()
    codes[value] = code


def _spell_truths(truths: Iterable[bool]) -> bytes:
    return bytes(48 + truth for truth in islice(truths, MOST_CODES)).ljust(MOST_CODES, b"0")


def _read_number(value: Any) -> float:
    if isinstance(value, float | np.float32):
        return float(value)
    if isinstance(value, bool | np.bool_ | int | np.integer) and abs(int(value)) <= _MOST_INTEGER:
        return float(value)
    if is_missing(value):
        return np.nan
    raise OddValueError
