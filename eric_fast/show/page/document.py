"""The report's data: one JSON document that the page reads; `client/data.js` is its other end.

Numbers by the thousand are base64 of little-endian int32 or float32 (`pack_ints`, `pack_floats`). Literals, atoms and
rules are indices into the reported program: an atom, or its complement where it is negated.
"""

import base64
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eric_fast.bits import BitMatrix, encode_rows
from eric_fast.errors import ProgramError
from eric_fast.evaluator import NO_RULE, Predictions
from eric_fast.program import Program, Rule
from eric_fast.program.atoms import InputAtom
from eric_fast.program.confidence import find_least_confidence
from eric_fast.program.layer_graph import name_start
from eric_fast.program.rules import count_offsets
from eric_fast.score import Score
from eric_fast.store.activations import UNKNOWN, Activations
from eric_fast.version import __version__

_FORMAT = 1


def list_starts(program: Program) -> list[str]:
    """What the program can start from, lowest first: no rule that stays mentions a layer below."""
    starts = []
    for start in program.list_starts():
        try:
            program.start_at(start)
        except ProgramError:
            continue
        starts.append(start)
    return starts


def pick_start(program: Program) -> str | None:
    """The start that a report is about if none is asked for: the highest with class rules of its own, or else None."""
    return name_start(max(program.starts, key=lambda cut: program.layers.index(cut[-1]))) if program.starts else None


def make_program_document(program: Program, file: str) -> dict[str, Any]:
    """The program as the page evaluates and shows it; kernel rules come in an order in which they can be evaluated."""
    order = {head: i for i, head in enumerate(chain.from_iterable(program.strata))}
    kernel_rules = sorted(program.kernel_rules, key=lambda rule: order[rule.head])
    rules = program.class_arrays
    return {
        "file": file,
        "decision": program.decision,
        "default": NO_RULE if program.default is None else program.default,
        "base": program.full_base,
        "classes": program.classes,
        "nTraining": program.n_images,
        "settings": program.settings,
        "fingerprint": program.fingerprint,
        "nLiterals": program.n_literals,
        "layers": [
            {"name": layer, "first": rows.start, "n": rows.stop - rows.start}
            for layer, rows in program.quantiser.rows_of_layer.items()
        ],
        "atoms": [atom.name for atom in program.atoms],
        "thresholds": [atom.constant if isinstance(atom, InputAtom) else None for atom in program.atoms],
        "operators": [atom.operator if isinstance(atom, InputAtom) else "" for atom in program.atoms],
        "labels": {str(atom): label for atom, label in program.labels},
        "negated": program.negated,
        "classRules": {
            **_describe_rules(program.class_rules),
            "votes": pack_ints(rules.vote_offsets),
            "voteClasses": pack_ints(rules.vote_classes),
            "voteWeights": rules.vote_weights.tolist() if program.decision.adds_weights else [],
        },
        "kernelRules": _describe_rules(kernel_rules),
    }


def _describe_rules(rules: Sequence[Rule]) -> dict[str, Any]:
    return {
        "heads": pack_ints([rule.head for rule in rules]),
        "offsets": pack_ints(count_offsets([len(rule.body) for rule in rules])),
        "literals": pack_ints(list(chain.from_iterable(rule.body for rule in rules))),
        **_describe_sums(rules),
        "covered": pack_ints([-1 if rule.covered is None else rule.covered for rule in rules]),
        "correct": pack_ints([-1 if rule.correct is None else rule.correct for rule in rules]),
        "confidence": _list_shares([rule.confidence for rule in rules]),
        "leastConfidence": _list_shares([find_least_confidence(rule) for rule in rules]),
    }


def _list_shares(shares: Iterable[float | None]) -> list[float | None]:
    return [None if share is None else round(share, 4) for share in shares]


def _describe_sums(rules: Sequence[Rule]) -> dict[str, str]:
    """Weights of literals and bounds of rules, 0 in conjunctions; empty if there are no others."""
    if not any(rule.bound for rule in rules):
        return {"weights": "", "bounds": ""}
    weights = (weight for rule in rules for weight in rule.weights or [0] * len(rule.body))
    return {"weights": pack_ints(weights), "bounds": pack_ints([rule.bound for rule in rules])}


def describe_start(
    program: Program, score: Score, predictions: Predictions, activations: Activations, embedded: Tensor
) -> dict[str, Any]:
    """What is known of one start: its score on all images, what each rule decided, answers on embedded images.

    `given` are the numbers of its layers, `layers` those and all that follow from them.
    """
    n_rules = score_rules(predictions, activations)
    return {
        **score.to_dict(),
        "given": [program.layers.index(layer) for layer in program.graph.find_start(score.start_layer)],
        "layers": sorted(program.layers.index(layer) for layer in program.layers_from(score.start_layer)),
        "ruleDecided": pack_ints(n_rules[0]),
        "ruleAgrees": pack_ints(n_rules[1]),
        "ruleCorrect": pack_ints(n_rules[2]),
        "answers": pack_ints(predictions.classes[embedded].numpy()),
        "rules": pack_ints(predictions.rules[embedded].numpy()),
    }


def score_rules(predictions: Predictions, activations: Activations) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Images that each class rule decides, agrees with the model on, and is right on: int64 `[3, n]`.

    A column for each class rule, up to the last that decides.
    """
    decided = predictions.rules != NO_RULE
    rules = predictions.rules[decided].long()
    agrees = (predictions.classes == activations.predictions)[decided]
    correct = ((predictions.classes == activations.labels) & (activations.labels != UNKNOWN))[decided]
    n = int(rules.max()) + 1 if len(rules) else 0
    counts = [torch.bincount(each, minlength=n).numpy() for each in (rules, rules[agrees], rules[correct])]
    return np.stack(counts)


def describe_images(activations: Activations, embedded: Tensor, bits: BitMatrix) -> dict[str, Any]:
    """The embedded images; `bits` are of all images."""
    rows = BitMatrix.from_bools(bits.to_bools()[embedded], bits.atoms)
    return {
        "nAll": activations.n_images,
        "places": pack_ints(embedded.numpy()),
        "ids": [activations.ids[i] for i in embedded.tolist()],
        "labels": pack_ints(activations.labels[embedded].numpy()),
        "predictions": pack_ints(activations.predictions[embedded].numpy()),
        "bits": base64.b64encode(encode_rows(rows.words, rows.n_samples)).decode("ascii"),
    }


def describe_origin(activations: Activations) -> dict[str, Any]:
    """Where the images' norms come from."""
    settings = activations.settings
    return {
        "version": __version__,
        "model": settings.model,
        "data": settings.data,
        "norm": settings.norm,
        "preprocessing": settings.preprocessing,
        "fingerprint": settings.fingerprint,
    }


def pack_ints(values: Iterable[int] | np.ndarray[Any, Any]) -> str:
    """Base64 of little-endian int32."""
    array = values if isinstance(values, np.ndarray) else np.array(list(values), np.int64)
    return base64.b64encode(array.astype("<i4").tobytes()).decode("ascii")


def pack_floats(values: Iterable[float] | np.ndarray[Any, Any]) -> str:
    """Base64 of little-endian float32; None and NaN both come back as NaN."""
    array = values if isinstance(values, np.ndarray) else np.array(list(values), np.float64)
    return base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")
