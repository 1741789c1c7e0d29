"""What an ONNX graph of rules answers, as a `Program`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eric_fast.frontends.rules.onnx_values import ChosenPlace, LinearBody, SignedAtom, TruthValues, WeightedSums
from eric_fast.frontends.trees.onnx_values import UnsupportedError
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser


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
        quantiser = TableQuantiser(tuple(self.atoms), tuple(self.columns))

        def place(atom: int) -> int:
            """Comparisons first, then derived atoms."""
            index = atom if atom >= 0 else ~atom
            index = index - _DERIVED + len(self.atoms) if index >= _DERIVED else index
            return index if atom >= 0 else ~index

        def spell(literals: Sequence[int], body: LinearBody) -> dict[str, Any]:
            return {"body": tuple(map(place, literals)), "weights": body.weights, "bound": body.bound}

        return Program(
            quantiser,
            tuple(classes),
            tuple(
                ClassRule(head, weight=weight, also=also, **spell(literals, body))
                for head, (body, literals), weight, also in rules
            ),
            tuple(
                Rule(place(_DERIVED + self.numbers[number]), **spell(literals, body))
                for number, body, literals in kernel_rules
            ),
            derived=tuple(f"d{number}" for number in self.numbers),
            decision=decision,
            outputs=tuple((f"o{i}", place(atom)) for i, atom in enumerate(outputs)),
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
