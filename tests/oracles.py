"""Two independent answers to what a program means: an interpreter of a few lines, and clingo."""

import clingo

from eric_fast.program import Program, Rule
from eric_fast.program.printers.names import name_predicates, quote
from eric_fast.text import print_program


def interpret(program: Program, given: set[int]) -> tuple[int, list[int], set[int]]:
    """Class index or -1, the numbers of the class rules that fire, and the true atoms; `given` are the true inputs."""

    given_start = program.starts.index(program.graph.lowest) if program.starts else 0
    n_inputs = program.n_given

    def holds(atom: int) -> bool:
        if atom < n_inputs:
            return atom in given
        some_rule_fires = any(rule.head == atom and fires(rule) for rule in program.kernel_rules)
        return some_rule_fires != (atom in program.negated)

    def fires(rule: Rule) -> bool:
        truth = [holds(literal) if literal >= 0 else not holds(~literal) for literal in rule.body]
        if not rule.bound:
            return all(truth)
        return sum(weight for weight, true in zip(rule.weights, truth, strict=True) if true) >= rule.bound

    fired = [
        number
        for number, rule in enumerate(program.class_rules, 1)
        if rule.start in (None, given_start) and fires(rule)
    ]
    base = program.start_bases[given_start] if program.start_bases else program.base
    sums = dict(enumerate(base)) or dict.fromkeys(range(len(program.classes)), 0)
    for rule in (program.class_rules[number - 1] for number in fired):
        for output, weight in ((rule.head, rule.weight), *rule.also):
            sums[output] += weight
    if not fired:
        answer = -1 if program.default is None else program.default
    elif program.decision == "first":
        answer = program.class_rules[fired[0] - 1].head
    else:
        answer = max(sums, key=lambda output: (sums[output], -output))
    return answer, fired, {atom for atom in range(len(program.atoms)) if holds(atom)}


def run_clingo(program: Program, samples: list[set[int]]) -> list[tuple[set[str], list[int], set[int]]]:
    """For each sample (the indices of its true inputs) what `interpret` gives; the class is a set of names.

    Fails where clingo has anything to say about the text, or finds more or fewer than one model.
    """
    predicates = name_predicates(program)
    facts = [f'image("{i}").' for i in range(len(samples))]
    facts += [f'{predicates[atom]}("{i}").' for i, given in enumerate(samples) for atom in given]
    messages: list[str] = []
    control = clingo.Control(["0"], logger=lambda code, text: messages.append(text))
    control.add("base", [], print_program(program) + "\n".join(facts))
    control.ground([("base", [])])
    models = []
    control.solve(on_model=lambda model: models.append(model.symbols(atoms=True)))
    assert not messages, messages
    assert len(models) == 1
    answers: list[tuple[set[str], list[int], set[int]]] = [(set(), [], set()) for _ in samples]
    name_of = {quote(name): name for name in program.classes}
    atom_of = {name: atom for atom, name in enumerate(predicates)}
    for symbol in models[0]:
        if symbol.name == "class":
            answers[int(symbol.arguments[0].string)][0].add(name_of[str(symbol.arguments[1])])
        elif symbol.name == "fires":
            answers[int(symbol.arguments[0].string)][1].append(symbol.arguments[1].number)
        elif symbol.name in atom_of:
            answers[int(symbol.arguments[0].string)][2].add(atom_of[symbol.name])
    return [(classes, sorted(fired), true) for classes, fired, true in answers]
