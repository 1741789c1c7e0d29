"""Groups of images that may be sub-classes: those that a class rule covers, or on which one vote decides."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.analyse.sets import pack_classes
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.evaluator import NO_RULE, Evaluator

_BLOCK = 4096  # images at a time


class Groups(NamedTuple):
    """Groups of images, sorted by class, the largest first.

    Attributes:
        rules: int64 `[n_groups]`: the class rule of each, an index.
        classes: int64 `[n_groups]`: the class that the program gives to its images.
        n_fires: int64 `[n_groups]`: images on which the rule fires.
        images: the images of each; named `rule 7`, counted from 1, or `rule 7 for dog` where votes decide.
        n_left_out: how many more groups there are.
    """

    rules: NDArray[np.int64]
    classes: NDArray[np.int64]
    n_fires: NDArray[np.int64]
    images: BitMatrix
    n_left_out: int


def list_groups(evaluator: Evaluator, bits: BitMatrix, min_images: int, max_rules: int) -> Groups:
    """List the groups of a program's answers.

    Under `first`, and where rules have several literals, a rule's group is the images on which it fires and the program
    answers with its class. Where each rule is one literal with points for classes, every rule that fires takes part in
    every answer: its group in a class is the images on which it adds most to the lead over the class with the next
    most points.

    Args:
        evaluator: of a program that answers with a class.
        bits: see `Evaluator`.
        min_images: leave out groups of rules that fire on fewer images, or of fewer images where votes decide.
        max_rules: groups of each class at most, those of the most images.
    """
    program = evaluator.program
    n_fires = evaluator.counts(bits)[len(program.kernel_rules) :].numpy()
    answers = evaluator.classes(bits).cpu()
    if program.decision.adds_weights and all(len(rule.body) < 2 for rule in program.class_rules):
        return _list_deciding(evaluator, bits, answers.numpy(), n_fires, min_images, max_rules)
    heads = program.class_arrays.heads.astype(np.int64)
    chosen, n_left_out = _choose(heads, n_fires, min_images, max_rules)
    fires = evaluator.fires(bits, chosen.tolist()).to("cpu")
    of_class = pack_classes(answers, program.classes)
    words = fires.words & of_class.words[torch.from_numpy(heads[chosen])]
    images = BitMatrix(words, bits.n_samples, fires.atoms)
    return Groups(chosen, heads[chosen], n_fires[chosen], images, n_left_out)


def _choose(
    classes: NDArray[np.int64], sizes: NDArray[np.int64], least: int, most: int
) -> tuple[NDArray[np.int64], int]:
    """The places of the largest groups of each class, and how many are left out."""
    order = np.lexsort((-sizes, classes))
    place_in_class = np.arange(len(order)) - np.searchsorted(classes[order], classes[order])
    chosen = order[(sizes[order] >= least) & (place_in_class < most)]
    return chosen, len(order) - len(chosen)


def _list_deciding(
    evaluator: Evaluator,
    bits: BitMatrix,
    answers: NDArray[np.int32],
    n_fires: NDArray[np.int64],
    min_images: int,
    max_rules: int,
) -> Groups:
    names = evaluator.program.classes
    deciding = _find_deciding(evaluator, bits, answers)
    pairs, group_of_image, sizes = np.unique(
        np.stack([answers, deciding], axis=1)[deciding != NO_RULE], axis=0, return_inverse=True, return_counts=True
    )
    pairs = pairs.reshape(-1, 2).astype(np.int64)
    chosen, n_left_out = _choose(pairs[:, 0], sizes, min_images, max_rules)
    group = np.full(len(answers), -1)
    group[deciding != NO_RULE] = group_of_image.ravel()
    classes, rules = pairs[chosen].T
    words = pack_bits(torch.from_numpy(group)[:, None] == torch.from_numpy(chosen))
    titles = tuple(f"rule {rule + 1} for {names[c]}" for rule, c in zip(rules.tolist(), classes.tolist(), strict=True))
    return Groups(rules, classes, n_fires[rules], BitMatrix(words, bits.n_samples, titles), n_left_out)


def _find_deciding(evaluator: Evaluator, bits: BitMatrix, answers: NDArray[np.int32]) -> NDArray[np.int64]:
    """The rule that adds most to the answer's lead on each image, int64 `[n_images]`; the first of those of one body.

    `NO_RULE` where none adds to it.
    """
    rules = evaluator.program.class_rules
    firsts: dict[int, int] = {}
    for number, rule in enumerate(rules):
        if rule.body:
            firsts.setdefault(rule.body[0], number)
    place_of = {literal: place for place, literal in enumerate(firsts)}
    points = np.zeros((len(firsts), len(evaluator.program.classes)))
    for rule in rules:
        for output, weight in rule.votes if rule.body else ():
            points[place_of[rule.body[0]], output] += weight
    numbers = np.array(list(firsts.values()), np.int64)
    deciding = np.full(len(answers), NO_RULE, np.int64)
    if not len(numbers):
        return deciding
    scores = evaluator.scores(bits).cpu().numpy().copy()
    scores[np.arange(len(answers)), answers] = -np.inf
    rivals = scores.argmax(axis=1)
    fires = evaluator.fires(bits, numbers.tolist()).to("cpu").to_bools().numpy()
    for first in range(0, len(answers), _BLOCK):
        part = slice(first, first + _BLOCK)
        leads = (points[:, answers[part]] - points[:, rivals[part]]).T
        leads[~fires[part] | (leads <= 0)] = -np.inf
        found = numbers[leads.argmax(axis=1)]
        deciding[part] = np.where(leads.max(axis=1) > 0, found, NO_RULE)
    return deciding
