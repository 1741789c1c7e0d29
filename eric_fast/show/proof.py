"""An explanation as text for the terminal."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.tree import Tree

from eric_fast.errors import say_count
from eric_fast.explain.content import name_class
from eric_fast.explain.counterfactual import Counterfactual
from eric_fast.explain.explanation import Explanation
from eric_fast.explain.proof import Proof
from eric_fast.explain.votes import find_rivalry
from eric_fast.program import Program, atom_of
from eric_fast.program.atoms import InputAtom
from eric_fast.program.rules import Rule
from eric_fast.program.words import describe_support, describe_votes, name_atom, name_literal
from eric_fast.show.branches import MOST_BRANCHES, add_rest, limit_branches
from eric_fast.show.visible_text import Text

Item = TypeVar("Item")
MOST_CLASSES_NEAR = 10  # whose fewest flips are shown
MOST_VOTES_NEAR = 5  # of a rule with many, the answer's and the runner-up's among them
MOST_FLIPS = 8  # bits of a counterfactual that are named
MOST_SILENT = 8  # kernels that are exactly 0 and are named
FEW_RULES, FEW_LEADS = 5, 12  # of a vote with more than that: it fits a screen


def render_explanation(explanation: Explanation, *, depth: int | None = None, earlier: bool = False) -> RenderableType:
    """The answers, the proof as a tree, and what would have to change.

    Args:
        depth: layers of the proof that are unfolded, from the class rules down; None: all.
        earlier: show why the class rules that don't fire don't: the fewest literals that keep them from it.
    """
    return Group(
        _render_answers(explanation),
        "",
        _ImageProof(explanation, depth).render(earlier),
        "",
        _render_flips(explanation),
    )


def _render_answers(explanation: Explanation) -> Text:
    program, answer = explanation.program, explanation.proof.answer
    label = name_class(program, explanation.label)
    said = name_class(program, answer) or "nothing"
    agree = "they agree" if answer == explanation.model_class else "they differ"
    text = f"{explanation.image}: label {'unknown' if label is None else label}\n"
    text += f"the model says {program.classes[explanation.model_class]}, the program {said}: {agree}"
    departures = explanation.list_departures()
    if departures:
        given = frozenset(explanation.program.list_given(explanation.proof.start))
        n_derived = sum(atom not in given for atom in explanation.proof.steps)
        differ = "differs" if len(departures) == 1 else "differ"
        text += (
            f"\nof {say_count(n_derived, 'derived bit')} in the proof, {len(departures):,} {differ} from the network's"
        )
    return Text(text)


class ProofTree:
    """A proof's tree: every atom is unfolded where it first stands.

    Args:
        depth: see `render_explanation`.
    """

    input_noun = "kernel"
    has_silence = False  # whether an input may be exactly 0, as ReLU's results are: true ones are then shown first
    rival: int | None = None  # the class that an answer is compared with; None: the runner-up

    def __init__(self, program: Program, proof: Proof, depth: int | None) -> None:
        self._program, self._proof = program, proof
        self._depth = depth
        self._given = frozenset(self._program.list_given(self._proof.start))
        self._shown: set[int] = set()

    def render(self, earlier: bool) -> RenderableType:
        program, proof = self._program, self._proof
        answer = name_class(program, proof.answer)
        if not proof.fired:
            tree = Tree(Text(f"{answer}, the default: no class rule fires" if answer else "no class rule fires"))
        elif program.decision.takes_first:
            tree = Tree(Text(f"{answer}, because {self._name_class_rule(proof.fired[0])} fires"))
            self._add_body(tree, program.class_rules[proof.fired[0]], proof.literals[0], 1)
        else:
            tree = Tree(Text(f"{answer}, because it has the most votes of {say_count(len(proof.fired), 'rule')}"))
            rivals = self._add_rivalry(tree)
            rules = list(zip(proof.fired, proof.literals, strict=True))
            loud, silent = self._fold(rules, [list(map(atom_of, literals)) for literals in proof.literals])
            n_shown = limit_branches(len(loud), FEW_RULES)
            for number, literals in loud[:n_shown]:
                votes = describe_votes(program, program.class_rules[number], MOST_VOTES_NEAR, rivals)
                branch = tree.add(Text(f"{self._name_class_rule(number)} fires: {votes}"))
                self._add_body(branch, program.class_rules[number], literals, 1)
            add_rest(tree, len(loud) - n_shown, "rule")
            if silent:
                tree.add(Text(f"and {len(silent):,} rules that fire, on kernels that are exactly 0"))
        if not proof.blocked:
            return tree
        what = "earlier rule" if program.decision.takes_first and proof.fired else "other rule"
        if not earlier:
            shown = f"{say_count(len(proof.blocked), what)} {'does' if len(proof.blocked) == 1 else 'do'} not fire"
            return Group(tree, Text(f"{shown}; --earlier shows why"))
        return Group(tree, self._render_blocked(what))

    def _render_blocked(self, what: str) -> Tree:
        tree = Tree(Text(f"{say_count(len(self._proof.blocked), what)} not firing, with the literals that fail"))
        for number, literals in islice(self._proof.blocked, MOST_BRANCHES):
            rule = self._program.class_rules[number]
            needs = " or ".join(map(self.name_needed, literals))
            line = f"rule {number + 1} for {self._program.classes[rule.head]} needs {needs}"
            if rule.bound:
                points = sum(rule.weights) - _sum_points(rule, literals)
                line += (
                    f": without {'it' if len(literals) == 1 else 'these'} {points:,} of {rule.bound:,} points at most"
                )
            branch = tree.add(Text(line))
            for literal in literals:
                self._add_atom(branch, atom_of(literal), 1)
        add_rest(tree, len(self._proof.blocked) - MOST_BRANCHES, what)
        return tree

    def _add_rivalry(self, tree: Tree) -> tuple[int, ...]:
        """Add what each kernel gives to the winner rather than to the runner-up; both classes."""
        program, rivalry = self._program, find_rivalry(self._program, self._proof, self.rival)
        if rivalry is None:
            return ()
        (mine, theirs), rival = rivalry.points, program.classes[rivalry.rival]
        who = rival if self.rival == rivalry.rival else f"{rival}, the runner-up"
        branch = tree.add(Text(f"{mine:g} points against {theirs:g} for {who}; the difference comes from"))
        if rivalry.start:
            branch.add(Text(f"{rivalry.start:+g}  before any rule fires"))
        zeros = [(atom, lead) for atom, lead in rivalry.leads if atom is not None and self.is_silent(atom)]
        folded = set(zeros) if len(zeros) > 1 else set()
        shown = [one for one in rivalry.leads if one not in folded]
        n_shown = limit_branches(len(shown), FEW_LEADS)
        for atom, lead in shown[:n_shown]:
            what = "rules of several literals" if atom is None else self.name_truth(atom)
            branch.add(Text(f"{lead:+g}  {what}"))
        add_rest(branch, len(shown) - n_shown, self.input_noun)
        if folded:
            total = float(sum(Fraction(lead) for _, lead in zeros))
            branch.add(Text(f"{total:+g}  {self._name_silent([atom for atom, _ in zeros if atom is not None])}"))
        return rivalry.winner, rivalry.rival

    def name_truth(self, atom: int) -> str:
        """An atom of the proof, or its negation, whichever is true."""
        return name_literal(self._program, atom if self._proof.steps[atom].is_true else ~atom)

    def name_needed(self, literal: int) -> str:
        """A literal that a rule needs and that is false."""
        return name_literal(self._program, literal)

    def compare(self, atom: int) -> str:
        """What is known of an atom besides its truth."""
        return ""

    def is_silent(self, atom: int) -> bool:
        """Whether an atom of the proof is false because there is nothing at all of its kernel."""
        return False

    def _fold(self, items: Sequence[Item], atoms: Sequence[Sequence[int]]) -> tuple[list[Item], list[Item]]:
        """Split what rests on these atoms each: what is to be shown, true atoms first, and what rests on silence."""
        pairs = list(zip(items, atoms, strict=True))
        silent = [item for item, needs in pairs if needs and all(map(self.is_silent, needs))]
        if len(silent) < 2:
            silent = []
        if self.has_silence:
            pairs.sort(key=lambda pair: not any(self._proof.steps[atom].is_true for atom in pair[1]))
        return [item for item, _ in pairs if item not in silent], silent

    def _name_silent(self, atoms: Sequence[int]) -> str:
        names = [name_atom(self._program, atom) for atom in atoms[:MOST_SILENT]]
        rest = ", ..." if len(atoms) > MOST_SILENT else ""
        return f"{say_count(len(atoms), 'kernel')} that are exactly 0: {', '.join(names)}{rest}"

    def _name_class_rule(self, number: int) -> str:
        support = describe_support(self._program, self._program.class_rules[number])
        return f"class rule {number + 1}" + (f" ({support})" if support else "")

    def _add_body(self, tree: Tree, rule: Rule, literals: Sequence[int], level: int) -> None:
        """Add the literals by which the rule fires; of a weight body with their points."""
        if not rule.body:
            tree.add(Text("its body is empty: it always fires"))
        if rule.bound:
            points, rest = _sum_points(rule, literals), len(rule.body) - len(literals)
            verb = "doesn't" if rest == 1 else "don't"
            others = f"; the other {say_count(rest, 'literal')} {verb} matter" if rest else ""
            tree.add(Text(f"{points:,} points, of which it needs {rule.bound:,}{others}"))
        weights = dict(zip(rule.body, rule.weights, strict=False))
        shown, silent = self._fold(literals, [[atom_of(literal)] for literal in literals])
        for literal in shown:
            points_of = f"{weights[literal]:+,}  " if rule.bound else ""
            self._add_atom(tree, atom_of(literal), level, points_of)
        if silent:
            points_of = f"{sum(weights[literal] for literal in silent):+,}  " if rule.bound else ""
            tree.add(Text(points_of + self._name_silent(list(map(atom_of, silent)))))

    def _add_atom(self, tree: Tree, atom: int, level: int, points: str = "") -> None:
        step = self._proof.steps[atom]
        line = f"{points}{self.name_truth(atom)}{self.compare(atom)}"
        if atom in self._given:
            tree.add(Text(line))
            return
        if atom in self._shown:
            tree.add(Text(f"{line}; explained above"))
            return
        if self._depth is not None and level >= self._depth:
            tree.add(Text(f"{line}; derived"))
            return
        self._shown.add(atom)
        if step.rule is not None:
            rule = self._program.kernel_rules[step.rule]
            support = describe_support(self._program, rule)
            branch = tree.add(Text(f"{line}; a rule for it fires" + (f" ({support})" if support else "")))
            self._add_body(branch, rule, step.literals, level + 1)
            return
        branch = tree.add(Text(f"{line}; {self._count(atom, len(step.blocked))}"))
        needs = step.list_needs()
        shown, silent = self._fold(needs, [[need] for need in needs])
        for need in shown:
            self._add_atom(branch, need, level + 1)
        if silent:
            branch.add(Text(self._name_silent(silent)))

    def _count(self, atom: int, n_blocked: int) -> str:
        makes = "false" if atom in self._program.negated else "true"
        if not n_blocked:
            return f"no rule makes it {makes}"
        if n_blocked == 1:
            return f"the rule that makes it {makes} doesn't fire, because of"
        return f"none of the {n_blocked:,} rules that make it {makes} fires, because of"


class _ImageProof(ProofTree):
    """With norms, beside the network's own bits."""

    has_silence = True

    def __init__(self, explanation: Explanation, depth: int | None) -> None:
        super().__init__(explanation.program, explanation.proof, depth)
        self._explanation, self.rival = explanation, explanation.against

    def is_silent(self, atom: int) -> bool:
        """Whether a given bit is false, and the norm of its kernel exactly 0."""
        return atom in self._given and not self._proof.steps[atom].is_true and self._explanation.norms.get(atom) == 0

    def compare(self, atom: int) -> str:
        """`: norm 0.41 > 0.2`, the threshold, and where the program's bit is not the network's."""
        found, norm = self._program.atoms[atom], self._explanation.norms.get(atom)
        if norm is None or not isinstance(found, InputAtom):
            return ""
        sign = ">" if norm > found.constant else "<="
        text = f": norm {norm:.4g} {sign} {found.constant:.4g}"
        if self._explanation.model_bits[atom] != self._proof.steps[atom].is_true:
            text += f"; in the network it is {str(self._explanation.model_bits[atom]).lower()}"
        return text


def _render_flips(explanation: Explanation) -> RenderableType:
    note = f" ({explanation.note})" if explanation.note else ""
    tree = Tree(Text(f"the fewest bits of {explanation.flip_layer} that would have to flip{note} for"))
    for one in explanation.counterfactuals[:MOST_CLASSES_NEAR]:
        tree.add(Text(_describe_flips(explanation, one)))
    n_others = len(explanation.program.classes) - (explanation.proof.answer >= 0) if explanation.against is None else 0
    n_more = n_others - min(len(explanation.counterfactuals), MOST_CLASSES_NEAR)
    if n_more > 0:
        tree.add(Text(f"... and {say_count(n_more, 'more class')}; --against CLASS shows one"))
    return tree


def _describe_flips(explanation: Explanation, one: Counterfactual) -> str:
    program = explanation.program
    name = program.classes[one.target]
    if one.flips is None:
        if one.is_least:
            return f"{name}: no bits lead to it"
        return f"{name}: at least {say_count(one.n_least, 'bit')}; the search found none within its limit"
    flips = ", ".join(_describe_flip(explanation, atom) for atom in one.flips[:MOST_FLIPS])
    flips += f" and {len(one.flips) - MOST_FLIPS} more" if len(one.flips) > MOST_FLIPS else ""
    bound = "" if one.is_least else f" at most, {one.n_least} at least"
    by = ", by default" if one.rule is None else f", by rule {one.rule + 1}" if program.decision.takes_first else ""
    return f"{name}: {say_count(len(one.flips), 'bit')}{bound}{by}: {flips}"


def _describe_flip(explanation: Explanation, atom: int) -> str:
    becomes = "false" if explanation.top_bits[atom] else "true"
    return f"{name_atom(explanation.program, atom)} to {becomes}"


def _sum_points(rule: Rule, literals: Sequence[int]) -> int:
    weights = dict(zip(rule.body, rule.weights, strict=True))
    return sum(weights[literal] for literal in literals)
