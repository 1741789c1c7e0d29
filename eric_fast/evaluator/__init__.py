"""A compiled program that answers by the program's own names, and whether a capture fits a program."""

from eric_fast.evaluator.evaluator import Evaluator
from eric_fast.evaluator.predictions import NO_RULE, Predictions

__all__ = ["NO_RULE", "Evaluator", "Predictions"]
