"""Bodies of rules: from their text to literals, weights and a bound."""

from typing import NamedTuple

from eric_fast.errors import suggest_nearest
from eric_fast.program.printers.names import NEGATED, close_negated
from eric_fast.program.rules import INT32_MAX
from eric_fast.program.weight_bodies import find_sum_fault
from eric_fast.text.statements import BOUND, STARTS, TERMS, Body, Statements, find_literals


class RuleBody(NamedTuple):
    """See `ClassRule`."""

    literals: tuple[int, ...]
    weights: tuple[int, ...] = ()
    bound: int = 0
    start: int | None = None


class BodyReader:
    """From the text of a body to its literals."""

    def __init__(self, said: Statements, atom_of_predicate: dict[str, int]) -> None:
        self.said = said
        self.atom_of_predicate = atom_of_predicate
        # Each literal as the printer spells it: a large program is read at the speed of this look-up.
        self.literal_of = {f"{predicate}(X)": atom for predicate, atom in atom_of_predicate.items()}
        self.literal_of |= {f"not {predicate}(X)": ~atom for predicate, atom in atom_of_predicate.items()}

    def build(self, body: Body, n_starts: int = 0) -> RuleBody:
        """Build a body; that of a class rule may be for one of `n_starts` starts."""
        start, end = body
        text = self.said.text
        parts = text[start:end].split(", ")
        try:
            if parts[0] == "image(X)":  # most bodies: literals alone, as the printer spells them
                return RuleBody(tuple(map(self.literal_of.__getitem__, parts[1:])))
        except KeyError:  # a sum, for one start, spelled otherwise, or wrong
            pass
        if text.find("#", start, end) >= 0:
            built = self._build_sum(body)
        else:
            built = RuleBody(tuple(self._build_literal(*literal) for literal in find_literals(self.said, body)))
        if text.find("start", start, end) < 0:
            return built
        for number, match in enumerate(STARTS.finditer(text, start, end)):
            if number or not n_starts:
                what = "a body has one start at most" if number else "there is no fact starts(NUMBER,LAYER)"
                raise self.said.error(match.start(), f"'{match[0]}': {what}, and only class rules are for one start")
            if not 0 <= int(match[1][:9]) < n_starts:
                raise self.said.error(match.start(), f"'{match[0]}': starts are numbered from 0 to {n_starts - 1}")
            built = built._replace(start=int(match[1]))
        return built

    def _build_sum(self, body: Body) -> RuleBody:
        """A weight body: each weight from 1, and each literal and each index once."""
        said = self.said
        literals: dict[int, int] = {}
        indices: set[int] = set()
        for match in TERMS.finditer(said.text, *body):
            at = match.start()
            if max(len(match[1]), len(match[2])) > 11:
                raise said.error(at, f"{match[0][:40]}... holds a number beyond 2^31 - 1, which clingo would wrap")
            weight, index = int(match[1]), int(match[2])
            literal = self._build_literal(match["not"] is not None, match["name"], match.start("name"))
            if not 1 <= weight <= INT32_MAX:
                raise said.error(
                    at, f"the weight {weight} must be from 1 to 2^31 - 1; give a negative one to the literal's negation"
                )
            if index in indices:
                raise said.error(at, f"two terms have the index {index}, so clingo may take them for one; renumber one")
            if literal in literals:
                raise said.error(at, "the same literal stands twice in this sum; add up its weights")
            literals[literal] = weight
            indices.add(index)
        bound = BOUND.search(said.text, *body)
        assert bound is not None
        least = int(bound[1][:12])  # too large already with 12 digits
        if (fault := find_sum_fault(literals.values(), least)) is not None:
            raise said.error(bound.start(), fault)
        return RuleBody(tuple(literals), tuple(literals.values()), least)

    def mention_only(self, body: Body, predicate: str) -> bool:
        """Whether the body is `image(X), not predicate(X)`."""
        if self.said.text.find(predicate, *body) < 0 or self.said.text.find("#", *body) >= 0:
            return False
        return [literal[:2] for literal in find_literals(self.said, body)] == [(True, predicate)]

    def _build_literal(self, negated: bool, predicate: str, at: int) -> int:
        is_false, kernel = split_negated(predicate)
        if is_false and kernel in self.atom_of_predicate:
            instead = f"{kernel}(X)" if negated else f"not {kernel}(X)"
            raise self.said.error(
                at, f"'{predicate}' may only be used in '{close_negated(kernel)}'; write '{instead}' here"
            )
        atom = atom_named(self.said, at, predicate, self.atom_of_predicate)
        return ~atom if negated else atom


def split_negated(predicate: str) -> tuple[bool, str]:
    """Whether it is a kernel's predicate with the prefix for its falsehood, and the kernel's predicate."""
    kernel = predicate.removeprefix(NEGATED)
    return (True, kernel) if kernel != predicate and kernel.startswith(("k_", "d_")) else (False, predicate)


def atom_named(said: Statements, at: int, predicate: str, atom_of_predicate: dict[str, int]) -> int:
    atom = atom_of_predicate.get(predicate)
    if atom is None:
        hint = suggest_nearest(predicate, atom_of_predicate)
        raise said.error(
            at, f"'{predicate}' is not an atom of this program: there is no fact kernel({predicate},...){hint}"
        )
    return atom
