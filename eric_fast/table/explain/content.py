"""An explanation of a row as plain values, for JSON."""

from typing import Any

from eric_fast.errors import say_count
from eric_fast.explain.proof import Proof
from eric_fast.program import Program, atom_of
from eric_fast.table.explain.changes import RowCounterfactual
from eric_fast.table.explain.conditions import RowCondition
from eric_fast.table.explain.explain_row import FiredRule, RowExplanation

CONTRIBUTIONS_MEAN = (
    "Shapley values: what each column's value adds to the sums, before the link function, averaged over the background "
    "rows and over all orders in which the row's values replace theirs; with start they add up to sums"
)


def describe_row_explanation(explanation: RowExplanation) -> dict[str, Any]:
    """Build what `--json` writes, with rules numbered from 1 as in the program's text."""
    program = explanation.program
    answer = explanation.answer
    return {
        "row": explanation.row,
        "model": explanation.model.source,
        "values": dict(explanation.values),
        "answer": answer.tolist() if hasattr(answer, "tolist") else answer,
        "probabilities": {str(label): share for label, share in explanation.shares.items()},
        "decision": program.decision,
        "fired": [_describe_fired(program, one) for one in explanation.fired],
        "proof": None if explanation.proof is None else _describe_proof(program, explanation.proof),
        "contributions": _describe_contributions(explanation),
        "counterfactuals": [_describe_changes(program, one) for one in explanation.counterfactuals],
        "reaches": [one._asdict() for one in explanation.reaches],
        "ranges": "the constants of the program"
        if explanation.n_seen is None
        else f"the values of {say_count(explanation.n_seen, 'row')}",
    }


def _name_literal(program: Program, literal: int) -> dict[str, Any]:
    return {"atom": program.atoms[atom_of(literal)].name, "negated": literal < 0}


def _describe_condition(condition: RowCondition) -> dict[str, Any]:
    return condition._asdict()


def _describe_fired(program: Program, one: FiredRule) -> dict[str, Any]:
    rule = one.rule
    content = {
        "rule": one.number,
        "class": program.classes[rule.head],
        "conditions": list(map(_describe_condition, one.conditions)),
        "derived": [_name_literal(program, literal) for literal in one.derived],
        "covered": rule.covered,
        "correct": rule.correct,
        "confidence": rule.confidence,
    }
    if program.decision.adds_weights:
        content["adds"] = {program.classes[c]: weight for c, weight in rule.votes}
    return content


def _describe_proof(program: Program, proof: Proof) -> dict[str, Any]:
    steps = [
        {
            "atom": program.atoms[atom].name,
            "true": step.is_true,
            "literals": [_name_literal(program, literal) for literal in step.literals],
            "blocked": [[_name_literal(program, literal) for literal in one.literals] for one in step.blocked],
        }
        for atom, step in proof.steps.items()
    ]
    blocked = [
        {"rule": number + 1, "literals": [_name_literal(program, literal) for literal in literals]}
        for number, literals in proof.blocked
    ]
    return {"fired": [number + 1 for number in proof.fired], "blocked": blocked, "steps": steps}


def _describe_contributions(explanation: RowExplanation) -> dict[str, Any] | None:
    found, program = explanation.contributions, explanation.program
    if found is None:
        return None
    names = [program.table_quantiser.columns[column].name for column in found.columns]
    return {
        "meaning": CONTRIBUTIONS_MEAN,
        "n_background": found.n_background,
        "start": dict(zip(program.classes, found.start.tolist(), strict=True)),
        "columns": {
            name: dict(zip(program.classes, row, strict=True))
            for name, row in zip(names, found.values.tolist(), strict=True)
        },
        "sums": dict(zip(program.classes, found.sums.tolist(), strict=True)),
    }


def _describe_changes(program: Program, one: RowCounterfactual) -> dict[str, Any]:
    return {
        "class": program.classes[one.target],
        "changes": None if one.changes is None else [change._asdict() for change in one.changes],
        "is_least": one.is_least,
        "n_least": one.n_least,
    }
