"""Plans are checked, interpreted and printed without an engine."""

import random
import runpy
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast.compile.program import compile_program
from eric_fast.errors import EricError
from eric_fast.kernels import Request
from eric_fast.kernels.liveness import find_result_kinds
from eric_fast.plan import Steps, check_steps, print_plan
from eric_fast.plan.__main__ import list_cpu_code, list_gpu_code
from eric_fast.plan.__main__ import main as print_plans
from eric_fast.plan.negation import is_negated, negate, negate_like, strip_negation
from eric_fast.plan.steps import KIND_CARRY, KIND_SUM
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.text import save_program
from tests.engines import check_steps_mean_rules
from tests.examples import count_examples, try_examples
from tests.make_forests import make_forest_program, make_program
from tests.make_programs import count_inputs, make_bits, programs_with_bits
from tests.make_rules import make_shared_program

SIZES = (0, 1, 31, 32, 33, 63, 1000)


def draw_bits(seed, program, n_samples):
    return make_bits(random.Random(seed).randint, n_samples, count_inputs(program))


@try_examples(100)
@given(st.integers(0, 2**32), st.sampled_from(SIZES))
def test_steps_of_forests_mean_what_the_rules_do(seed, n_samples):
    program = make_forest_program(seed)
    check_steps_mean_rules(program, draw_bits(seed, program, n_samples))


@try_examples(50)
@given(programs_with_bits(with_sums=True))
def test_steps_of_any_program_mean_what_its_rules_do(case):
    check_steps_mean_rules(*case)


@pytest.mark.parametrize("seed", range(count_examples(40)))
def test_steps_of_rules_that_share_mean_what_they_do(seed):
    program = make_shared_program(seed)
    check_steps_mean_rules(program, draw_bits(seed, program, 200))


def make_counted_program():
    """Terms, nodes, counters, a tree with real weights, and rules that are added one by one; two strata."""
    rng = random.Random(0)
    heads = [Rule(8 + k % 4, tuple(rng.choice((a, ~a)) for a in rng.sample(range(8), 3))) for k in range(24)]
    above = [Rule(12, (8, ~9)), Rule(12, (~8, 10)), Rule(13, (11,))]
    counted = [ClassRule(k % 2, (k % 14, ~((k + 3) % 14)), weight=1 + k % 3) for k in range(20)]
    tree = [ClassRule(2, body, weight=0.1) for body in ((0, 1), (0, ~1), (~0, 2), (~0, ~2))]
    lone = [ClassRule(2, (k, 12), weight=0.3) for k in range(4)]
    layers = [("a", 8), ("b", 4), ("c", 2)]
    atoms = tuple(InputAtom(layer, k, ">", 0.0) for layer, n in layers for k in range(n))
    rules = (*counted, *tree, *lone)
    return Program(Quantiser(atoms), ("x", "y", "z"), rules, (*heads, *above), negated=(13,), decision="vote")


def make_list_program():
    """A list of trees and rules, which answers with digits of the class."""
    tree = [ClassRule(k, body) for k, body in enumerate(((0, 1), (0, ~1), (~0, 2), (~0, ~2)))]
    rules = [ClassRule(k % 4, (3 + k % 5, ~(4 + k % 4))) for k in range(12)]
    return make_program([*rules, *tree[:3], *rules[:3]], 8, 4, default=1)


PROGRAMS = {"vote": make_counted_program, "first": make_list_program, "shared": lambda: make_shared_program(9)}


@pytest.fixture(scope="module", params=list(PROGRAMS))
def plan(request):
    plan = compile_program(PROGRAMS[request.param]())
    check_steps(plan)
    return plan


def corrupt(plan, table, entry, value):
    """The plan with one number of its steps changed."""
    array = getattr(plan.steps, table).clone()
    array.view(-1)[entry] = value
    return replace(plan, steps=replace(plan.steps, **{table: array}))


def count_values(plan):
    return plan.n_inputs + 2 + len(plan.steps.nodes)


TABLES = [field.name for field in fields(Steps) if field.name != "covered"]


@pytest.mark.parametrize("table", TABLES)
def test_a_number_out_of_range_is_seen(plan, table):
    """Wherever it stands: far below, far above, and just past the last value."""
    array = getattr(plan.steps, table).view(-1)
    for entry in range(len(array)):
        if array.dtype == torch.bool:
            wrong = [True] if plan.steps.fires[entry] < 0 or not plan.votes else []
        elif table == "units":
            wrong = [0.0, -1.0, 3.0, float("inf"), float("nan")]
        elif table == "values":
            wrong = [count_values(plan), ~count_values(plan), 2**31 - 1, -(2**31)]
        elif table == "kinds":
            wrong = [-1, 3, 127, -128]
        else:
            below = -2 if table in ("codes", "fires") else -1
            wrong = [below, count_values(plan), 2**31 - 1, -(2**31)]
        if table == "counters" and entry % 4 == 3:
            wrong = [1, 2**31]  # what is added to a count may be any number that is taken away
        for value in wrong:
            if value != array[entry].item():
                with pytest.raises(EricError, match=r"a plan's"):
                    check_steps(corrupt(plan, table, entry, value))


@pytest.mark.parametrize("table", ["segments", "batches", "sections", "indexes", "counters", "codes"])
def test_a_number_that_is_one_off_is_seen(plan, table):
    """Where a range starts and ends, how many terms there are, which rule a code stands for."""
    array = getattr(plan.steps, table).view(-1)
    for entry in range(len(array)):
        if table == "counters" and entry % 4 in (0, 3):
            continue  # another class may be counted, and another number added
        if (table == "segments" and entry % 2 == 0) or (table == "sections" and is_free(plan, entry)):
            continue  # the neighbour may be a target, too
        for change in (-1, 1):
            with pytest.raises(EricError, match=r"a plan"):
                check_steps(corrupt(plan, table, entry, array[entry].item() + change))


def is_free(plan, entry):
    """Whether a range of a section is empty: it may stand anywhere."""
    sections, column = plan.steps.sections, entry % 8 // 2 * 2
    row = sections[entry // 8]
    return row[column] == row[column + 1]


@pytest.mark.parametrize("table", ["nodes", "terms"])
def test_a_value_that_is_read_before_it_is_made_is_seen(plan, table):
    steps, n_inputs = plan.steps, plan.n_inputs
    last = count_values(plan) - 1
    array = getattr(steps, table).view(-1)
    for entry in range(len(array)):
        of_last = table == "nodes" and entry // 3 == len(steps.nodes) - 1
        with pytest.raises(EricError, match=r"not made yet|terms have not run|target"):
            check_steps(corrupt(plan, table, entry, last if not of_last else n_inputs + 2 + entry // 3))


def test_a_target_that_has_a_node_of_its_own_is_seen(plan):
    segments = plan.steps.segments
    others = sorted(set(range(plan.n_inputs + 2, count_values(plan))) - set(segments[:, 0].tolist()))
    for segment in range(len(segments)):
        for target in others:
            with pytest.raises(EricError, match="must be false if it is a target of terms, and only then"):
                check_steps(corrupt(plan, "segments", 2 * segment, target))


def test_a_target_that_adds_is_seen(plan):
    """`false + false + false` is false, but only `false ? false : false` is a target of terms."""
    for target in plan.steps.segments[:, 0].tolist():
        for kind in (KIND_SUM, KIND_CARRY):
            with pytest.raises(EricError, match="must be false if it is a target of terms, and only then"):
                check_steps(corrupt(plan, "kinds", target - plan.n_inputs - 2, kind))


def test_rows_rules_and_planes_that_read_what_is_made_later_are_seen():
    plan = compile_program(make_counted_program())
    last = count_values(plan) - 1
    first_rule = int((plan.steps.fires >= 0).nonzero()[0])
    for table, entry in (("values", plan.n_inputs), ("fires", first_rule), ("planes", 0)):
        with pytest.raises(EricError, match=rf"steps.{table}\[{entry}\] reads a value that is not made yet"):
            check_steps(corrupt(plan, table, entry, last))


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_another_shape_or_dtype_are_refused(plan, table):
    array = getattr(plan.steps, table)
    for wrong in (array[None], array.to(torch.float16)):
        with pytest.raises(EricError, match=f"a plan's steps.{table} must be torch"):
            check_steps(replace(plan, steps=replace(plan.steps, **{table: wrong})))


@pytest.mark.parametrize("covered", [-1, 10**6])
def test_a_cover_that_is_no_value_is_refused(plan, covered):
    with pytest.raises(EricError, match=r"steps.covered\[0\] is no value"):
        check_steps(replace(plan, steps=replace(plan.steps, covered=covered)))


def test_answers_and_counters_fit_the_decision():
    voting, listing = compile_program(make_counted_program()), compile_program(make_list_program())
    for plan in (voting, listing):
        with pytest.raises(EricError, match=r"steps.answers must have no entries or 3, not 2"):
            check_steps(replace(plan, steps=replace(plan.steps, answers=listing.steps.answers[:2])))
    counters = {"counters": torch.tensor([[0, 1, 1, 0]]), "units": torch.ones(1, dtype=torch.float64)}
    with pytest.raises(EricError, match="indexes must cover 1 planes"):
        check_steps(replace(listing, steps=replace(listing.steps, **counters)))


def test_negation_is_written_alike_in_python_arrays_tensors_and_jitted_code():
    from numba import njit

    from eric_fast.plan import jitted

    def everything(number, other):
        return negate(number), is_negated(number), strip_negation(number), negate_like(number, other)

    compiled = njit(everything)
    assert jitted.negate is negate
    for number in (0, 5, ~0, ~5, 2**31 - 1, -(2**31)):
        expected = (~number, number < 0, max(number, ~number), ~number)
        assert everything(number, ~3) == expected
        assert compiled(np.int32(number), np.int32(~3)) == expected
        for array in (np.array([number], np.int32), torch.tensor([number], dtype=torch.int32)):
            assert [part.tolist() for part in everything(array, array * 0 - 4)] == [[part] for part in expected]


def make_small_program():
    """A derived row that is a tree and another that is the union of two rules, and two class rules."""
    atoms = (*(InputAtom("f", k, ">", 0.0) for k in range(3)), InputAtom("g", 0, ">", 0.0), InputAtom("g", 1, ">", 0.0))
    rules = (Rule(3, (0, 1)), Rule(3, (~0, 2)), Rule(4, (0, 1, ~2)), Rule(4, (~1,)))
    class_rules = (ClassRule(0, (3, ~4)), ClassRule(1, (4,)))
    return Program(Quantiser(atoms), ("yes", "no"), class_rules, rules, negated=(4,))


LISTING = """\
plan of inputs: 3, derived rows: 2, strata: 1, class rules: 2, classes: 2
steps of nodes: 9, terms: 2, trees: 0, counters: 0
stratum 0:
  v5 = f:0 ? f:1 : f:2
  v6 |= not f:1
  v6 |= f:0 & f:1 & not f:2
  g:0 = v5
  g:1 = not v6
class rules, section 0:
  v7 = v6 ? false : true
  v8 = v5 ? v6 : false
class rules, section 1:
  v9 = v8 ? true : v7
  v10 = v8 ? false : true
  v11 = v9 ? v8 : false
  v12 = v9 ? v10 : false
  v13 = v9 ? false : true
decision by first, default none:
  first rule that fires, class rules 0 to 1, number v9 v11
    10=1, 11=0
  class: number v12, none where v13

CPU code of slots: 7, nodes: 7, terms: 2
  s2 = f:0
  s3 = f:1
  s4 = f:2
section 0:
  s5 = s2 ? s3 : s4
  s6 = s0 | s1 & ~s3
  s6 = s6 | s2 & ~s4 & s3 & ~s0
section 1:
  s2 = s6 ? s0 : s1
  s6 = s5 ? s6 : s0
section 2:
  s2 = s6 ? s1 : s2
  s6 = s6 ? s0 : s1
  s6 = s2 ? s6 : s0
  s2 = s2 ? s0 : s1

GPU code of slots: 8, phases: 6, lines: 10, workers: 128
  s2 = f:0
  s3 = f:1
  s4 = f:2
phase 0:
  worker 0: acc = s2 ? s3 : s4; s5 = acc
phase 1:
  worker 0: term &= s1 & ~s3; acc |= term; s6 = acc
  worker 0: term &= s2 & ~s4 & s3 & ~s0; acc |= term; s7 = acc
phase 2:
  worker 0: term &= s6 & ~s0; acc |= term
  worker 0: term &= s7 & ~s0; acc |= term; s2 = acc
phase 3:
  worker 0: acc = s2 ? s0 : s1; s7 = acc
  worker 1: acc = s5 ? s2 : s0; s6 = acc
phase 4:
  worker 0: acc = s6 ? s1 : s7; s5 = acc
phase 5:
  worker 0: acc = s6 ? s0 : s1
  worker 0: acc = s5 ? acc : s0; s7 = acc
  worker 1: acc = s5 ? s0 : s1; s2 = acc
"""


def test_the_command_prints_a_plan_and_its_lowerings(tmp_path, capsys, monkeypatch):
    save_program(make_small_program(), tmp_path / "small.lp")
    monkeypatch.setattr(sys, "argv", ["plan", str(tmp_path / "small.lp")])
    runpy.run_path(sys.modules[print_plans.__module__].__file__, run_name="__main__")  # as `python -m` does
    assert capsys.readouterr() == (LISTING, "")


def test_the_command_starts_where_it_is_told(tmp_path, capsys):
    save_program(make_small_program(), tmp_path / "small.lp")
    print_plans([str(tmp_path / "small.lp"), "--start", "g"])
    assert capsys.readouterr().out.startswith(
        "plan of inputs: 2, derived rows: 0, strata: 1, class rules: 2, classes: 2\n"
    )
    with pytest.raises(SystemExit, match="error: .*'h'"):
        print_plans([str(tmp_path / "small.lp"), "--start", "h"])


def test_lines_of_the_gpu_are_listed():
    plan = compile_program(make_counted_program())
    kinds = find_result_kinds(plan, Request(rules=False))
    listed = list(list_gpu_code(plan, kinds, [str(row) for row in range(plan.n_rows)]))
    assert sum("; s" in line for line in listed) > 30
    assert sum("carry" in line for line in listed) == 21


def test_trees_counters_and_rules_of_their_own_are_listed():
    lines = print_plan(compile_program(make_counted_program())).splitlines()
    assert lines[:2] == [
        "plan of inputs: 8, derived rows: 6, strata: 2, class rules: 28, classes: 3",
        "steps of nodes: 85, terms: 15, trees: 1, counters: 2",
    ]
    assert lines[-17:] == [
        "  v89 = carry(false, v85, v87)",
        "  v90 = a0 ? a1 : a2",
        "  tree 0, class rules 20 to 23, number a0 v90",
        "    00=23, 01=22, 10=21, 11=20",
        "class rules, section 2:",
        *(f"  v{91 + k} = a{k} ? v30 : false" for k in range(4)),
        *(f"  rule {24 + k} fires: v{91 + k}" for k in range(4)),
        "decision by vote, default none:",
        "  score 0 += (1 v52 + 2 v60 + 4 v64 + 8 v66 + 16 v67 + 0) * 1.0",
        "  score 1 += (1 v72 + 2 v82 + 4 v86 + 8 v88 + 16 v89 + 0) * 1.0",
        "  some class rule fires that is counted or in a tree: true",
    ]
    assert max(map(len, lines)) <= 120


def test_adders_are_listed_as_chains():
    """One after another, with the sum in a register, which is stored at the end; on the CPU in pairs."""
    rules = [ClassRule(0, (k,), weight=1) for k in range(5)]
    plan = compile_program(make_program(rules, 5, 1, decision="vote"))
    kinds, names = find_result_kinds(plan, Request(rules=False)), [f"a{row}" for row in range(5)]
    assert [line for line in print_plan(plan).splitlines() if "sum(" in line or "carry(" in line] == [
        "  v7 = sum(a0, a1, a2)",
        "  v8 = carry(a0, a1, a2)",
        "  v9 = sum(a3, a4, v7)",
        "  v10 = carry(a3, a4, v7)",
        "  v11 = sum(false, v8, v10)",
        "  v12 = carry(false, v8, v10)",
    ]
    cpu = list(list_cpu_code(plan, kinds, names))
    assert [line for line in cpu if "acc" in line or "upper" in line] == [
        "  acc = s2",
        "  upper = s0",
        "  low = carry(acc, s3, s4); acc = sum(acc, s3, s4)",
        "  high = carry(acc, s6, s5); acc = sum(acc, s6, s5)",
        "  s5 = carry(upper, low, high); upper = sum(upper, low, high)",
        "  s6 = upper",
        "  s4 = acc",
    ]
    gpu = [line for line in list_gpu_code(plan, kinds, names) if "carry" in line or "sum" in line]
    assert gpu == [
        "  worker 0: s7 = carry(s2, s3, s4); acc = sum(s2, s3, s4)",
        "  worker 0: s8 = carry(acc, s6, s5); acc = sum(acc, s6, s5)",
        "  worker 0: acc = s9 = sum(acc, s0, s0)",
        "  worker 0: s2 = carry(s0, s7, s8); acc = sum(s0, s7, s8)",
        "  worker 0: acc = s3 = sum(acc, s0, s0)",
    ]
