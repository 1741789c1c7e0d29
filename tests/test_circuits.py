"""Circuits, AIGER and BLIF, against a simulator of a few lines and against arithmetic."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eric_fast.errors import DataError, ModelError, ProgramError
from eric_fast.frontends.gates.circuit import from_circuit
from eric_fast.frontends.registry import load
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.fuzz import check_format
from tests.make_circuits import (
    Aig,
    make_adder,
    make_aig,
    make_covers,
    make_multiplier,
    simulate_covers,
    to_blif,
)

N_ROWS = 10_000


def list_rows(n_inputs):
    """Every row of this many bits."""
    return np.array(list(itertools.product([False, True], repeat=n_inputs)), np.bool_).reshape(1 << n_inputs, n_inputs)


def draw_numbers(n_bits, count):
    return np.random.default_rng(n_bits).integers(0, 1 << n_bits, (count, N_ROWS))


def to_bits(numbers, n_bits):
    return (numbers[:, None] >> np.arange(n_bits) & 1).astype(np.bool_)


@st.composite
def picks(draw):
    return lambda low, high: draw(st.integers(low, high))


@given(picks(), st.randoms(use_true_random=False))
def test_any_aiger_file_answers_as_the_simulator(pick, rng):
    graph = make_aig(pick)
    rows = list_rows(graph.n_inputs)
    expected = np.array([graph.simulate(row) for row in rows.tolist()]).reshape(len(rows), len(graph.outputs))
    order = list(range(len(graph.gates)))
    rng.shuffle(order)
    for content in (graph.to_aag(order), graph.to_aig(), graph.to_aag(order).replace(b"\n", b"\r\n")):
        assert np.array_equal(from_circuit(content).predict(rows), expected)


@given(picks(), st.randoms(use_true_random=False))
def test_any_blif_file_answers_as_the_simulator(pick, rng):
    circuit = make_covers(pick)
    rows = list_rows(len(circuit[0]))
    expected = np.array([simulate_covers(circuit, row) for row in rows.tolist()]).reshape(len(rows), len(circuit[1]))
    model = from_circuit(to_blif(circuit, rng))
    assert np.array_equal(model.predict(rows.astype(int)), expected)
    assert [name for name, _ in model.program.outputs] == circuit[1]
    assert np.array_equal(RuleModel.from_program(parse_program(print_program(model.program))).predict(rows), expected)


@pytest.mark.parametrize("write", [Aig.to_aag, Aig.to_aig])
def test_an_adder_adds(write):
    a, b = draw_numbers(16, 2)
    model = from_circuit(write(make_adder(16)))
    bits = np.concatenate([to_bits(a, 16), to_bits(b, 16)], axis=1)
    assert np.array_equal(model.predict(bits), to_bits(a + b, 17))
    assert model.n_outputs_ == 17


def test_a_multiplier_multiplies():
    a, b = draw_numbers(8, 2)
    model = from_circuit(make_multiplier(8).to_aig())
    bits = np.concatenate([to_bits(a, 8), to_bits(b, 8)], axis=1)
    assert np.array_equal(model.predict(bits), to_bits(a * b, 16))


def test_a_comparator_compares():
    n = 12
    lines = [".model less", ".inputs " + " ".join(f"{x}{i}" for x in "ab" for i in range(n)), ".outputs less equal"]
    lines += [".names less_0", ".names equal_0", "1"]  # constants: false and true
    for i in range(n):
        bits = f"a{n - 1 - i} b{n - 1 - i}"
        lines += [f".names less_{i} equal_{i} {bits} less_{i + 1}", "1--- 1", "-101 1"]
        lines += [f".names equal_{i} {bits} equal_{i + 1}", "0-- 0", "-01 0", "-10 0"]
    lines += [f".names less_{n} less", "1 1", f".names equal_{n} equal", "0 0", ".end"]
    a, b = draw_numbers(n, 2)
    b[::3] = a[::3]
    model = from_circuit("\n".join(lines).encode())
    bits = np.concatenate([to_bits(a, n), to_bits(b, n)], axis=1)
    assert np.array_equal(model.predict(bits), np.stack([a < b, a == b], axis=1))


def test_parity_of_64_bits():
    lines = [".model parity", ".inputs " + " ".join(f"x{i}" for i in range(64)), ".outputs p63", ".names x0 p0", "1 1"]
    for i in range(1, 64):
        lines += [f".names p{i - 1} x{i} p{i}", "10 1", "01 1"]
    bits = np.random.default_rng(0).random((N_ROWS, 64)) < 0.5
    model = from_circuit("\n".join(lines).encode())
    assert np.array_equal(model.predict(bits)[:, 0], bits.sum(axis=1) % 2 == 1)
    assert len(model.program.derived) == 63


def test_names_and_paths(tmp_path):
    graph = make_adder(1)
    symbols = "i1 b one\ni0 a\no1 carry\nc\nany bytes \xff\n"
    for name, content in (("x.aag", graph.to_aag(symbols=symbols)), ("x.aig", graph.to_aig(symbols))):
        path = tmp_path / name
        path.write_bytes(content)
        for model in (from_circuit(path), load(path), load(str(path)), load(content)):
            assert model.feature_names_in_.tolist() == ["a", "b one"]
            assert [output for output, _ in model.program.outputs] == ["o0", "carry"]
            assert model.source == "AIGER circuit"
    (tmp_path / "half.txt").write_bytes(
        b"# made by hand\n.model half adder\n.inputs a b\n.outputs c\n.names a b c\n11 1\n"
    )
    assert load(tmp_path / "half.txt").source == "BLIF circuit half adder"
    with pytest.raises(ProgramError, match=r"none\.aig can't be read: No such file or directory; give the path"):
        from_circuit(tmp_path / "none.aig")
    with pytest.raises(ModelError):
        load(tmp_path / "none.aig")


def test_what_is_no_bit_is_refused():
    model = from_circuit(make_adder(1).to_aag())
    with pytest.raises(DataError, match=r"row 0, column 'i1': the value is 2\.0, but this model takes only 0 and 1"):
        model.predict([[0, 2]])
    assert model.predict(np.array([[1.0, 1.0]])).tolist() == [[False, True]]


def test_gates_are_folded_shared_and_dropped():
    graph = Aig(3)
    both = graph.add_and(2, 4)
    again = graph.add_and(4, 2)
    graph.add_and(both, 6)  # dead
    nothing = graph.add_and(both, again ^ 1)
    graph.outputs = [both, again, graph.add_and(both, 1), nothing, nothing ^ 1, 6]
    model = from_circuit(graph.to_aag())
    assert model.program.derived == ("n4", "o3", "o4")
    assert [atom for _, atom in model.program.outputs] == [3, 3, 3, 4, 5, 2]
    rows = list_rows(3)
    assert np.array_equal(model.predict(rows), [graph.simulate(row) for row in rows.tolist()])


@pytest.mark.slow
@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_of_30000_gates(backwards):
    n = 30_000
    graph = Aig(2)
    last = 2
    for i in range(n):
        last = graph.add_and(last ^ 1, 4 if i % 2 else 5)  # it depends on all of those before
    graph.outputs = [last]
    start = time.process_time()
    model = from_circuit(graph.to_aag(range(n - 1, -1, -1)) if backwards else graph.to_aig())
    rows = list_rows(2)
    assert np.array_equal(model.predict(rows), [graph.simulate(row) for row in rows.tolist()])
    assert time.process_time() - start < 18


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"aag", "circuit:1: expected the header 'aag M I L O A'"),
        (b"aagh 1 1 0 0 0", "circuit:1: expected 'aag' or 'aig', got 'aagh'"),
        (b"aag 1 1 0", "circuit:1: expected the header 'aag M I L O A'"),
        (b"aag 1 1 0 x 0\n", "circuit:1: expected the header"),
        (b"aag 1 0 1 0 0\n2 3\n", "circuit:1: L is 1: the circuit has latches, but only gates"),
        (b"aig 0 0 0 0 0 1\n0\n", "circuit:1: B is 1: the circuit has bad states"),
        (b"aag 1 1 0 0 1\n2\n2 2 2\n", "circuit:1: M is 1, but I [+] A is 2"),
        (b"aig 3 1 0 0 1\n", "circuit:1: M is 3, but I [+] A is 2"),
        (b"aag 9999999999 1 0 1 9999999998\n", "too large for a file of 32 bytes"),
        (b"aig 9999999999 9999999999 0 0 0\n", "9,999,999,999 inputs are too many for a file of its size"),
        (b"aag 1 1 0 1 0\n2\n", "circuit:3: the file ends, expected an output"),
        (b"aag 1 1 0 1 0\n2\nx\n", "circuit:3: expected 1 number for an output, got 'x'"),
        (b"aag 1 1 0 1 0\n2\n4\n", "circuit:3: literal 4 is out of range: the header says 1 variables"),
        (b"aag 2 2 0 0 0\n2\n2\n", "circuit:3: literal 2 is defined twice"),
        (b"aag 1 1 0 0 0\n3\n", "circuit:2: literal 3 can't be defined"),
        (b"aag 2 1 0 1 1\n2\n4\n4 2\n", "circuit:4: expected 3 numbers for an and gate, got '4 2'"),
        (b"aag 3 1 0 1 1\n2\n4\n4 2 6\n", "circuit:4: 'n2' uses a signal that is not defined"),
        (b"aag 2 1 0 1 0\n2\n4\n", "circuit:3: output 'o0' is not defined"),
        (
            b"aag 3 1 0 1 2\n2\n4\n4 2 6\n6 4 2\n",
            "circuit:(4|5): the circuit has a cycle: n(2 <- n3|3 <- n2)",
        ),
        (b"aag 1 1 0 0 0\n2\ni1 a\n", "circuit:3: expected a symbol such as 'i0 NAME'"),
        (b"aag 2 2 0 0 0\n2\n4\ni0 a\ni1 a\n", "circuit:5: two inputs are called 'a'"),
        (b"aag 2 2 0 0 0\n2\n4\ni0 a\ni0 b\n", "circuit:5: 'i0' has a name already"),
        (b"aag 1 1 0 0 0\n2\ni0 \0\n", r"circuit:3: the name '\\x00' has characters that are not supported"),
        (b"aag 1 1 0 0 0\n2\ni0 \xff\n", "circuit:3: the name .* has characters that are not supported"),
        (b"aig 2 1 0 1 1\n4\n", "circuit: byte 16: the file ends, expected an and gate"),
        (b"aig 2 1 0 1 1\n4\n\x00\x00", "circuit: byte 16: gate 2 must be built on lower literals"),
        (b"aig 2 1 0 1 1\n4\n\x01\x7f", "circuit: byte 16: gate 2 must be built on lower literals"),
        (b"aig 2 1 0 1 1\n4\n\xff\xff\xff\xff\xff\x01\x01", "circuit: byte 16: a number takes more than 5 bytes"),
        (b"", "circuit: neither AIGER nor BLIF: no '.model' found"),
        (b"hello\n", "circuit:1: expected a statement such as '.names', got 'hello'"),
        (b".inputs a\n", "circuit:1: expected '.model', got '.inputs'"),
        (b".model m\n.inputs a a\n", "circuit:2: two inputs are called 'a'"),
        (b".model m\n.inputs a\n.names a\n", "circuit:3: 'a' is defined twice"),
        (b".model m\n.outputs a a\n", "circuit:2: two outputs are called 'a'"),
        (b".model m\n.outputs a\n", "circuit:2: output 'a' is not defined"),
        (b".model m\n.outputs a\n.names b a\n1 1\n", "circuit:3: 'a' uses a signal that is not defined"),
        (b".model m\n.names\n", "circuit:2: '.names' needs the name of a signal"),
        (
            b".model m\n.inputs a\n.names a b\n1\n",
            "circuit:4: expected 1 of '0', '1' and '-', then '0' or '1', got '1'",
        ),
        (b".model m\n.inputs a\n.names a b\n2 1\n", "circuit:4: expected 1 of"),
        (b".model m\n.inputs a\n.names a b\n1 1\n0 0\n", "circuit:5: the cover of 'b' has lines for both 1 and 0"),
        (b".model m\n.latch a b 0\n", "circuit:2: '.latch': a latch holds state"),
        (b".model m\n.subckt n x=y\n", "circuit:2: the file has no model 'n'"),
        (b".model m\n.subckt\n", "circuit:2: '.subckt' needs the name of a model"),
        (b".model m\n.subckt n x\n", "circuit:2: expected INPUT=SIGNAL or OUTPUT=SIGNAL, got 'x'"),
        (b".model m\n.subckt n x=a x=b\n", "circuit:2: 'x' is connected twice"),
        (b".model m\n.subckt n x=a\n.end\n.model n\n", "circuit:2: 'n' has no input or output 'x'"),
        (b".model m\n.subckt m\n", "circuit:2: models are nested more than 200 levels deep"),
        (b".model m\n.end\n.model m\n", "circuit:3: two models are called 'm'"),
        (b".model m\n.end\n.names a\n", "circuit:3: '.names' after the end of the model 'm'"),
        (b".model m\n.blackbox\n", "circuit:2: '.blackbox': the model has no logic"),
        (b".model m\n.gate nand2 a=x\n", "circuit:2: '.gate': it refers to a gate library"),
        (b".model m\n.exdc\n", "circuit:2: '.exdc': don't-cares of the outputs are not supported"),
        (b".model m\n.other a\n", "circuit:2: '.other': statement not supported"),
        (b".model m\n.conn a\n", "circuit:2: '.conn': statement not supported"),
        (
            b".model m\n.names b a\n1 1\n.names a b\n1 1\n",
            "circuit:(2|4): the circuit has a cycle: . <- . <- .$",
        ),
    ],
)
def test_wrong_files_are_refused_with_the_place(content, message):
    with pytest.raises(ProgramError, match=message):
        from_circuit(content)


ADDER = b"""
.model adder
.inputs a0 a1 b0 b1
.outputs s0 s1 carry
.default_input_arrival 0.00 0.00
.wire_load_slope 0.00
.area 3.5
.names no
.subckt full x=a0 y=b0 in=no sum=s0 out=c0
.cname first
.attr src "adder.v:3"
.subckt full x=a1 y=b1 in=c0 sum=s1 out=c1
.conn c1 carry
.end
.model full
.inputs x y in
.outputs sum out
.subckt xor p=x q=y r=half
.subckt xor p=half q=in r=sum
.names x y half in out
11-- 1
--11 1
.end
.model xor
.inputs p q
.outputs r
.names p q r
10 1
01 1
"""


def test_a_hierarchy_is_flattened():
    rows = list_rows(4)
    first, second = rows[:, :2] @ [1, 2], rows[:, 2:] @ [1, 2]
    model = from_circuit(ADDER)
    assert np.array_equal(model.predict(rows), to_bits(first + second, 3))
    assert not any("/" in name for name, _ in model.program.outputs)


def test_what_a_short_file_can_grow_to_is_bounded():
    n = 40
    models = [f".model m{i}\n.subckt m{i + 1}\n.subckt m{i + 1}\n.end" for i in range(n)]
    with pytest.raises(ProgramError, match="numbers of flattened gates are too many for a file of its size"):
        from_circuit("\n".join([*models, f".model m{n}"]).encode())


def test_a_long_cycle_is_told_in_short():
    n = 50_000
    lines = [f".names s{(i + 1) % n} s{i}\n1 1" for i in range(n)]
    with pytest.raises(ProgramError, match="a cycle") as error:
        from_circuit("\n".join([".model m", *lines]).encode())
    assert len(str(error.value)) < 200
    assert "49,993 more" in str(error.value)


@pytest.mark.parametrize("kind", ["aag", "aig", "blif"])
def test_damaged_files_are_read_or_refused(kind):
    n_read, _, n_refused = check_format(kind, 300)
    assert n_read > 3
    assert n_refused > 100
