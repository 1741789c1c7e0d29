"""Graphs of ONNX that are more than an ensemble, against onnxruntime: bagging, boosting, scalers, what is refused."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn import ensemble, tree
from sklearn.impute import SimpleImputer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, RobustScaler, StandardScaler

from eric_fast.errors import EricError, ProgramError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.onnx import from_onnx
from eric_fast.frontends.trees.onnx_columns import ColumnStep, Feature
from tests.boosters import add_edges, check_classes, check_close
from tests.make_onnx import make_graph, make_old
from tests.onnx_runtime import convert, run
from tests.optional import import_optional

onnx = import_optional("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(200, 3)).astype(np.float32)
TWO = (DATA[:, 0] + RNG.normal(size=200) > 0).astype(int)
THREE = TWO + (DATA[:, 1] > 0)
SMALL = tree.DecisionTreeClassifier(max_depth=3, random_state=0)
FOREST = ensemble.RandomForestClassifier(3, max_depth=3, random_state=0)
BOOSTED = ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0)
CLASSIFIERS = {
    "bagging": ensemble.BaggingClassifier(SMALL, 6, max_features=2, random_state=0),
    "bagged forests": ensemble.BaggingClassifier(FOREST, 2, random_state=0),
    "AdaBoost": ensemble.AdaBoostClassifier(SMALL, n_estimators=6, random_state=0),
    "AdaBoost of one": ensemble.AdaBoostClassifier(SMALL, n_estimators=1, random_state=0),
    "one against the rest": OneVsRestClassifier(FOREST),
    "boosted ones against the rest": OneVsRestClassifier(BOOSTED),
    "scaled": make_pipeline(StandardScaler(), FOREST),
    "scaled twice": make_pipeline(RobustScaler(), MinMaxScaler(clip=True), BOOSTED),
    "filled and bagged": make_pipeline(SimpleImputer(), StandardScaler(), ensemble.BaggingClassifier(SMALL, 4)),
}


@pytest.mark.parametrize("labels", ["two", "three", "texts"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name, labels, monkeypatch):
    target = {"two": TWO, "three": THREE, "texts": np.array(["a", "b", "c"])[THREE]}[labels]
    if labels != "three" and "rest" in name:
        pytest.skip("for three classes")
    graph = convert(CLASSIFIERS[name].fit(DATA, target), DATA, monkeypatch)
    model = from_onnx(graph)
    rows = add_edges(model, DATA, infinite="scaled" not in name)
    answers, probabilities = run(graph, rows)
    check_close(model.predict_proba(rows), probabilities, 1e-6)
    check_classes(model.predict(rows), answers, probabilities, 1e-6)


@pytest.mark.parametrize(
    "source",
    [
        ensemble.BaggingRegressor(n_estimators=4, random_state=0),
        ensemble.VotingRegressor([("a", tree.DecisionTreeRegressor()), ("b", ensemble.RandomForestRegressor(3))]),
        make_pipeline(SimpleImputer(), RobustScaler(), ensemble.RandomForestRegressor(3, max_depth=4)),
    ],
)
def test_regressions(source, monkeypatch):
    graph = convert(source.fit(DATA, DATA @ [1.0, 2.0, 0.5]), DATA, monkeypatch)
    model = from_onnx(graph)
    rows = add_edges(model, DATA, infinite=False)
    check_close(model.predict(rows), run(graph, rows)[0][:, 0], 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaled_thresholds_are_exact(dtype, monkeypatch):
    """At, just below and just above each threshold that was moved to the column itself."""
    scaled = make_pipeline(StandardScaler(), MinMaxScaler(clip=True), tree.DecisionTreeRegressor())
    graph = convert(scaled.fit(DATA, DATA.sum(axis=1)), DATA, monkeypatch, dtype)
    model = from_onnx(graph)
    rows = add_edges(model, DATA, infinite=False)
    np.testing.assert_array_equal(model.predict(rows).astype(np.float32), run(graph, rows)[0][:, 0])


def test_columns_that_fall():
    """A factor below 0 turns comparisons round; a missing value that is filled compares as what fills it."""
    feature = Feature(0, "float32", "float32")
    assert feature.add(ColumnStep("Mul", np.float32(-2)), "float32").apply(np.array([3], np.float32)) == -6
    scale = helper.make_node("Scaler", ["X"], ["S"], domain="ai.onnx.ml", offset=[0.25, 0.0], scale=[-3.0, 1.0])
    graph = make_old("Regressor", ids=(0,), weights=((1.0,), (2.0,)), n_labels=1)
    graph.graph.node[0].input[0] = "S"
    graph = make_graph([scale, *graph.graph.node], list(graph.graph.output))
    rows = np.array([[v, 0] for v in (0.0, 0.0833333, 0.08333334, 0.1, 1, -1, np.nan, np.inf, -np.inf)])
    np.testing.assert_array_equal(from_onnx(graph).predict(rows), run(graph, rows)[0][:, 0])


def make_regressor(*after, tensors=(), n_trees=1, outputs=("q",)):
    """A sum of equal trees, and nodes that take it as `p`."""
    trees = make_old("Regressor", ids=(0,), weights=((-0.3,), (0.2,)), n_labels=1).graph.node[0]
    nodes, names = [], []
    for i in range(n_trees):
        node = onnx.NodeProto()
        node.CopyFrom(trees)
        node.output[0] = f"p{i}"
        nodes.append(node)
        names.append(f"p{i}")
    nodes.append(helper.make_node("Sum", names, ["p"]))
    kinds = {"l": TensorProto.INT64}
    last = [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs]
    graph = make_graph([*nodes, *after], last)
    graph.graph.initializer.extend(tensors)
    return graph


ROWS = np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [np.nan, 0.0]])
ONE = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])


@pytest.mark.parametrize("n_trees", [1, 3])
def test_what_onnxmltools_writes_for_two_classes(n_trees):
    """A sum, its sigmoid and what is left of 1, the class with the higher of them."""
    graph = make_regressor(
        helper.make_node("Sigmoid", ["p"], ["s"]),
        helper.make_node("Sub", ["one", "s"], ["n"]),
        helper.make_node("Concat", ["n", "s"], ["q"], axis=1),
        helper.make_node("ArgMax", ["q"], ["l"], axis=1, keepdims=0),
        tensors=[ONE],
        n_trees=n_trees,
        outputs=("l", "q"),
    )
    model = from_onnx(graph)
    labels, probabilities = run(graph, ROWS)
    check_close(model.predict_proba(ROWS), probabilities, 1e-6)
    np.testing.assert_array_equal(model.predict(ROWS), labels)


@pytest.mark.parametrize("n_trees", [1, 3])
@pytest.mark.parametrize("op", ["Exp", "Sigmoid", "Neg"])
def test_functions_of_sums(op, n_trees):
    graph = make_regressor(helper.make_node(op, ["p"], ["q"]), n_trees=n_trees)
    check_close(from_onnx(graph).predict(ROWS), run(graph, ROWS)[0][:, 0], 1e-6)


@pytest.mark.parametrize("op", ["Abs", "Floor", "Sqrt", "Not"])
def test_functions_of_one_tree_alone(op):
    two = make_regressor(helper.make_node(op, ["p"], ["q"], name="last"), n_trees=2)
    with pytest.raises(EricError, match=rf"op '{op}' \(node 'last'\) is supported for a single tree, but not"):
        from_onnx(two)
    if op in ("Abs", "Floor"):
        one = make_regressor(helper.make_node(op, ["p"], ["q"]))
        check_close(from_onnx(one).predict(ROWS), run(one, ROWS)[0][:, 0], 1e-6)


def node(op, *given, **attributes):
    return helper.make_node(op, ["p", *given], ["q"], name="last", **attributes)


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (make_regressor(node("Mul", "p"), n_trees=2), r"op 'Mul' \(node 'last'\) is not supported for sums"),
        (
            make_regressor(node("Add", "X"), n_trees=2),
            r"'Add' \(node 'last'\) is not supported here: columns can only be",
        ),
        (
            make_regressor(node("ReduceSum", keepdims=0, axes=[0])),
            r"'ReduceSum' \(node 'last'\) combines values of different rows",
        ),
        (make_regressor(node("Shape")), "output 'q' doesn't have an answer for each row"),
        (make_regressor(node("TopK", "one"), tensors=[ONE]), r"op 'TopK' \(node 'last'\) is not supported"),
        (make_regressor(node("Add", "lost")), "takes 'lost', which no node makes"),
        (make_regressor(node("Reshape", "one"), tensors=[ONE]), "'Reshape' .* doesn't fit its inputs"),
        (make_regressor(node("Identity"), outputs=("q", "p")), "answers with several classes or sums"),
    ],
)
def test_what_is_refused(graph, said):
    with pytest.raises(EricError, match=said):
        from_onnx(graph)


def test_columns_that_can_not_be_ordered(monkeypatch):
    graph = convert(make_pipeline(Normalizer(), FOREST).fit(DATA, TWO), DATA, monkeypatch)
    with pytest.raises(EricError, match="op 'Normalizer' .* is not supported beside a tree ensemble"):
        from_onnx(graph)
    graph = convert(make_pipeline(StandardScaler(), FOREST).fit(DATA, TWO), DATA, monkeypatch)
    graph.graph.node[0].attribute[1].floats[0] = 0.0
    with pytest.raises(EricError, match="is multiplied or divided by 0, so it can't be ordered"):
        from_onnx(graph)


def test_doubling_is_bounded():
    """Each node doubles its input: 40 of them would make a trillion elements."""
    names = ["p", *(f"d{i}" for i in range(40))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=1) for a, b in pairwise(names)]
    with pytest.raises(EricError, match="elements of tensors are too many"):
        from_onnx(make_regressor(*nodes, outputs=("d39",)))


@pytest.mark.parametrize("name", ["n_targets", "post_transform"])
def test_lists_in_place_of_numbers_are_refused(name):
    graph = make_regressor(helper.make_node("Neg", ["p"], ["q"]))
    attributes = graph.graph.node[0].attribute
    for place in [i for i, attribute in enumerate(attributes) if attribute.name == name]:
        del attributes[place]
    attributes.append(helper.make_attribute(name, [1, 2]))
    with pytest.raises(ProgramError, match=f"'{name}'"):
        from_onnx(graph)


def make_shape(name, *dims):
    return helper.make_tensor(name, TensorProto.INT64, [len(dims)], dims)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("ConstantOfShape", ["large"], [f"c{i}"]) for i in range(20)],
        [
            helper.make_node("ConstantOfShape", ["tall"], ["t"]),
            helper.make_node("ConstantOfShape", ["wide"], ["w"]),
            helper.make_node("Add", ["t", "w"], ["s"]),
        ],
        [
            helper.make_node("ConstantOfShape", ["tall"], ["t"]),
            helper.make_node("Expand", ["zero", "wide"], ["z"]),
            helper.make_node("Gather", ["t", "z"], ["g"], axis=1),
        ],
        [
            helper.make_node("Expand", ["p", "wide"], ["e"]),
            helper.make_node("Softmax", ["e"], ["s"], axis=1),
        ],
        [helper.make_node("Constant", [], ["c"])],
    ],
    ids=["many", "broadcast", "gathered", "shares", "no value"],
)
def test_what_a_graph_makes_is_bounded(nodes):
    """A few hundred bytes that ask for gigabytes; and a constant without a value."""
    shapes = [
        make_shape("large", 2**20),
        make_shape("tall", 2**16, 1),
        make_shape("wide", 1, 2**16),
        make_shape("zero", 0),
    ]
    graph = make_regressor(*nodes, helper.make_node("Neg", ["p"], ["q"]), tensors=shapes)
    with pytest.raises(ProgramError, match="elements of tensors are too many for a file|expected one value, got 0"):
        from_onnx(graph)


def test_a_file_is_read_back_from_a_text(tmp_path, monkeypatch):
    """What a graph means is all in the program's text."""
    graph = convert(CLASSIFIERS["boosted ones against the rest"].fit(DATA, THREE), DATA, monkeypatch)
    path = tmp_path / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    model = load(path)
    from eric_fast.text import save_program

    save_program(model.program, tmp_path / "model.lp")
    again = load(tmp_path / "model.lp")
    np.testing.assert_array_equal(again.predict_proba(DATA), model.predict_proba(DATA))
