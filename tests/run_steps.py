"""An interpreter of `Steps`, a value at a time: what compiling gave, apart from any engine."""

import numpy as np
import torch

from eric_fast.compile.program import compile_program
from eric_fast.kernels.reference import evaluate as reference


def run_values(plan, bits):
    """bool `[n_values, n_samples]` from bool `[n_samples, n_inputs]`."""
    steps = plan.steps
    values = np.zeros((plan.n_inputs + 2 + len(steps.nodes), len(bits)), bool)
    values[: plan.n_inputs], values[plan.n_inputs + 1] = bits.T, True
    nodes, terms, segments = steps.nodes.numpy(), steps.terms.numpy(), steps.segments.tolist()
    for first, last, first_batch, last_batch, *_ in steps.sections.tolist():
        for node in range(first, last):
            target = plan.n_inputs + 2 + node
            assert max(nodes[node]) < target
            select, high, low = nodes[node]
            values[target] = np.where(values[select], values[high], values[low])
        for width, first_segment, last_segment, place in steps.batches[first_batch:last_batch].tolist():
            for target, n_terms in segments[first_segment:last_segment]:
                for _ in range(n_terms):
                    pairs = terms[place : place + width].reshape(-1, 2)
                    values[target] |= (values[pairs[:, 0]] & ~values[pairs[:, 1]]).all(axis=0)
                    place += width
    return values


def read_number(values, planes):
    """int64 `[n_samples]` from its digits, the lowest first."""
    number = np.zeros(values.shape[1], np.int64)
    for digit, plane in enumerate(planes):
        number += values[plane].astype(np.int64) << digit
    return number


def check_steps(program, bits):
    """That the values of a plan's steps are what they should be; gives the plan.

    bits: bool `[n_samples, n_inputs]`.
    """
    plan = compile_program(program)
    steps, values = plan.steps, run_values(plan, bits.numpy())
    truth = reference._derive_rows(plan, bits)
    for row, value in enumerate(steps.values.tolist()):
        assert np.array_equal(values[value] if value >= 0 else ~values[~value], truth[:, row])
    fires = reference.fire_rules(plan, plan.n_kernel_rules, plan.n_rules, truth).numpy()
    in_tree = np.zeros(plan.n_class_rules, bool)
    for first, last in plan.trees.tolist():
        in_tree[first:last] = True
        assert fires[:, first:last].sum(axis=1).max(initial=0) <= 1
    for rule, value in enumerate(steps.fires.tolist()):
        assert (value < 0) == in_tree[rule]
        assert value < 0 or np.array_equal(values[value], fires[:, rule])
    for first_plane, last_plane, first_code, last_code, first, last in steps.indexes.tolist():
        assert last_code - first_code == 1 << (last_plane - first_plane)
        found = steps.codes.numpy()[first_code + read_number(values, steps.planes[first_plane:last_plane])]
        of_index = np.pad(fires[:, first:last], ((0, 0), (0, 1)))
        assert np.array_equal(found, np.where(of_index.any(axis=1), first + of_index.argmax(axis=1), -1))
    classes, _, scores = reference.decide(plan, torch.from_numpy(fires), True)
    if len(steps.answers):
        *digits, none = steps.answers.tolist()
        assert np.array_equal(np.where(values[none], -1, read_number(values, digits)), classes)
    if plan.votes:
        covered = values[steps.covered] | fires[:, (~in_tree & ~steps.is_counted.numpy())].any(axis=1)
        assert np.array_equal(covered, fires.any(axis=1))
        check_sums(plan, values, fires, scores.numpy())
    return plan


def check_sums(plan, values, fires, scores):
    """What isn't counted is added in the order of the rules, what is counted comes last: the same to the bit."""
    steps = plan.steps
    sums = np.tile(plan.base.numpy(), (len(scores), 1))
    offsets = plan.vote_offsets.tolist()
    for rule in np.flatnonzero(~steps.is_counted.numpy()):
        for vote in range(offsets[rule], offsets[rule + 1]):
            sums[:, plan.vote_classes[vote]] += fires[:, rule] * float(plan.vote_weights[vote])
    for (output, first, last, offset), unit in zip(steps.counters.tolist(), steps.units.tolist(), strict=True):
        sums[:, output] += (read_number(values, steps.planes[first:last]) + offset) * unit
    assert np.array_equal(sums, scores)
