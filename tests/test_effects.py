"""Effects of forced bits, links and fires against an interpreter that knows no words, levels or flips."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from eric_fast.analyse import list_links, measure_effects
from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, ProgramError
from eric_fast.evaluator import Evaluator
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from tests.examples import try_examples
from tests.make_programs import count_inputs, programs_with_bits
from tests.oracles import interpret


def list_samples(bits):
    return [set(row.nonzero().flatten().tolist()) for row in bits]


def name_bits(program, bits):
    return BitMatrix.from_bools(bits, [program.atoms[atom].name for atom in range(count_inputs(program))])


def force(program, samples, atom, value):
    """What the program answers with one atom true or false: its rules go, or its bit is set."""
    if atom < count_inputs(program):
        samples = [given | {atom} if value else given - {atom} for given in samples]
    else:
        program = replace(
            program,
            kernel_rules=tuple(rule for rule in program.kernel_rules if rule.head != atom),
            negated=tuple({*program.negated} - {atom} | ({atom} if value else set())),
        )
    return np.array([interpret(program, given)[0] for given in samples])


def draw_truth(data, n, lowest, n_classes):
    drawn = data.draw(st.lists(st.integers(lowest, n_classes - 1), min_size=n, max_size=n))
    return torch.tensor(drawn, dtype=torch.int64)


def count(classes, n):
    return np.bincount(np.where(classes < 0, n - 1, classes), minlength=n)


@pytest.mark.slow
@try_examples(60)
@given(programs_with_bits(sizes=(1, 9)), st.data())
def test_forced_bits_are_those_of_the_interpreter(drawn, data):
    program, bits = drawn
    assume(program.decision in ("first", "vote") and program.classes)
    n_classes = len(program.classes)
    model = draw_truth(data, len(bits), 0, n_classes).numpy()
    labels = draw_truth(data, len(bits), -1, n_classes).numpy()
    effects = measure_effects(
        program, name_bits(program, bits), torch.from_numpy(model), torch.from_numpy(labels), engine="reference"
    )
    samples = list_samples(bits)
    now = [interpret(program, given) for given in samples]
    base = np.array([answer for answer, _, _ in now])
    assert effects.atoms.tolist() == list(range(len(program.atoms)))
    assert effects.n_true.tolist() == [sum(atom in true for *_, true in now) for atom in range(len(program.atoms))]
    assert effects.answers_now.tolist() == count(base, n_classes + 1).tolist()
    assert effects.now.fidelity == (base == model).mean()
    for atom in range(len(program.atoms)):
        forced = [force(program, samples, atom, value) for value in (False, True)]
        for value, answers in enumerate(forced):
            assert effects.answers[atom, value].tolist() == count(answers, n_classes + 1).tolist()
            assert effects.changed[atom, value].tolist() == count(base[answers != base], n_classes + 1).tolist()
            assert effects.agrees[atom, value].tolist() == count(model[answers == model], n_classes).tolist()
            assert effects.correct[atom, value].tolist() == count(labels[answers == labels], n_classes).tolist()
        own = np.array([atom in true for *_, true in now])
        flipped = np.where(own, *forced)
        assert effects.n_lost[atom] == ((base == model) & (flipped != model)).sum()
        assert effects.n_gained[atom] == ((base != model) & (flipped == model)).sum()


CHAIN = Program(
    quantiser=Quantiser(tuple(InputAtom(layer, k, ">", 0.5) for layer in "fgh" for k in range(2))),
    classes=("a", "b", "c"),
    class_rules=(ClassRule(0, (4, ~5)), ClassRule(1, (5,))),
    kernel_rules=(Rule(2, (0,)), Rule(3, (0, 1)), Rule(3, (~1,)), Rule(4, (2, 3)), Rule(5, (~3,))),
    negated=(5,),
    default=2,
)
BITS = torch.tensor([[False, False], [False, True], [True, False], [True, True], [True, True], [False, True]])


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_swapped_is_the_mean_over_all_permutations(engine):
    rows = BITS[:5]
    model, labels = torch.tensor([0, 1, 1, 0, 2]), torch.tensor([0, -1, 1, 0, 1])
    effects = measure_effects(CHAIN, name_bits(CHAIN, rows), model, labels, engine=engine)
    base = np.array([interpret(CHAIN, given)[0] for given in list_samples(rows)])
    for atom in range(2):
        agree, right, changed = [], [], []
        for order in permutations(range(len(rows))):
            permuted = rows.clone()
            permuted[:, atom] = rows[list(order), atom]
            answers = np.array([interpret(CHAIN, given)[0] for given in list_samples(permuted)])
            agree.append((answers == model.numpy()).mean())
            right.append((answers == labels.numpy()).sum() / 4)
            changed.append((answers != base).mean())
        swapped = effects.row(atom).when_swapped
        assert swapped.fidelity == pytest.approx(np.mean(agree))
        assert swapped.accuracy == pytest.approx(np.mean(right))
        assert swapped.changed == pytest.approx(np.mean(changed))


def test_starting_higher_takes_bits_as_given():
    names = [atom.name for atom in CHAIN.atoms]
    bits = BitMatrix.from_bools(torch.cat([BITS, BITS.flip(0), BITS.flip(1)], dim=1), names)
    model = torch.tensor([0, 1, 2, 0, 1, 2])
    whole = measure_effects(CHAIN, bits, model, start="g")
    alone = CHAIN.start_at("g")
    part = measure_effects(alone, bits.select_atoms(names[2:]), model)
    assert whole.atoms.tolist() == [2, 3, 4, 5]
    assert (whole.changed == part.changed).all()
    assert (whole.agrees == part.agrees).all()
    assert whole.now.accuracy is None
    assert whole.of_atom(3).name == "g:1"
    with pytest.raises(ProgramError, match="f:1 lies below 'g'"):
        whole.of_atom(1)


def test_chance_is_told_from_effect():
    generator = torch.Generator().manual_seed(0)
    bits = torch.rand(2000, 2, generator=generator) < 0.5
    program = Program(
        quantiser=Quantiser((InputAtom("f", 0, ">", 0.5), InputAtom("f", 1, ">", 0.5))),
        classes=("a", "b"),
        class_rules=(ClassRule(0, (0, 1)), ClassRule(0, (~0, ~1)), ClassRule(1, ())),
    )
    packed = name_bits(program, bits)
    true = (bits[:, 0] != bits[:, 1]).long()
    noisy = torch.where(torch.rand(2000, generator=generator) < 0.2, 1 - true, true)
    assert [effect.atom for effect in measure_effects(program, packed, noisy).list_key()] == [0, 1]
    shuffled = noisy[torch.randperm(2000, generator=generator)]
    assert measure_effects(program, packed, shuffled).list_key() == []


def test_what_has_no_effect_is_refused_or_nothing():
    bits = name_bits(CHAIN, BITS[:0])
    with pytest.raises(CaptureError, match="no images"):
        measure_effects(CHAIN, bits, torch.zeros(0, dtype=torch.int64))
    circuit = replace(CHAIN, classes=(), class_rules=(), default=None, decision="bits", outputs=(("o", 4),))
    with pytest.raises(ProgramError, match="decision is 'bits'"):
        measure_effects(circuit, name_bits(CHAIN, BITS), torch.zeros(6, dtype=torch.int64))
    lone = replace(CHAIN, class_rules=(ClassRule(1, ()),), kernel_rules=(), negated=())
    effects = measure_effects(lone, name_bits(CHAIN, BITS), torch.ones(6, dtype=torch.int64))
    assert effects.changed.sum() == 0
    assert effects.row(4).when_true.fidelity == effects.now.fidelity == 1
    assert effects.row(4).to_dict()["when_true"] == {"fidelity": 1.0, "accuracy": None, "changed": 0.0}


@try_examples(50)
@given(programs_with_bits(sizes=(0, 9), with_sums=True))
def test_fires_and_links_are_those_of_the_interpreter(drawn):
    program, bits = drawn
    program = program.select_start()
    packed = name_bits(program, bits)
    answers = [interpret(program, given) for given in list_samples(bits)]
    rules = range(len(program.class_rules))[::-1]
    fires = Evaluator(program, engine="reference").fires(packed, rules).to_bools().numpy()
    expected = np.array([[rule + 1 in fired for rule in rules] for _, fired, _ in answers], bool)
    assert (fires == expected.reshape(fires.shape)).all()
    if program.decision not in ("first", "vote"):
        return
    links = list_links(program, packed, engine="reference")
    columns = (links.heads, links.atoms, links.n_positive, links.n_negative, links.weights, links.fires)
    expected_links = {}
    heads = [rule.head for rule in program.kernel_rules] + [len(program.atoms) + r.head for r in program.class_rules]

    def count_fires(rule, left_out=None):
        n = 0
        for *_, true in answers:
            holds = [a != left_out and ((a if a >= 0 else ~a) in true) == (a >= 0) for a in rule.body]
            weights = rule.weights or [1] * len(holds)
            n += sum(w for w, hold in zip(weights, holds, strict=True) if hold) >= (rule.bound or len(holds))
        return n

    for head, rule in zip(heads, (*program.kernel_rules, *program.class_rules), strict=True):
        for literal, weight in dict(zip(rule.body, rule.weights or [1] * len(rule.body), strict=True)).items():
            link = expected_links.setdefault((head, max(literal, ~literal)), [0, 0, 0, 0])
            link[literal < 0] += 1
            link[2] += weight
            link[3] += count_fires(rule) - count_fires(rule, literal)  # where the literal is pivotal
    assert {(h, a): figures for h, a, *figures in zip(*(c.tolist() for c in columns), strict=True)} == expected_links


def test_links_lead_up_and_down():
    links = list_links(CHAIN, name_bits(CHAIN, BITS))
    assert links.find_below([4]) == {"f": [0, 1], "g": [2, 3]}
    assert links.find_below([len(CHAIN.atoms) + 1]) == {"f": [0, 1], "g": [3], "h": [5]}
    assert links.find_above([2]) == {"h": [4], "class": [0]}
    assert links.find_above([1]) == {"g": [3], "h": [4, 5], "class": [0, 1]}
    use = links.use_in_classes()
    # h:0 is true on the two images with both bits, where h:1 is too: rule 1 fires on none of them
    fires = Evaluator(CHAIN).fires(name_bits(CHAIN, BITS), [0, 1]).to_bools().double().mean(dim=0)
    assert use[4].tolist() == [fires[0], 0, 0]
    assert use[5].tolist() == [fires[0], fires[1], 0]
    assert links.use_in_kernels()[:2].tolist() == pytest.approx([3 / 6 + 2 / 6, 2 / 6 + 2 / 6])
