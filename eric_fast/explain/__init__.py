"""Explain why a program gives an image its class: a proof, and what would have to change for another class."""

from eric_fast.explain.check import ProofError, check_proof, find_fault
from eric_fast.explain.content import to_dict
from eric_fast.explain.counterfactual import Counterfactual, find_counterfactuals
from eric_fast.explain.explanation import Explanation, explain_image
from eric_fast.explain.proof import Blocked, Proof, Step, prove_answers

__all__ = [
    "Blocked",
    "Counterfactual",
    "Explanation",
    "Proof",
    "ProofError",
    "Step",
    "check_proof",
    "explain_image",
    "find_counterfactuals",
    "find_fault",
    "prove_answers",
    "to_dict",
]
