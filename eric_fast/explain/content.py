"""An explanation as plain values, for JSON."""

from collections.abc import Sequence
from typing import Any

from eric_fast.evaluator import NO_RULE
from eric_fast.explain.counterfactual import Counterfactual
from eric_fast.explain.explanation import Explanation
from eric_fast.explain.proof import Step
from eric_fast.explain.votes import Rivalry, find_rivalry
from eric_fast.program import Program, atom_of
from eric_fast.program.atoms import InputAtom
from eric_fast.program.confidence import find_least_confidence
from eric_fast.program.rules import Rule
from eric_fast.store.activations import UNKNOWN


def to_dict(explanation: Explanation) -> dict[str, Any]:
    """Build what `--json` writes, with names of classes and kernels, and rules numbered from 1 as in the text."""
    program, proof = explanation.program, explanation.proof
    return {
        "image": explanation.image,
        "label": name_class(program, explanation.label),
        "model": program.classes[explanation.model_class],
        "program": name_class(program, proof.answer),
        "agree": proof.answer == explanation.model_class,
        "decision": program.decision,
        "start_layer": proof.start,
        "norm": program.network_quantiser.norm,
        "fired": [
            {**_describe_class_rule(program, number), "literals": _name_all(program, literals)}
            for number, literals in zip(proof.fired, proof.literals, strict=True)
        ],
        "blocked": [
            {
                "rule": number + 1,
                "class": program.classes[program.class_rules[number].head],
                "literals": _name_all(program, literals),
            }
            for number, literals in proof.blocked
        ],
        "votes": _describe_rivalry(find_rivalry(program, proof), program),
        "steps": [_describe_step(explanation, atom, step) for atom, step in proof.steps.items()],
        "flip_layer": explanation.flip_layer,
        "counterfactuals": [_describe_flips(explanation, one) for one in explanation.counterfactuals],
        "note": explanation.note,
    }


def name_class(program: Program, number: int) -> str | None:
    """Name a class; None for `UNKNOWN` and `NO_RULE`."""
    return None if number in (UNKNOWN, NO_RULE) else program.classes[number]


def describe_atom(program: Program, atom: int) -> dict[str, Any]:
    """Describe an atom: its name, its label (or None), and what it compares."""
    found = program.atoms[atom]
    content: dict[str, Any] = {"atom": found.name, "label": program.label_of_atom.get(atom)}
    if isinstance(found, InputAtom):
        content |= {"operator": found.operator, "threshold": found.constant}
    return content


def _name(program: Program, literal: int) -> dict[str, Any]:
    return {"atom": program.atoms[atom_of(literal)].name, "negated": literal < 0}


def _name_all(program: Program, literals: Sequence[int]) -> list[dict[str, Any]]:
    return [_name(program, literal) for literal in literals]


def _describe_rule(program: Program, rule: Rule) -> dict[str, Any]:
    body = _name_all(program, rule.body)
    content: dict[str, Any] = {"body": body}
    if rule.bound:
        content["body"] = [{**name, "weight": weight} for name, weight in zip(body, rule.weights, strict=True)]
        content["bound"] = rule.bound
    sure = {"confidence": rule.confidence, "least_confidence": find_least_confidence(rule)}
    return {**content, "covered": rule.covered, "correct": rule.correct, **sure}


def _describe_class_rule(program: Program, number: int) -> dict[str, Any]:
    rule = program.class_rules[number]
    content = {"rule": number + 1, "class": program.classes[rule.head], **_describe_rule(program, rule)}
    if program.decision.adds_weights:
        content["adds"] = {program.classes[c]: weight for c, weight in rule.votes}
    return content


def _describe_rivalry(rivalry: Rivalry | None, program: Program) -> dict[str, Any] | None:
    if rivalry is None:
        return None
    points = dict(zip((program.classes[c] for c in (rivalry.winner, rivalry.rival)), rivalry.points, strict=True))
    leads = [{"atom": None if atom is None else program.atoms[atom].name, "lead": lead} for atom, lead in rivalry.leads]
    return {"points": points, "start": rivalry.start, "leads": leads}


def _describe_step(explanation: Explanation, atom: int, step: Step) -> dict[str, Any]:
    program = explanation.program
    content = describe_atom(program, atom)
    content |= {"true": step.is_true, "norm": explanation.norms.get(atom), "model": explanation.model_bits.get(atom)}
    rules = program.kernel_rules
    if atom in program.list_given(explanation.proof.start):
        return {**content, "because": "given"}
    if step.rule is not None:
        reached = {"literals": _name_all(program, step.literals)}
        return {**content, "because": "rule", "rule": {**_describe_rule(program, rules[step.rule]), **reached}}
    failing = [
        {**_describe_rule(program, rules[n]), "fails": _name_all(program, literals)} for n, literals in step.blocked
    ]
    return {**content, "because": "no rule", "rules": failing}


def _describe_flips(explanation: Explanation, one: Counterfactual) -> dict[str, Any]:
    program = explanation.program
    flips = None
    if one.flips is not None:
        flips = [
            {**describe_atom(program, atom), "norm": explanation.norms.get(atom), "to": not explanation.top_bits[atom]}
            for atom in one.flips
        ]
    return {
        "class": program.classes[one.target],
        "n_flips": None if one.flips is None else len(one.flips),
        "flips": flips,
        "is_least": one.is_least,
        "n_least": one.n_least,
        "rule": None if one.rule is None else one.rule + 1,
    }
