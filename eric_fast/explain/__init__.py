"""Explain: why a program gives an image its class, proved, drawn, and with what would have to change."""

from eric_fast.explain.check import ProofError, check_proof, find_fault
from eric_fast.explain.content import to_dict
from eric_fast.explain.counterfactual import Counterfactual, find_counterfactuals
from eric_fast.explain.explanation import Explanation, explain_image
from eric_fast.explain.plot import draw_explanation, save_explanation
from eric_fast.explain.proof import Proof, Step, prove_answers
from eric_fast.explain.text import render_explanation

__all__ = [
    "Counterfactual",
    "Explanation",
    "Proof",
    "ProofError",
    "Step",
    "check_proof",
    "draw_explanation",
    "explain_image",
    "find_counterfactuals",
    "find_fault",
    "prove_answers",
    "render_explanation",
    "save_explanation",
    "to_dict",
]
