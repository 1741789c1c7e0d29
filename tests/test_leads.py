"""Effects of bits under votes: images that are too far ahead are left out, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eric_fast.analyse import effects
from eric_fast.analyse.leads import measure_leads
from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser

N, N_ATOMS, CLASSES = 2500, 12, ("a", "b", "c", "d", "e")
ATOMS = tuple(InputAtom("f", k, ">", 0.5) for k in range(N_ATOMS))


def make_votes(kind):
    rng = np.random.default_rng(3)
    rules = []
    for number in range(20):
        body = tuple(int(atom) if rng.random() < 0.5 else ~int(atom) for atom in rng.choice(N_ATOMS, 2, replace=False))
        (head, weight), *also = [(c, int(w)) for c, w in enumerate(rng.integers(-9, 10, len(CLASSES))) if w]
        rules.append(ClassRule(head, body if number % 2 else body[:1], weight=weight, also=tuple(also)))
    votes = Program(Quantiser(ATOMS), CLASSES, tuple(rules), decision="vote", base=(3, 0, 0, 0, 1))
    if kind == "silent":  # often no rule fires, or one whose flip leaves none
        rules = [ClassRule(k % 5, (k,), weight=20 + k) for k in range(9)]
        return replace(votes, class_rules=tuple(rules), base=(), default=4)
    if kind == "chain":
        above = tuple(InputAtom("g", k, ">", 0.5) for k in range(6))
        kernel_rules = tuple(Rule(N_ATOMS + k, (2 * k, ~(2 * k + 1))) for k in range(6))
        rules = [ClassRule(c, (N_ATOMS + k,), weight=1 + k) for k in range(6) for c in range(5) if k >> (c % 3) & 1]
        return replace(
            votes, quantiser=Quantiser((*ATOMS, *above)), class_rules=tuple(rules), kernel_rules=kernel_rules
        )
    return votes


@pytest.mark.parametrize("kind", ["rows", "silent", "chain"])
def test_effects_are_those_of_all_images(kind, monkeypatch):
    program, generator = make_votes(kind), torch.Generator().manual_seed(1)
    names = [atom.name for atom in ATOMS]
    bits = BitMatrix.from_bools(torch.rand(N, N_ATOMS, generator=generator) < 0.4, names)
    model, labels = (torch.randint(5, (N,), generator=generator) for _ in range(2))
    leads = measure_leads(Evaluator(program), bits)
    near = [leads.count_near(atom) for atom in range(N_ATOMS)]
    assert min(near) < N
    found = effects.measure_effects(program, bits, model, labels)
    monkeypatch.setattr(effects, "measure_leads", lambda *_: None)
    whole = effects.measure_effects(program, bits, model, labels)
    assert found.changed.any()
    for name, value in vars(whole).items():
        assert value is program or np.array_equal(value, getattr(found, name)), name


def test_weights_that_are_not_whole_leave_no_image_out():
    program = make_votes("rows")
    (first, *others) = program.class_rules
    rules = (replace(first, weight=0.5), *others)
    bits = BitMatrix.from_bools(torch.zeros(3, N_ATOMS, dtype=torch.bool), [atom.name for atom in ATOMS])
    assert measure_leads(Evaluator(replace(program, class_rules=rules)), bits) is None
    first_fires = replace(program, class_rules=(ClassRule(0, (0,)),), decision="first", base=())
    assert measure_leads(Evaluator(first_fires), bits) is None
