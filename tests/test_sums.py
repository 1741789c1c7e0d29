"""Weight bodies on every engine, at the edges of weights and bounds."""

import random

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from eric_fast.compile.program import compile_program
from eric_fast.kernels import Request
from eric_fast.kernels.cpu import evaluate as cpu
from eric_fast.kernels.cpu import lower as cpu_lower
from eric_fast.kernels.gpu import evaluate as gpu
from eric_fast.kernels.gpu import lower as gpu_lower
from eric_fast.kernels.liveness import find_result_kinds
from eric_fast.plan.steps import KIND_SELECT, KIND_SUM
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from tests.engines import DEVICE, check_program, check_steps_mean_rules, needs_triton

MOST = 2**31 - 1  # of a sum
SIZES = (0, 1, 31, 32, 33, 63, 1000)


@st.composite
def bodies(draw: st.DrawFn, n_atoms: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Literals, perhaps both signs of an atom, with weights and a bound at the edges."""
    literals = [sign for atom in range(n_atoms) for sign in (atom, ~atom)]
    body = draw(st.lists(st.sampled_from(literals), unique=True, min_size=1, max_size=8))
    bound = draw(st.sampled_from((1, 2, 3, 7, 8, 2**20, MOST // 2, MOST)))
    weights = []
    for left in range(len(body), 0, -1):
        most = min(bound, MOST - sum(weights) - (left - 1))
        weights.append(draw(st.sampled_from(sorted({1, max(1, most // 3), most}))))
    total = sum(weights)
    return tuple(body), tuple(weights), draw(st.sampled_from(sorted({1, min(bound, total), total})))


@st.composite
def sum_programs(draw: st.DrawFn) -> Program:
    """Kernels and classes by sums, over two layers."""
    kernel_rules = []
    for head in range(4, 7):
        for body, weights, bound in draw(st.lists(bodies(4), max_size=2)):
            kernel_rules.append(Rule(head, body, weights=weights, bound=bound))
    class_rules = []
    for number, (body, weights, bound) in enumerate(draw(st.lists(bodies(7), min_size=1, max_size=4))):
        points = draw(st.sampled_from((1, -2, 3, 0.5)))
        class_rules.append(ClassRule(number % 2, body, weight=points, weights=weights, bound=bound))
    atoms = [InputAtom(layer, k, ">", 0.0) for layer, n in (("f", 4), ("g", 3)) for k in range(n)]
    return Program(
        Quantiser(tuple(atoms)),
        ("x", "y"),
        tuple(class_rules),
        tuple(kernel_rules),
        negated=draw(st.sampled_from(((), (5,)))),
        decision=draw(st.sampled_from((Decision.FIRST, Decision.VOTE))),
    )


def draw_bits(n_samples: int, n_inputs: int) -> torch.Tensor:
    return torch.rand(n_samples, n_inputs, generator=torch.Generator().manual_seed(n_samples)) < 0.5


@hypothesis_settings(max_examples=30)
@given(sum_programs(), st.sampled_from(SIZES))
def test_sums_mean_what_their_weights_do(program: Program, n_samples: int) -> None:
    bits = draw_bits(n_samples, 4)
    check_steps_mean_rules(program, bits)
    check_program(cpu.evaluate, program, bits)


@pytest.fixture
def few_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight workers where the interpreter stands in for a GPU: less to interpret."""
    if DEVICE == "cpu":
        monkeypatch.setattr(gpu_lower, "N_WORKERS", 8)


@needs_triton
@pytest.mark.usefixtures("few_workers")
@hypothesis_settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sum_programs(), st.sampled_from(SIZES[:-1]))
def test_sums_on_the_gpu(program: Program, n_samples: int) -> None:
    check_program(gpu.evaluate, program, draw_bits(n_samples, 4), DEVICE)


def make_layers(seed: int, widths: tuple[int, ...], n_literals: int) -> Program:
    """A network of weight rules, a rule for each kernel, and a vote for each kernel of the last layer."""
    lot = random.Random(seed)
    atoms = [InputAtom(str(layer), k, ">", 0.0) for layer, width in enumerate(widths) for k in range(width)]
    rules, below = [], range(widths[0])
    for width in widths[1:]:
        for head in range(below.stop, below.stop + width):
            body = tuple(lot.choice((atom, ~atom)) for atom in lot.sample(below, n_literals))
            weights = tuple(lot.randint(1, 7) for _ in body)
            rules.append(Rule(head, body, weights=weights, bound=lot.randint(1, sum(weights))))
        below = range(below.stop, below.stop + width)
    votes = [ClassRule(atom % 3, (atom,), weight=lot.choice((-3, 1, 2))) for atom in below]
    return Program(Quantiser(tuple(atoms)), ("x", "y", "z"), tuple(votes), tuple(rules), decision=Decision.VOTE)


@pytest.mark.parametrize("n_samples", SIZES)
def test_a_network_of_sums(n_samples: int) -> None:
    program = make_layers(n_samples, (20, 16, 12, 5), 12)
    check_steps_mean_rules(program, draw_bits(n_samples, 20))
    check_program(cpu.evaluate, program, draw_bits(n_samples, 20))


@pytest.mark.parametrize(("n_literals", "n_pairs"), [(7, 1), (40, 4)])
def test_chains_of_adders_run_in_pairs(n_literals: int, n_pairs: int) -> None:
    """Also where a sum takes several chains of the longest kind; odd ones out run alone."""
    program = make_layers(n_literals, (60, 40, 4), n_literals)
    plan = check_steps_mean_rules(program, draw_bits(300, 60))
    check_program(cpu.evaluate, program, draw_bits(300, 60))
    runs = cpu_lower.lower_plan(plan, find_result_kinds(plan, Request(rules=False))).runs
    assert runs[:, cpu_lower.RUN.n_pairs].max() >= n_pairs
    assert (runs[:, cpu_lower.RUN.n_adders] > 0).any()


@needs_triton
@pytest.mark.usefixtures("few_workers")
def test_a_network_of_sums_on_the_gpu() -> None:
    program = make_layers(0, (12, 6, 3), 5)
    check_program(gpu.evaluate, program, draw_bits(33, 12), DEVICE)


def make_sum(weights: tuple[int, ...], bound: int) -> Program:
    n = len(weights)
    atoms = [*(InputAtom("f", k, ">", 0.0) for k in range(n)), InputAtom("g", 0, ">", 0.0)]
    return Program(Quantiser(tuple(atoms)), (), (), (Rule(n, tuple(range(n)), weights=weights, bound=bound),))


@pytest.mark.parametrize(
    ("weights", "bound", "n_adders"),
    [
        ((1,) * 15, 8, 11),
        ((1, 2, 4), 4, 0),
        ((1, 1, 1), 2, 1),
        ((1,) * 16, 1, 0),
        ((5,) * 16, 80, 0),
        ((4, 1), 4, 0),
        ((7,) * 8, 20, 14),
    ],
)
def test_sums_take_few_adders(weights: tuple[int, ...], bound: int, n_adders: int) -> None:
    """15 bits are added by 11 full adders; what any literal reaches, or only all of them, takes none.

    Sevens are eights less ones.
    """
    plan = check_steps_mean_rules(make_sum(weights, bound), draw_bits(1000, len(weights)))
    used = {value for value in plan.steps.values.tolist() if value >= 0}
    nodes, kinds, first = plan.steps.nodes.tolist(), plan.steps.kinds.tolist(), plan.n_inputs + 2
    for node in range(len(nodes) - 1, -1, -1):
        if first + node in used:
            used |= set(nodes[node])
    adders = {tuple(nodes[value - first]) for value in used if value >= first and kinds[value - first] != KIND_SELECT}
    assert len(adders) <= n_adders
    assert (KIND_SUM in kinds) >= bool(n_adders)


def test_equal_sums_are_made_once() -> None:
    body, weights = (0, ~1, 2), (3, 2, 2)
    atoms = [InputAtom("f", k, ">", 0.0) for k in range(3)] + [InputAtom("g", k, ">", 0.0) for k in range(2)]
    rules = [Rule(3, body, weights=weights, bound=4), Rule(4, body[::-1], weights=weights[::-1], bound=4)]
    plan = compile_program(Program(Quantiser(tuple(atoms)), (), (), tuple(rules)))
    assert len(plan.sums.bounds) == 1
    assert plan.steps.values[3] == plan.steps.values[4]
