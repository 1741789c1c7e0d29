"""`print_plan`: the steps of a plan as lines that a person reads."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from eric_fast.plan.negation import is_negated, strip_negation
from eric_fast.plan.plan import Plan
from eric_fast.plan.steps import KIND_SELECT, KIND_SUM, SEGMENT, Batch, Counter, Index, Section, Segment

_WIDTH = 120


def print_plan(plan: Plan, names: Sequence[str] | None = None) -> str:
    """The steps of a plan, section by section: `v17 = a4 ? v12 : v3`, `v18 = sum(a4, v12, v3)`.

    Values are `v0`, `v1`, ... as `Steps` number them; an input is known by its name.

    Args:
        names: a name for each row of the plan; `a0`, `a1`, ... where there are none.
    """
    lister = _Lister(plan, [f"a{row}" for row in range(plan.n_rows)] if names is None else names)
    lines = [line for part in lister.list_parts() for line in part]
    return "\n".join(wrapped for line in lines for wrapped in _wrap(line)) + "\n"


def _wrap(line: str) -> list[str]:
    """Lines of at most `_WIDTH`, if no word is longer; the further ones are indented more."""
    indent = " " * (4 + len(line) - len(line.lstrip()))
    return wrap(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


class _Lister:
    def __init__(self, plan: Plan, names: Sequence[str]) -> None:
        self.plan, self.names, steps = plan, names, plan.steps
        self.n_strata = len(plan.strata) - 1
        self.indexes = [Index(*row) for row in steps.indexes.tolist()]
        self.planes, self.codes, self.fires = steps.planes.tolist(), steps.codes.tolist(), steps.fires.tolist()

    def list_parts(self) -> Iterator[Iterator[str]]:
        yield self._list_sizes()
        for number, row in enumerate(self.plan.steps.sections.tolist()):
            yield self._list_section(number, Section(*row))
        yield self._list_decision()

    def _list_sizes(self) -> Iterator[str]:
        plan, steps = self.plan, self.plan.steps
        yield (
            f"plan of inputs: {plan.n_inputs}, derived rows: {plan.n_rows - plan.n_inputs}, strata: {self.n_strata}, "
            f"class rules: {plan.n_class_rules}, classes: {plan.n_classes}"
        )
        yield (
            f"steps of nodes: {len(steps.nodes)}, terms: {sum(steps.segments[:, SEGMENT.n_terms].tolist())}, "
            f"trees: {len(plan.trees)}, counters: {len(steps.counters)}"
        )

    def _list_section(self, number: int, section: Section) -> Iterator[str]:
        plan, steps = self.plan, self.plan.steps
        yield f"stratum {number}:" if number < self.n_strata else f"class rules, section {number - self.n_strata}:"
        targets = set()
        for row in steps.batches[section.batch_start : section.batch_stop].tolist():
            batch = Batch(*row)
            targets |= set(steps.segments[batch.segment_start : batch.segment_stop, SEGMENT.target].tolist())
        for node in range(section.node_start, section.node_stop):
            value = plan.n_inputs + 2 + node
            if value not in targets:  # of terms: false to begin with
                yield f"  v{value} = {self._name_node(node)}"
        for row in steps.batches[section.batch_start : section.batch_stop].tolist():
            yield from self._list_terms(Batch(*row))
        if number < self.n_strata:
            for row in sorted(set(plan.heads[int(plan.strata[number]) : int(plan.strata[number + 1])].tolist())):
                yield f"  {self.names[row]} = {self._name_signed(int(steps.values[row]))}"
        for rule in range(section.rule_start, section.rule_stop):
            yield f"  rule {rule} fires: {self._name(self.fires[rule])}"
        for tree in range(section.index_start, min(section.index_stop, len(plan.trees))):
            yield from self._list_index(f"tree {tree}", self.indexes[tree])

    def _name_node(self, node: int) -> str:
        select, high, low = (self._name(operand) for operand in self.plan.steps.nodes[node].tolist())
        kind = int(self.plan.steps.kinds[node])
        if kind == KIND_SELECT:
            return f"{select} ? {high} : {low}"
        return f"{'sum' if kind == KIND_SUM else 'carry'}({select}, {high}, {low})"

    def _list_terms(self, batch: Batch) -> Iterator[str]:
        place, steps = batch.term_start, self.plan.steps
        for row in steps.segments[batch.segment_start : batch.segment_stop].tolist():
            segment, bodies = Segment(*row), []
            for _ in range(segment.n_terms):
                bodies.append(self._name_term(steps.terms[place : place + batch.width].tolist()))
                place += batch.width
            yield f"  v{segment.target} |= {' | '.join(bodies)}"

    def _name_term(self, values: list[int]) -> str:
        false = self.plan.n_inputs
        holds = [self._name(value) for value in values[::2] if value != false + 1]
        fails = [f"not {self._name(value)}" for value in values[1::2] if value != false]
        return " & ".join([*holds, *fails]) or "true"

    def _list_index(self, title: str, index: Index) -> Iterator[str]:
        """The class rule of each number, which is written as its digits, the highest first."""
        planes = self.planes[index.plane_start : index.plane_stop]
        digits = " ".join(self._name(plane) for plane in reversed(planes)) or "no digits"
        codes = self.codes[index.code_start : index.code_stop]
        rules = [f"{code:0{len(planes)}b}={rule}" for code, rule in enumerate(codes) if rule >= 0]
        yield f"  {title}, class rules {index.rule_start} to {index.rule_stop - 1}, number {digits}"
        yield f"    {', '.join(rules) if planes else codes[0]}"

    def _list_decision(self) -> Iterator[str]:
        plan, steps = self.plan, self.plan.steps
        if not plan.n_class_rules:
            return
        default = f"class {plan.default}" if plan.default >= 0 else "none"
        yield f"decision by {'vote' if plan.votes else 'first'}, default {default}:"
        if not plan.votes:
            yield from self._list_index("first rule that fires", self.indexes[-1])
        if len(steps.answers):
            *digits, none = (self._name(value) for value in steps.answers.tolist())
            yield f"  class: number {' '.join(reversed(digits)) or 'no digits'}, none where {none}"
        for row, unit in zip(steps.counters.tolist(), steps.units.tolist(), strict=True):
            counter = Counter(*row)
            planes = self.planes[counter.plane_start : counter.plane_stop]
            number = " + ".join(f"{2**digit} {self._name(plane)}" for digit, plane in enumerate(planes)) or "0"
            yield f"  score {counter.output} += ({number} + {counter.offset}) * {unit!r}"
        if plan.votes:
            yield f"  some class rule fires that is counted or in a tree: {self._name(steps.covered)}"

    def _name(self, value: int) -> str:
        if value < self.plan.n_inputs:
            return self.names[value]
        return {0: "false", 1: "true"}.get(value - self.plan.n_inputs, f"v{value}")

    def _name_signed(self, value: int) -> str:
        name = self._name(strip_negation(value))
        if is_negated(value):
            return {"false": "true", "true": "false"}.get(name, f"not {name}")
        return name
