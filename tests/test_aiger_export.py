"""Programs as AIGER: read back, they answer the same."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eric_fast.errors import ProgramError
from eric_fast.frontends.gates.circuit import from_circuit
from eric_fast.frontends.registry import load
from eric_fast.program import Decision
from tests.examples import try_examples
from tests.make_circuits import make_aig
from tests.make_onnx import make_old
from tests.test_circuits import list_rows


@try_examples(25)
@given(st.randoms(use_true_random=False))
def test_any_circuit_is_read_back(rng):
    graph = make_aig(rng.randint)
    model = from_circuit(graph.to_aag(list(range(len(graph.gates)))))
    again = from_circuit(model.program.to_aiger().encode())
    rows = list_rows(model.n_features_in_)
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    assert [name for name, _ in again.program.outputs] == [name for name, _ in model.program.outputs]
    assert again.feature_names_in_.tolist() == model.feature_names_in_.tolist()


RULES = """\
label(X,'a') :- age(X,N), N =< 40, not ab1(X).
label(X,'b') :- age(X,N), N =< 60.
ab1(X) :- job(X,'none').
"""


@pytest.mark.parametrize("default", [None, 0])
def test_classes_are_one_output_each(default):
    """A decision list over comparisons: its inputs are the comparisons, in their order."""
    program = load(RULES).program
    program = replace(program, default=default)
    circuit = from_circuit(program.to_aiger().encode())
    names = [atom.name for atom in program.quantiser.atoms]
    assert circuit.feature_names_in_.tolist() == names
    rows = list_rows(len(names))
    wanted = []
    for row in rows:
        true = dict(zip(names, row, strict=True))
        first, second, job = (bool(true[name]) for name in names)
        answer = "a" if first and not job else "b" if second else None if default is None else program.classes[default]
        wanted.append([answer == name for name in program.classes])
    np.testing.assert_array_equal(circuit.predict(rows), wanted)


def test_numbers_are_refused():
    program = load(make_old()).program
    assert program.decision is Decision.VOTE
    with pytest.raises(ProgramError, match="AIGER has no numbers"):
        program.to_aiger()
