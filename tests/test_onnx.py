"""Tree ensembles in ONNX against onnxruntime: what converters write, every mode of a node, what is refused."""

import numpy as np
import pytest
from sklearn import ensemble, tree

from eric_fast.errors import EricError, ModelError, ProgramError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.onnx import ONNX, from_onnx, read_onnx
from tests.boosters import add_edges, check_classes, check_close, load_data
from tests.make_onnx import after, make_new, make_old
from tests.onnx_runtime import convert, run
from tests.optional import import_optional

onnx = import_optional("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto

TOLERANCE = 1e-6


CLASSIFIERS = {
    "tree": tree.DecisionTreeClassifier(max_depth=5, random_state=0),
    "forest": ensemble.RandomForestClassifier(4, max_depth=5, random_state=0),
    "boosting": ensemble.GradientBoostingClassifier(n_estimators=2, random_state=0),
    "histograms": ensemble.HistGradientBoostingClassifier(max_iter=2, max_depth=4),
}
REGRESSORS = {
    "tree": tree.DecisionTreeRegressor(max_depth=5, random_state=0),
    "forest": ensemble.RandomForestRegressor(4, max_depth=5, random_state=0),
    "boosting": ensemble.GradientBoostingRegressor(n_estimators=4, random_state=0),
    "histograms": ensemble.HistGradientBoostingRegressor(max_iter=4),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data", ["digits", "cancer"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_of_scikit_learn(name, data, dtype, monkeypatch):
    features, target = load_data(data)
    target = np.array([f"class {i}" for i in range(10)])[target] if dtype == np.float64 else target
    graph = convert(CLASSIFIERS[name].fit(features, target), features, monkeypatch, dtype)
    model = from_onnx(graph)
    rows = add_edges(model, features)
    labels, probabilities = run(graph, rows)
    check_close(model.predict_proba(rows), probabilities, TOLERANCE)
    check_classes(model.predict(rows), labels, probabilities, TOLERANCE)
    assert model.classes_.dtype.kind == ("i" if dtype == np.float32 else "U")


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_of_scikit_learn(name, monkeypatch):
    features, target = load_data("diabetes")
    graph = convert(REGRESSORS[name].fit(features, target), features, monkeypatch)
    model = from_onnx(graph)
    rows = add_edges(model, features)
    check_close(model.predict(rows), run(graph, rows)[0][:, 0], TOLERANCE)


def test_regressor_of_several_targets(monkeypatch):
    features, _ = load_data("digits")
    graph = convert(
        ensemble.RandomForestRegressor(3, max_depth=4).fit(features, features[:, 20:23]), features, monkeypatch
    )
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    check_close(from_onnx(graph).predict(features), run(graph, features)[0], TOLERANCE)


@pytest.mark.parametrize("data", ["digits", "cancer", "diabetes"])
def test_what_catboost_writes(tmp_path, data):
    catboost = import_optional("catboost")
    features, target = load_data(data)
    kind = catboost.CatBoostRegressor if data == "diabetes" else catboost.CatBoostClassifier
    source = kind(iterations=4, depth=4, verbose=0, allow_writing_files=False, thread_count=1).fit(features, target)
    path = tmp_path / "model.onnx"
    source.save_model(str(path), format="onnx")
    assert ONNX.matches(path)
    model, graph = load(path), onnx.load(path)
    del graph.graph.node[1:]  # the map from names of classes to numbers
    if data != "diabetes":
        graph.graph.output[1].CopyFrom(
            helper.make_tensor_value_info("probability_tensor", TensorProto.FLOAT, [None, None])
        )
    rows = add_edges(model, features)
    if data == "diabetes":
        check_close(model.predict(rows), run(graph, rows)[0][:, 0], TOLERANCE)
        return
    labels, probabilities = run(graph, rows)
    check_close(model.predict_proba(rows), probabilities, TOLERANCE)
    check_classes(model.predict(rows), labels, probabilities, TOLERANCE)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.DOUBLE])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"modes": (1, 6, 5)},
        {"modes": (2, 6, 3)},
        {"modes": (3, 6, 4), "tracks": (1, 0, 1)},
        {"targets": (0, 2, 1, 1)},
        {"targets": (0, 2, 1, 1), "post_transform": 3},
        {"aggregate_function": 0},
    ],
)
def test_the_new_operator(options, dtype):
    graph = make_new(dtype, **options)
    values = [-1, 0, 0.5, 1, 2, 3, 7, 2.5, np.nan, np.inf, -np.inf, -0.0]
    rows = np.array([(a, b) for a in values for b in values])
    model = from_onnx(graph)
    answers = run(graph, rows)[0]
    check_close(model.predict(rows), answers[:, 0] if answers.shape[1] == 1 else answers, 1e-7)


ROWS = np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [np.nan, 0.0]])


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("weights", [((0.2, 0.3, 0.5), (0.6, 0.3, 0.1)), ((-2.0, 1.0, 0.5), (0.1, -0.5, -3.0))])
def test_transforms_of_three_classes(weights, transform):
    for base in ([], [0.5, -0.25, 0.1]):
        graph = make_old(weights=weights, post_transform=transform, **({"base_values": base} if base else {}))
        model = from_onnx(graph)
        labels, scores = run(graph, ROWS)
        answers = model.predict_proba if hasattr(model, "predict_proba") else model.decision_function
        check_close(answers(ROWS), scores, TOLERANCE)
        np.testing.assert_array_equal(model.predict(ROWS), labels)


@pytest.mark.parametrize("base", [{}, {"base_values": [0.1]}])
@pytest.mark.parametrize("weights", [((0.3,), (0.7,)), ((-0.3,), (0.2,)), ((0.3,), (0.45,))])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
def test_two_classes_by_one_weight(transform, weights, base):
    graph = make_old(ids=(0,), weights=weights, n_labels=2, post_transform=transform, **base)
    model = from_onnx(graph)
    labels, scores = run(graph, ROWS)
    np.testing.assert_array_equal(model.predict(ROWS), labels)
    if hasattr(model, "predict_proba"):
        check_close(model.predict_proba(ROWS), scores, TOLERANCE)
    else:
        check_close(model.decision_function(ROWS), scores[:, 1], TOLERANCE)


@pytest.mark.parametrize("weights", [((-0.7, 0.7), (0.4, -0.4)), ((0.7, 0.0), (0.0, 0.8)), ((0.7, -0.3), (-0.2, 0.8))])
def test_two_classes_by_two_weights_that_agree(weights):
    graph = make_old(ids=(0, 1), weights=weights, n_labels=2)
    rows = np.array([[0, 0], [1, 0]])
    np.testing.assert_array_equal(from_onnx(graph).predict(rows), run(graph, rows)[0])


def test_half_of_the_trees_is_no_majority(monkeypatch):
    """Six trees of pure leaves: in float32 three sixths are a half, in float64 a little more."""
    features, target = load_data("cancer")
    forest = ensemble.ExtraTreesClassifier(6, max_features=1, random_state=0).fit(features[:60], target[:60])
    graph = convert(forest, features, monkeypatch)
    labels, scores = run(graph, features)
    assert (np.abs(scores[:, 1] - 0.5) < 1e-6).sum() > 5
    np.testing.assert_array_equal(from_onnx(graph).predict(features), labels)


@pytest.mark.parametrize(
    ("op", "function"), [("Exp", np.exp), ("Sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("Identity", np.array)]
)
def test_what_may_follow_a_sum(op, function):
    model = from_onnx(make_old("Regressor", ids=(0,), weights=((-0.3,), (0.2,)), n_labels=1, after=after(op)))
    check_close(model.predict(ROWS), function(np.array([-0.3, 0.2, 0.2, 0.2])), TOLERANCE)


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (make_old(after=after("Tanh", name="last")), r"op 'Tanh' \(node 'last'\) is not supported beside"),
        (make_old(ids=(0, 1), n_labels=2), "two classes by weights of both mean different things"),
        (make_old(ids=(1,), n_labels=2), "mean different things to different runtimes"),
        (make_old(ids=(0,), n_labels=2, post_transform="SOFTMAX"), "mean different things to different runtimes"),
        (
            make_old(ids=(0, 1), n_labels=2, base_values=[0.1, 0.2]),
            "runtimes read 2 base values of 2 classes differently",
        ),
        (make_old(ids=(0, 1), weights=((-1.0, 2.0), (1.0, 0.0))), "some leaves have no weight for some class"),
        (make_old(post_transform="PROBIT"), "compute post_transform PROBIT differently"),
        (make_old("Regressor", n_labels=1, ids=(0,), post_transform="LOGISTIC"), "of one sum differently"),
        (make_old("Regressor", aggregate_function="MIN"), "aggregate_function MIN is not supported"),
        (make_old(nodes_modes=["BRANCH_MEMBER", "LEAF", "LEAF"]), "'BRANCH_MEMBER' is not one of"),
        (make_old(nodes_modes=["LEAF", "LEAF"]), "2 modes for 3 nodes"),
        (make_old(nodes_truenodeids=[9, 0, 0]), "node 9 of tree 0 is missing"),
        (make_old(nodes_truenodeids=[2, 0, 0]), "a tree must have one root"),
        (make_old(nodes_truenodeids=[0, 0, 0]), "no path leads to some"),
        (make_old(ids=(0, 7, 2)), "an output out of range: there are 3"),
        (make_old(base_values=[float("nan")] * 3), "'base_values' must be finite"),
        (make_new(post_transform=1), "ONNX and onnxruntime disagree"),
        (make_new(aggregate_function=3), "aggregate_function MAX is not supported"),
        (make_new(tree_roots=[5]), "'tree_roots' has a number past the 3 nodes"),
        (make_new(tree_roots=[0, 0]), "the nodes don't make trees"),
        (make_new(modes=(0, 0, 0)), "1 sets for 0 nodes"),
        (make_new(modes=(0, 9, 0)), "'nodes_modes' has a number past"),
    ],
)
def test_what_is_refused(graph, said):
    with pytest.raises(EricError, match=said):
        from_onnx(graph)


def test_inputs_of_one_column_each_keep_their_names():
    graph = make_old().graph
    graph.node[0].input[0] = "joined"
    node = graph.node[0]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("age", "height")]
    nodes = [helper.make_node("Concat", ["age", "height"], ["joined"], axis=1), node]
    model = from_onnx(helper.make_model(helper.make_graph(nodes, "g", inputs, list(graph.output))))
    assert model.feature_names_in_.tolist() == ["age", "height"]


def test_files_that_are_no_models(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ProgramError, match="not an ONNX model"):
        load(path)
    path.write_bytes(b"\x08\x08")  # a version alone
    with pytest.raises(ModelError, match="no tree ensemble"):
        load(path)
    graph = make_old()
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2_000_000_000
    with pytest.raises(ProgramError, match="2,000,000,000 features are too many for a file"):
        from_onnx(graph)


def test_names_of_attributes_are_utf_8():
    damaged = make_new().SerializeToString().replace(b"membership_values", b"membership_v\x94lues")
    with pytest.raises(ProgramError, match="expected UTF-8 text for the name of an attribute"):
        read_onnx(damaged, "file")
