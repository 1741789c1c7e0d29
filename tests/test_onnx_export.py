"""Programs and models as ONNX: onnxruntime answers as they do, and so do they when they are read back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import ensemble, tree
from typer.testing import CliRunner

from eric_fast.cli import app
from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.gates.circuit import from_circuit
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.onnx import read_onnx
from eric_fast.frontends.trees.scikit_learn import JUST_BELOW_ZERO
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table.model import RuleModel
from tests.boosters import add_edges, load_data
from tests.examples import try_examples
from tests.make_circuits import make_aig
from tests.onnx_runtime import ONE_THREAD, runtime
from tests.optional import import_optional
from tests.test_circuits import list_rows

DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}


def run_model(content, columns):
    """The outputs by name; columns of numbers, or of texts."""
    session = runtime.InferenceSession(content, ONE_THREAD, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    if len(inputs) == 1:
        given = {inputs[0].name: np.stack(columns, axis=1).astype(DTYPES[inputs[0].type])}
    else:
        given = {
            value.name: np.asarray(column)[:, None].astype(DTYPES[value.type])
            for value, column in zip(inputs, columns, strict=True)
        }
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, given), strict=True))


def draw_program(rng, decision):
    """Comparisons of every operator, derived atoms in two strata, a negated one, weight bodies."""
    columns = (Column("a", "float64"), Column("b b", "float32"), Column("c", "text"))
    atoms = list(
        dict.fromkeys(
            TableAtom(column, columns[column].name, operator, float(rng.randint(0, 3)), rng.random() < 0.3)
            for column in (0, 1)
            for operator in (">", "<=", "==", "<", ">=", "!=")
        )
    )
    atoms += [TableAtom(1, "b b", "in", (0.0, 2.0)), TableAtom(2, "c", "in", ("x", "y"), rng.random() < 0.5)]
    atoms += [TableAtom(2, "c", "in", ("é",))]
    n_given, n_derived = len(atoms), 4

    def draw_body(n_atoms):
        body = [rng.randrange(n_atoms) for _ in range(rng.randint(0, 4))]
        body = tuple(atom if rng.random() < 0.6 else ~atom for atom in dict.fromkeys(body))
        if len(body) > 1 and rng.random() < 0.4:
            weights = tuple(rng.randint(1, 5) for _ in body)
            return {"body": body, "weights": weights, "bound": rng.randint(1, sum(weights))}
        return {"body": body}

    rules = [Rule(n_given + i, **draw_body(n_given + i)) for i in range(n_derived) for _ in range(rng.randint(0, 2))]
    settings = {"kernel_rules": rules, "derived": [f"d{i}" for i in range(n_derived)], "negated": (n_given + 2,)}
    quantiser = TableQuantiser(tuple(atoms), columns)
    if decision is Decision.BITS:
        outputs = [(f"o{i}", rng.randrange(n_given + n_derived)) for i in range(3)]
        return Program(quantiser, (), (), decision=decision, outputs=outputs, **settings)
    class_rules = [
        ClassRule(rng.randrange(3), weight=float(rng.choice((1, -2, 0.5))), **draw_body(n_given + n_derived))
        for _ in range(rng.randint(1, 6))
    ]
    if decision is Decision.FIRST:
        class_rules = [replace(rule, weight=1) for rule in class_rules]
    base = () if decision is Decision.FIRST else (0.25, -0.5, 0.0)
    default = rng.choice((None, 1)) if decision.gives_class else None
    return Program(quantiser, ("0", "1", "2"), class_rules, decision=decision, default=default, base=base, **settings)


def draw_columns(rng, n_rows=40):
    numbers = [[rng.choice((np.nan, 0.0, 1.0, 1.5, 2.0, 3.0, 4.0)) for _ in range(n_rows)] for _ in range(2)]
    return [np.array(numbers[0]), np.array(numbers[1]), np.array([rng.choice("xyz") for _ in range(n_rows)], object)]


@pytest.mark.parametrize("decision", list(Decision))
@try_examples(12)
@given(st.randoms(use_true_random=False))
def test_any_program_is_answered_alike_and_read_back(decision, rng):
    pandas = import_optional("pandas")
    program = draw_program(rng, decision)
    columns = draw_columns(rng)
    texts = columns[2].copy()
    texts[::7] = ""  # missing
    frame = pandas.DataFrame({"a": columns[0], "b b": columns[1], "c": np.where(texts == "", None, texts)})
    content = program.to_onnx()
    found = run_model(content, [*columns[:2], texts])
    model, again = RuleModel.from_program(program), read_onnx(content, "file")
    wanted = model.predict(frame)
    if decision.gives_class:
        wanted = np.where(np.equal(wanted, None), "", wanted)
        assert found["label"].tolist() == wanted.tolist()
        assert [answer or "" for answer in again.predict(frame)] == wanted.tolist()
    elif decision.gives_sums:
        np.testing.assert_array_equal(found["scores"], wanted)
        np.testing.assert_array_equal(again.predict(frame), wanted)
    else:
        np.testing.assert_array_equal(found["truths"], wanted)
        np.testing.assert_array_equal(again.predict(frame), wanted)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        (ensemble.RandomForestClassifier(4, max_depth=4, random_state=0), "cancer"),
        (ensemble.RandomForestClassifier(3, max_depth=3, random_state=0), "digits"),
        (tree.DecisionTreeRegressor(max_depth=4), "diabetes"),
        (ensemble.GradientBoostingClassifier(n_estimators=3), "digits"),
        (ensemble.HistGradientBoostingClassifier(max_iter=3), "cancer"),
        (ensemble.HistGradientBoostingRegressor(max_iter=3, loss="poisson"), "diabetes"),
    ],
)
def test_sums_of_trees_are_an_ensemble(source, data):
    features, target = load_data(data, holes=isinstance(source, ensemble.HistGradientBoostingClassifier))
    model = load(source.fit(features, target))
    content = model.to_onnx()
    assert b"TreeEnsemble" in content
    assert b"MatMul" not in content
    rows = add_edges(model, features, infinite=False)
    rows = rows if hasattr(source, "max_iter") else rows[~np.isnan(rows).any(axis=1)]
    found, again = run_model(content, list(rows.T)), read_onnx(content, "file")
    if "label" not in found:
        np.testing.assert_allclose(found["scores"][:, 0], source.predict(rows), rtol=1e-12)
        np.testing.assert_allclose(again.predict(rows), source.predict(rows), rtol=1e-12)
        return
    np.testing.assert_array_equal(found["label"], source.predict(rows))
    np.testing.assert_allclose(found["probabilities"], source.predict_proba(rows), atol=1e-14)
    np.testing.assert_array_equal(again.predict(rows), source.predict(rows))
    np.testing.assert_allclose(again.predict_proba(rows), source.predict_proba(rows), atol=1e-14)


def test_comparisons_of_every_kind_in_a_tree():
    """One rule for each outcome of a comparison; `!=` and missing values, too."""
    columns = (Column("a", "float32"), Column("b", "float32"))
    atoms = [
        TableAtom(0, "a", op, 1.0, missing) for op in (">", "<=", "==", "<", ">=", "!=") for missing in (False, True)
    ]
    rules = [ClassRule(0, (literal,), weight=2.0**i) for i, atom in enumerate(atoms) for literal in (i, ~i)]
    rules = [replace(rule, weight=rule.weight * (1 if rule.body[0] >= 0 else -1)) for rule in rules]
    model = RuleModel(Program(TableQuantiser(tuple(atoms), columns), ("0",), rules, decision=Decision.SUM), "test")
    content = model.to_onnx()
    assert b"TreeEnsemble" in content
    rows = np.array([[np.nan, 0], [0, 0], [1, 0], [2, np.nan], [np.inf, 1], [-np.inf, 1]])
    np.testing.assert_array_equal(run_model(content, list(rows.T))["scores"][:, 0], model.predict(rows))
    np.testing.assert_array_equal(read_onnx(content, "file").predict(rows), model.predict(rows))


@try_examples(10)
@given(st.randoms(use_true_random=False))
def test_circuits(rng):
    graph = make_aig(rng.randint)
    model = from_circuit(graph.to_aag(list(range(len(graph.gates)))))
    assume(model.program.quantiser.atoms and model.program.outputs)
    content = model.to_onnx()
    rows = list_rows(model.n_features_in_).astype(float)
    np.testing.assert_array_equal(run_model(content, list(rows.T))["truths"], model.predict(rows))
    np.testing.assert_array_equal(read_onnx(content, "file").predict(rows), model.predict(rows))


def test_columns_that_are_called_like_outputs_and_nodes():
    columns = tuple(Column(name) for name in ("label", "Greater_2", "constant_0", "Cast_3"))
    atoms = tuple(TableAtom(i, column.name, ">", 0.5) for i, column in enumerate(columns))
    classes = ('it\'s\n"x"', "é")
    model = RuleModel(Program(TableQuantiser(atoms, columns), classes, [ClassRule(0, (0, ~2)), ClassRule(1, (1, 3))]))
    rows = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0], [-0.0, np.inf, np.nan, 1]])
    content = model.to_onnx()
    wanted = [*classes, "", classes[1]]
    assert run_model(content, list(rows.T))["label_"].tolist() == wanted
    again = read_onnx(content, "file")
    assert again.feature_names_in_.tolist() == [column.name for column in columns]
    assert [answer or "" for answer in again.predict(rows)] == wanted


def test_one_column_keeps_its_name():
    model = load("label(X,'a') :- age(X,N), N =< 40.")
    again = read_onnx(model.to_onnx(), "file")
    assert again.predict({"pay": [1.0, 90.0], "age": [50.0, 30.0]}).tolist() == [None, "a"]


def test_scores_that_are_scaled_keep_their_classes():
    """At a score of 0 the second class wins by the smallest number there is, which a scale would make 0."""
    columns = (Column("a"), Column("b"))
    atoms = (TableAtom(0, "a", ">", 0.0),)
    rules = [ClassRule(1, (0,), weight=1.0), ClassRule(1, (~0,), weight=0.0)]
    for scale, link in ((0.3, "sigmoid"), (2.0, "sigmoid"), (0.3, "margin")):
        base = (JUST_BELOW_ZERO, 0.0)
        program = Program(TableQuantiser(atoms, columns), ("x", "y"), rules, decision=Decision.VOTE, base=base)
        model = RuleModel(program, "test", link=link, scale=scale)
        rows = np.array([[1.0, 0], [0.0, 0], [np.nan, 0]])
        content = model.to_onnx()
        assert b"TreeEnsemble" in content
        assert run_model(content, list(rows.T))["label"].tolist() == model.predict(rows).tolist() == ["y"] * 3


@pytest.mark.parametrize(
    ("decision", "link", "output", "answer"),
    [
        (Decision.SUM, "identity", "scores", "predict"),
        (Decision.SUM, "exp", "scores", "predict"),
        (Decision.VOTE, "margin", "scores", "decision_function"),
        (Decision.VOTE, "sigmoid", "probabilities", "predict_proba"),
        (Decision.VOTE, "softmax", "probabilities", "predict_proba"),
    ],
)
def test_scales_that_are_no_powers_of_two_are_read_back(decision, link, output, answer):
    columns = (Column("a"), Column("b"))
    atoms = (TableAtom(0, "a", ">", 0.0), TableAtom(1, "b", "<=", 1.5, True))
    n_classes = {"softmax": 3, "exp": 1, "identity": 1}.get(link, 2)
    classes = (1, 1, 1, 1) if n_classes == 2 else np.arange(4) % n_classes  # two share the score of the second
    bodies = ((0,), (~0,), (1,), (~1,))
    rules = [
        ClassRule(int(c), body, weight=0.1 * i - 0.3) for i, (c, body) in enumerate(zip(classes, bodies, strict=True))
    ]
    program = Program(TableQuantiser(atoms, columns), ("x", "y", "z")[:n_classes], rules, decision=decision)
    rows = np.array([[1.0, 0], [0.0, 2.0], [np.nan, np.nan], [1.0, 9.0]])
    for scale, divisor in ((0.3, 1.0), (1.7, 3.0), (-0.7, 1.0)):
        model = RuleModel(program, "test", link=link, scale=scale, divisor=divisor)
        content = model.to_onnx()
        again, found = read_onnx(content, "file"), run_model(content, list(rows.T))
        wanted = getattr(model, answer)(rows)
        for got in (found[output], getattr(again, answer)(rows)):
            shown = got[:, 1] if got.ndim > wanted.ndim and got.shape[1] == 2 else got
            np.testing.assert_allclose(np.reshape(shown, wanted.shape), wanted, rtol=1e-14, atol=1e-15)
        if decision is Decision.VOTE:
            assert found["label"].tolist() == again.predict(rows).tolist() == model.predict(rows).tolist()


def test_sums_that_plain_operators_would_not_change_are_refused():
    columns = (Column("a"), Column("t", "text"))
    atoms = (TableAtom(0, "a", ">", 0.0), TableAtom(1, "t", "in", ("x",)))
    rules = [ClassRule(0, (0,), weight=1.0), ClassRule(0, (1,), weight=2.0)]
    program = Program(TableQuantiser(atoms, columns), ("0",), rules, decision=Decision.SUM)
    assert RuleModel(program).to_onnx()
    for changed in ({"link": "exp"}, {"divisor": 3.0}, {"scale": 2.0}):
        with pytest.raises(ModelError, match="its rules are no trees over numbers alone.*write it as asp"):
            RuleModel(program, "a model", **changed).to_onnx()


def test_what_onnx_cannot_hold():
    columns = (Column("a", "loose"),)
    atoms = (TableAtom(0, "a", "in", ("x",)), TableAtom(0, "a", ">", 1.0))
    with pytest.raises(ProgramError, match="column 'a' is compared with numbers and with texts"):
        Program(TableQuantiser(atoms, columns), ("c",), [ClassRule(0, (0, 1))]).to_onnx()
    with pytest.raises(ProgramError, match="ONNX can't tell an empty text from a missing one"):
        atoms = (TableAtom(0, "a", "in", ("x", "")),)
        Program(TableQuantiser(atoms, columns), ("c",), [ClassRule(0, (0,))]).to_onnx()
    with pytest.raises(ProgramError, match="without rules or comparisons"):
        Program(TableQuantiser(atoms, columns), ("c",), ()).to_onnx()
    wide = TableQuantiser(tuple(TableAtom(0, "a", ">", float(i)) for i in range(12_000)), columns)
    rules = [ClassRule(0, (i,)) for i in range(12_000)]
    with pytest.raises(ProgramError, match="takes more than 1 GiB; write it as asp"):
        Program(wide, ("c",), rules).to_onnx()


def test_convert_writes_a_file_that_predict_reads(tmp_path):
    rules, path = tmp_path / "rules.lp", tmp_path / "rules.onnx"
    rules.write_text("label(X,'a') :- age(X,N), N =< 40, not job(X,'none').\nlabel(X,'b') :- age(X,N), N =< 60.\n")
    runner = CliRunner().invoke(app, ["convert", str(rules), "-o", str(path), "--format", "onnx"])
    assert runner.exit_code == 0, runner.output
    found = run_model(
        path.read_bytes(), [np.array([30.0, 50.0, 30.0, 70.0]), np.array(["x", "x", "none", "x"], object)]
    )
    assert found["label"].tolist() == ["a", "b", "b", ""]
    assert load(path).source == "ONNX rules"
