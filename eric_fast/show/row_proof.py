"""An explanation of a row as text for the terminal."""

from collections.abc import Iterator

import numpy as np
from rich.console import Group, RenderableType
from rich.tree import Tree

from eric_fast.errors import say_count
from eric_fast.program import atom_of
from eric_fast.program.table_atoms import TableAtom
from eric_fast.program.words import describe_support, name_literal
from eric_fast.show.branches import add_rest
from eric_fast.show.proof import ProofTree
from eric_fast.show.visible_text import Text
from eric_fast.table.explain.changes import RowCounterfactual
from eric_fast.table.explain.conditions import describe_comparison, spell_value
from eric_fast.table.explain.contributions import Contributions
from eric_fast.table.explain.explain_row import FiredRule, RowExplanation

MOST_LINES = 10  # of contributions, of columns' reach
MOST_FIRED = 3  # rules of a vote that are shown with their conditions


def render_row_explanation(
    explanation: RowExplanation, *, depth: int | None = None, earlier: bool = False
) -> RenderableType:
    """The answer, the rules that decided, what the columns add, and what would have to change.

    Args:
        depth, earlier: see `render_explanation`.
    """
    parts: list[RenderableType] = [Text(_describe_answer(explanation)), ""]
    if explanation.proof is not None:
        parts += [_RowProof(explanation, depth).render(earlier), ""]
    else:
        parts += [_render_fired(explanation), ""]
    if explanation.contributions is not None:
        parts += [_render_contributions(explanation, explanation.contributions), ""]
    if explanation.reaches:
        parts += [_render_reaches(explanation), ""]
    if explanation.counterfactuals:
        parts += [_render_changes(explanation), ""]
    return Group(*parts[:-1])


def _describe_answer(explanation: RowExplanation) -> str:
    answer = explanation.answer
    said = "nothing, as no rule fires" if answer is None else ", ".join(map(spell_value, _list_numbers(answer)))
    text = f"{explanation.row}: {explanation.model.source} answers {said}"
    if explanation.shares:
        best = sorted(explanation.shares.items(), key=lambda item: -item[1])[:3]
        text += f" ({', '.join(f'{name} {100 * share:.1f} %' for name, share in best)})"
    return text


def _list_numbers(answer: object) -> list[object]:
    values = answer.tolist() if hasattr(answer, "tolist") else answer
    return values if isinstance(values, list) else [values]


class _RowProof(ProofTree):
    """With the row's values."""

    input_noun = "column"

    def __init__(self, explanation: RowExplanation, depth: int | None) -> None:
        assert explanation.proof is not None
        super().__init__(explanation.program, explanation.proof, depth)
        self._values = explanation.values

    def name_truth(self, atom: int) -> str:
        found = self._program.atoms[atom]
        if not isinstance(found, TableAtom):
            return super().name_truth(atom)
        value = self._values[found.feature]
        return describe_comparison(found, self._proof.steps[atom].is_true, value) + _show_value(value, found.constant)

    def name_needed(self, literal: int) -> str:
        found = self._program.atoms[atom_of(literal)]
        return (
            describe_comparison(found, literal >= 0) if isinstance(found, TableAtom) else super().name_needed(literal)
        )


def _show_value(value: object, beside: object = None) -> str:
    return "" if value is None else f"  (it is {spell_value(value, beside)})"


def _render_fired(explanation: RowExplanation) -> Tree:
    """The rules of a vote: all of one or a few, else those that add most."""
    fired = explanation.fired
    n_trees = len(fired)
    head = "no rule fires" if not fired else "the rule that decides" if n_trees == 1 else f"{n_trees:,} rules add up"
    tree = Tree(Text(f"{head}; those that add most are" if n_trees > MOST_FIRED else head))
    for one in fired[:MOST_FIRED]:
        branch = tree.add(Text(_describe_fired(explanation, one)))
        for condition in one.conditions:
            branch.add(Text(str(condition)))
        for literal in one.derived:
            branch.add(Text(name_literal(explanation.program, literal)))
    return tree


def _describe_fired(explanation: RowExplanation, one: FiredRule) -> str:
    support = describe_support(explanation.program, one.rule)
    votes = ((one.rule.head, one.rule.weight), *one.rule.also)
    adds = ", ".join(f"{weight:+g} to {explanation.program.classes[c]}" for c, weight in votes)
    why = ", because" if one.conditions or one.derived else ", whatever the row"
    return f"rule {one.number}" + (f" ({support})" if support else "") + f" adds {adds}{why}"


def _render_contributions(explanation: RowExplanation, found: Contributions) -> Tree:
    """Those to the answer's sum, the largest sizes first."""
    output, what = _pick_output(explanation)
    sign = -1.0 if output < 0 else 1.0
    place = abs(output) if sign > 0 else ~output
    start, total = sign * found.start[place], sign * found.sums[place]
    names = [column.name for column in explanation.program.table_quantiser.columns]
    shares = sign * found.values[:, place]
    order = sorted(np.flatnonzero(shares).tolist(), key=lambda i: -abs(shares[i]))
    tree = Tree(
        Text(
            f"{what} is {spell_value(float(total))}; over {say_count(found.n_background, 'row')} of the table it is "
            f"{spell_value(float(start))} on average, and this row's values {'add' if order else 'change nothing'}"
        )
    )
    for i in order[:MOST_LINES]:
        name = names[found.columns[i]]
        tree.add(Text(f"{shares[i]:+.4g}  {name}{_show_value(explanation.values[name]) or '  (it is missing)'}"))
    rest = order[MOST_LINES:]
    if rest:
        tree.add(Text(f"{sum(shares[i] for i in rest):+.4g}  {say_count(len(rest), 'other column')}"))
    return tree


def _pick_output(explanation: RowExplanation) -> tuple[int, str]:
    """The output to show, its complement if its sum counts against the answer, and what its sum is."""
    program, model = explanation.program, explanation.model
    if not program.decision.gives_class:
        return 0, "the sum" if len(program.classes) == 1 else f"the sum for {program.classes[0]}"
    labels = model.classes_.tolist()
    answer = labels.index(explanation.answer) if explanation.answer in labels else 0
    name = program.classes[answer]
    if model.link == "average":
        return answer, f"the probability of {name}"
    if model.link_function.margin and len(program.classes) == 2:
        what = f"the log-odds of {name}" if model.link == "sigmoid" else f"the score of {name}"
        return (1 if answer else ~1), what
    return answer, f"the score of {name}"


def _render_reaches(explanation: RowExplanation) -> Tree:
    tree = Tree(Text(f"a change of one column, within {_name_ranges(explanation)}, could make the answer"))
    shown = [one for one in explanation.reaches if one.lowest < one.highest]
    for one in shown[:MOST_LINES]:
        tree.add(
            Text(
                f"{spell_value(one.lowest)} to {spell_value(one.highest)}  {one.column}: {one.lowest_at} to "
                f"{one.highest_at}"
            )
        )
    add_rest(tree, len(shown) - MOST_LINES, "column")
    return tree


def _name_ranges(explanation: RowExplanation) -> str:
    if explanation.n_seen is None:
        return "the ranges that the rules distinguish"
    return f"the values seen in {say_count(explanation.n_seen, 'row')}"


def _render_changes(explanation: RowExplanation) -> Tree:
    tree = Tree(Text(f"the fewest columns that would have to change, within {_name_ranges(explanation)}, for"))
    for one in explanation.counterfactuals:
        tree.add(Text(_describe_changes(explanation, one)))
    return tree


def _describe_changes(explanation: RowExplanation, one: RowCounterfactual) -> str:
    name = explanation.program.classes[one.target]
    if one.changes is None:
        if one.is_least:
            return f"{name}: no change leads to it"
        return f"{name}: {say_count(one.n_least, 'column')} or more; the search found none within its limit"
    bound = "" if one.is_least else f" at most, {one.n_least} at least"
    return f"{name}: {say_count(len(one.changes), 'column')}{bound}: {', '.join(_list_changes(one))}"


def _list_changes(one: RowCounterfactual) -> Iterator[str]:
    for change in one.changes or ():
        before = "missing" if change.before is None else spell_value(change.before, change.after)
        yield f"{change.column} {before} -> {change.words}"
