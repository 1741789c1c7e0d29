"""What tensors of an ONNX graph of rules stand for in each row, and the program that its outputs make."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.frontends.trees.onnx_values import UnsupportedError
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.data import map_literals
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser


class SignedAtom(NamedTuple):
    """A comparison or the number of a derived atom, or its opposite."""

    atom: TableAtom | int
    negated: bool = False

    def negate(self) -> "SignedAtom":
        return SignedAtom(self.atom, not self.negated)


class LinearBody(NamedTuple):
    """Literals of which all are true; or whose weights reach the bound, where there is one."""

    literals: tuple[SignedAtom, ...]
    weights: tuple[int, ...] = ()
    bound: int = 0


class GivenColumns(NamedTuple):
    """The values of columns, `[n_rows, n_columns]`."""

    places: tuple[int, ...]


class MissingBits(NamedTuple):
    """Whether columns are missing, `[n_rows, n_columns]`; only where the mask says."""

    places: tuple[int, ...]
    mask: tuple[bool, ...]


class TruthValues(NamedTuple):
    """Truth values, `[n_rows, n_literals]`.

    Attributes:
        or_missing: whether each is also true of a missing value.
    """

    literals: tuple[SignedAtom, ...]
    or_missing: bool = False


class WeightedSums(NamedTuple):
    """Weighted literals, `[n_rows, n_sums]`: `base` and the weights `[n_literals, n_sums]` of those that are true."""

    literals: tuple[SignedAtom, ...]
    weights: NDArray[Any]
    base: NDArray[Any]


class ChosenPlace(NamedTuple):
    """An entry of `table`, `[n_rows]`: at the first true literal, or at the highest sum; `default` where none is true.

    Attributes:
        table: of integers, or of texts.
    """

    source: TruthValues | WeightedSums
    table: NDArray[Any] | None = None
    default: int | None = None
    names: NDArray[Any] | None = None


class AnyTrue(NamedTuple):
    """Whether some literal is true, `[n_rows]`."""

    literals: tuple[SignedAtom, ...]


def as_bits(value: Any) -> TruthValues:
    """Sums that are one literal each, or its opposite, as truth values. Raises UnsupportedError: they are not."""
    if isinstance(value, TruthValues) and not value.or_missing:
        return value
    if not isinstance(value, WeightedSums):
        raise UnsupportedError("takes a value that is neither true nor false")
    literals = []
    for weights, base in zip(value.weights.T, np.ravel(value.base), strict=True):
        used = np.flatnonzero(weights)
        if len(used) != 1 or (weights[used[0]], base) not in ((1, 0), (-1, 1)):
            raise UnsupportedError("takes a sum that is not always 0 or 1")
        literal = value.literals[used[0]]
        literals.append(literal.negate() if base else literal)
    return TruthValues(tuple(literals))


def find_sum(literals: tuple[SignedAtom, ...], weights: NDArray[Any], bound: float) -> LinearBody | None:
    """The body that is true where these weights reach the bound; None if they never do.

    A negative weight of a literal is a positive one of its opposite, and a higher bound.

    Raises:
        UnsupportedError: a weight or bound that is no whole number of 31 bits.
    """
    used = np.flatnonzero(weights)
    positive = weights[used] > 0
    of_body = np.abs(weights[used])
    bound = bound + of_body[~positive].sum()
    if not ((of_body == np.floor(of_body)).all() and bound == np.floor(bound) and of_body.sum() < 2**31):
        raise UnsupportedError("compares sums that are not whole numbers of 31 bits")
    chosen = [literals[i] if keep else literals[i].negate() for i, keep in zip(used.tolist(), positive, strict=True)]
    if bound <= 0:
        return LinearBody(())
    if bound > of_body.sum():
        return None
    if bound == of_body.sum():
        return LinearBody(tuple(chosen))
    return LinearBody(tuple(chosen), tuple(of_body.astype(int).tolist()), int(bound))


def make_rules(columns: Sequence[Column], derived: Sequence[Sequence[LinearBody]], answers: Sequence[Any]) -> Program:
    """The program of these outputs: a label, and sums; sums; or truth values.

    Args:
        derived: the bodies of derived atoms, each of which is true where one of them is.

    Raises:
        UnsupportedError: other outputs.
    """
    builder = _Builder(columns, derived)
    match answers:
        case [TruthValues() as bits]:
            return builder.answer_bits(bits)
        case [ChosenPlace(TruthValues(literals), heads, default, names)] if heads is not None and names is not None:
            return builder.take_first(literals, heads.tolist(), default, names.tolist())
        case [ChosenPlace(WeightedSums() as sums, default=default, names=names), *_] if names is not None:
            return builder.add_votes(Decision.VOTE, sums, names.tolist(), default)
        case [ChosenPlace(WeightedSums() as sums), *_]:
            return builder.add_votes(Decision.LABELS, sums, [str(i) for i in range(len(sums.base))], None)
        case [WeightedSums() as sums]:
            return builder.add_votes(Decision.SUM, sums, [str(i) for i in range(len(sums.base))], None)
    raise UnsupportedError("is neither a class nor a sum nor a truth value of rules")


class _Builder:
    def __init__(self, columns: Sequence[Column], derived: Sequence[Sequence[LinearBody]]) -> None:
        self.columns, self.derived = columns, list(derived)
        self.atoms: dict[TableAtom, int] = {}
        self.numbers: dict[int, int] = {}  # of the derived atoms that are mentioned

    def answer_bits(self, bits: TruthValues) -> Program:
        outputs = [self._find(self._as_atom(literal)) for literal in bits.literals]
        return self._finish((), (), Decision.BITS, outputs=outputs)

    def take_first(
        self, literals: Sequence[SignedAtom], heads: Sequence[int], default: int | None, names: Sequence[str]
    ) -> Program:
        classes, fallback = _split_names(names, default)
        rules = [(head, self._inline(literal), 1.0, ()) for literal, head in zip(literals, heads, strict=True)]
        return self._finish(classes, rules, Decision.FIRST, default=fallback)

    def add_votes(self, decision: Decision, sums: WeightedSums, names: Sequence[str], default: int | None) -> Program:
        classes, fallback = _split_names(names, default)
        rules = []
        for literal, weights in zip(sums.literals, sums.weights, strict=True):
            votes = [(i, float(weights[i])) for i in np.flatnonzero(weights).tolist()]
            head, weight = votes[0] if votes else (0, 0.0)
            rules.append((head, self._inline(literal), weight, tuple(votes[1:])))
        return self._finish(classes, rules, decision, default=fallback, base=tuple(sums.base.tolist()))

    def _finish(
        self, classes: Sequence[str], rules: Sequence[Any], decision: Decision, outputs: Any = (), **settings: Any
    ) -> Program:
        kernel_rules, done = [], 0
        while done < len(self.numbers):  # it grows meanwhile
            number = list(self.numbers)[done]
            done += 1
            for body in self.derived[number]:
                kernel_rules.append((number, body, [self._find(each) for each in body.literals]))
        n_compared = len(self.atoms)
        places = {atom: atom for atom in range(n_compared)}
        places |= {_DERIVED + number: n_compared + number for number in range(len(self.numbers))}

        def spell(literals: Sequence[int], body: LinearBody) -> dict[str, Any]:
            return {"body": map_literals(literals, places), "weights": body.weights, "bound": body.bound}

        return Program(
            TableQuantiser(tuple(self.atoms), tuple(self.columns)),
            tuple(classes),
            tuple(
                ClassRule(head, weight=weight, also=also, **spell(literals, body))
                for head, (body, literals), weight, also in rules
            ),
            tuple(
                Rule(n_compared + self.numbers[number], **spell(literals, body))
                for number, body, literals in kernel_rules
            ),
            derived=tuple(f"d{number}" for number in self.numbers),
            decision=decision,
            outputs=tuple((f"o{i}", places[atom]) for i, atom in enumerate(outputs)),
            **settings,
        )

    def _inline(self, literal: SignedAtom) -> tuple[LinearBody, list[int]]:
        """The one body of a derived atom in its place; else the literal alone."""
        body = LinearBody((literal,))
        if isinstance(literal.atom, int) and not literal.negated and len(self.derived[literal.atom]) == 1:
            body = self.derived[literal.atom][0]
        return body, [self._find(each) for each in body.literals]

    def _find(self, literal: SignedAtom) -> int:
        if isinstance(literal.atom, TableAtom):
            index = self.atoms.setdefault(literal.atom, len(self.atoms))
        else:
            index = _DERIVED + self.numbers.setdefault(literal.atom, len(self.numbers))
        return ~index if literal.negated else index

    def _as_atom(self, literal: SignedAtom) -> SignedAtom:
        """The opposite of an atom becomes a derived one."""
        if not literal.negated:
            return literal
        self.derived.append([LinearBody((literal,))])
        return SignedAtom(len(self.derived) - 1)


def _split_names(names: Sequence[str], default: int | None) -> tuple[list[str], int | None]:
    """The classes, and the one where no rule fires, if there is one: the last name is empty and stands for none."""
    if names and names[-1] == "":
        names = names[:-1]
    return list(names), default if default is not None and default < len(names) else None


_DERIVED = 2**30
