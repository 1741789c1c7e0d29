"""Few rows are walked, many are packed: the answers are the same to the bit, and what can't be walked isn't."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn import ensemble
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from eric_fast.errors import DataError
from eric_fast.frontends.registry import load
from eric_fast.jit import SlowBudget
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table import tree_walk
from eric_fast.table.model import RuleModel
from tests.boosters import add_edges

SOURCES = {
    "forest": (ensemble.RandomForestClassifier(6, max_depth=6, random_state=0), load_digits),
    "boosting": (ensemble.GradientBoostingClassifier(n_estimators=4, random_state=0), load_digits),
    "two classes": (ensemble.GradientBoostingClassifier(n_estimators=4, random_state=0), load_breast_cancer),
    "regression": (ensemble.ExtraTreesRegressor(5, max_depth=7, random_state=0), load_diabetes),
    "histograms": (ensemble.HistGradientBoostingClassifier(max_iter=3, random_state=0), load_breast_cancer),
}


@pytest.fixture(autouse=True)
def _compile_all(monkeypatch):
    """Walking is never plain Python: what isn't compiled yet would be packed here."""
    monkeypatch.setattr(SlowBudget, "is_open", False)


def list_walkers(model):
    """The model's own, and one that follows links where it has masks."""
    yield model.walker
    linked = replace(model.walker, masks=None)
    if model.walker.masks is not None and linked._way[0] is not None:
        yield linked


def walk(walker, rows):
    """All that a model can be asked, a few rows at a time; each time they must have been walked."""
    wanted = {"classes": True, "scores": True, "leaves": True}
    parts = []
    n_once = min(96, walker.most_rows)
    for first in range(0, len(rows), n_once):
        outcome = walker.evaluate(rows[first : first + n_once], wanted)
        assert outcome is not None
        parts.append(outcome)
    return [torch.cat([getattr(part, name) for part in parts]) for name in wanted]


def pack(model, rows):
    n_rows = len(rows)
    rows = np.resize(rows, (max(n_rows, model.walker.most_rows + 1), rows.shape[1])).astype(rows.dtype)  # again
    outcome = model.evaluate(rows, classes=True, scores=True, leaves=True)
    return [outcome.classes[:n_rows], outcome.scores[:n_rows], outcome.leaves[:n_rows]]


def check(model, rows):
    expected = pack(model, rows)
    for walker in list_walkers(model):
        for few, many in zip(walk(walker, rows), expected, strict=True):
            assert few.dtype == many.dtype
            torch.testing.assert_close(few, many, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", SOURCES)
def test_few_rows_are_answered_as_many_are(name):
    source, load_data = SOURCES[name]
    features, target = load_data(return_X_y=True)
    model = load(source.fit(features, target))
    rows = add_edges(model, features[:200], infinite=name == "histograms")
    rows = rows if name == "histograms" else np.nan_to_num(rows)
    check(model, rows)
    check(model, rows.astype(np.float32))
    check(model, np.asfortranarray(rows))
    np.testing.assert_array_equal(model.predict(rows)[:9], model.predict(rows[:9]))
    np.testing.assert_array_equal(source.predict(rows[:1]), model.predict(rows[:1]))


COLUMNS = (Column("a"), Column("b"))
OPERATORS = (">", "<=", "==", "<", ">=", "!=")


def make_model(rules, *, kernel_rules=(), derived=(), columns=COLUMNS, decision="vote", **options):
    """Atoms 2 i and 2 i + 1: column a by operator i, and column b by it, which a missing value makes true."""
    atoms = tuple(
        TableAtom(c, columns[c].name, operator, float(c), missing=c == 1) for operator in OPERATORS for c in range(2)
    )
    quantiser = TableQuantiser(atoms, columns)
    program = Program(quantiser, ("x", "y"), tuple(rules), kernel_rules, decision=decision, derived=derived, **options)
    return RuleModel(program)


def test_rules_that_are_no_trees_and_rows_that_none_fires_on():
    lot = np.random.default_rng(0)
    rules = [
        ClassRule(0, (0, 4), weight=0.1),  # contradictory
        ClassRule(1, (3, 3, 8), weight=0.7),
        *(ClassRule(int(lot.integers(2)), (i,), weight=float(lot.normal())) for i in range(12)),
        *(ClassRule(int(lot.integers(2)), (~i, (5 * i) % 12), weight=float(lot.normal())) for i in range(12)),
    ]
    values = np.array([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan])
    rows = np.tile(np.array(np.meshgrid(values, values)).reshape(2, -1).T, (2, 1))
    for some in (rules, rules[:2], rules[2:4]):
        for default in (None, 1):
            check(make_model(some, default=default, base=(0.25, -0.5)), rows)


def test_a_tree_that_lacks_a_leaf():
    rules = [ClassRule(0, (0, 2), weight=1.5), ClassRule(1, (0, ~2), weight=0.3), ClassRule(1, (~0, 4), weight=2.5)]
    rows = np.random.default_rng(0).integers(-1, 3, (200, 2)).astype(float)
    check(make_model(rules), rows)


def test_what_is_not_walked():
    rule = ClassRule(0, (0,))
    rows = np.zeros((2, 2))
    assert make_model([rule]).walker.evaluate(rows, {"classes": True}) is not None
    assert make_model([rule], decision="first").walker is None
    assert make_model([]).walker is None
    assert make_model([ClassRule(0, (12,))], kernel_rules=(Rule(12, (0, 2)),), derived=("d",)).walker is None
    assert make_model([rule], columns=(Column("a"), Column("b", "float32"))).walker is None
    unequal = replace(make_model([ClassRule(0, (10,))]).walker, masks=None)
    assert unequal.evaluate(rows, {"classes": True}) is None  # a comparison with two bounds
    model = make_model([rule])
    for data in (rows.tolist(), rows.astype(int), rows.astype(">f8"), torch.zeros(2, 2), np.zeros((0, 2)), rows[:, :1]):
        assert model.walker.evaluate(data, {"classes": True}) is None
    assert model.walker.evaluate(np.zeros((model.walker.most_rows + 1, 2)), {"classes": True}) is None
    assert model.walker.evaluate(rows, {"classes": True, "rules": True}) is None
    with pytest.raises(DataError, match="expected a table of 2 columns"):
        model.predict(np.zeros((1, 3)))
    refusing = RuleModel(model.program, values="finite")
    with pytest.raises(DataError, match="row 0, column 'b': the value is missing"):
        refusing.predict(np.array([[0.0, np.nan]]))


def test_how_many_rows_are_walked_depends_on_the_trees():
    features, target = load_breast_cancer(return_X_y=True)
    few, many = (
        load(ensemble.RandomForestClassifier(n, max_depth=8, random_state=0).fit(features, target)) for n in (1, 100)
    )
    assert many.walker.most_rows < few.walker.most_rows == 1024
    assert many.walker.evaluate(np.resize(features, (many.walker.most_rows + 1, 30)), {"classes": True}) is None


def test_many_constants_in_a_column_and_trees_of_many_leaves():
    """Pivots in several groups; words of 64 bits, and trees that have too many leaves for these."""
    rng = np.random.default_rng(0)
    features = np.round(rng.normal(size=(1500, 2)), 3)
    for n_leaves, is_masked in ((2, True), (40, True), (64, True), (65, False)):
        source = ensemble.RandomForestRegressor(8, max_leaf_nodes=n_leaves, random_state=0)
        model = load(source.fit(features, features[:, 0] ** 2 + features[:, 1]))
        assert (model.walker.masks is not None) == is_masked
        rows = add_edges(model, features[:20], infinite=False)
        check(model, rows[~np.isnan(rows).any(axis=1)][:300])
        np.testing.assert_array_equal(model.predict(features[:40]), source.predict(features[:40]))


def test_constants_that_are_infinite():
    columns = (Column("a"), Column("b"))
    constants = (np.inf, -np.inf, 0.0)
    atoms = tuple(
        TableAtom(0, "a", op, c, missing)
        for op in (">", "<=", "<", ">=")
        for c in constants
        for missing in (False, True)
    )
    rules = [ClassRule(0, (literal,), weight=2.0**i) for i in range(len(atoms)) for literal in (i, ~i)]
    rules = [replace(rule, weight=rule.weight * (1 if rule.body[0] >= 0 else -1)) for rule in rules]
    model = RuleModel(Program(TableQuantiser(atoms, columns), ("x", "y"), rules, decision="vote"), "test")
    check(model, np.array([[np.nan, 0], [np.inf, 0], [-np.inf, 0], [0.0, 0], [-0.0, 1]]))


def test_weight_bodies_are_no_trees():
    columns = (Column("a", "float64"), Column("b", "float64"))
    atoms = tuple(TableAtom(i, column.name, ">", 0.5, False) for i, column in enumerate(columns))
    rules = (ClassRule(0, (0, 1), weights=(1, 1), bound=1), ClassRule(1, (~0, ~1), weights=(1, 1), bound=2))
    model = RuleModel(Program(TableQuantiser(atoms, columns), ("x", "y"), rules, decision="vote"), "test")
    assert model.walker is None
    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
    assert model.predict(rows).tolist() == ["y", "x", "x", "x"]


def test_a_few_rows_of_a_frame_are_walked_too(monkeypatch):
    walked = []
    mask_rows = tree_walk.mask_rows
    monkeypatch.setattr(tree_walk, "mask_rows", lambda *arguments: walked.append(1) or mask_rows(*arguments))
    features, target = load_breast_cancer(return_X_y=True, as_frame=True)
    model = load(ensemble.RandomForestClassifier(5, max_depth=4, random_state=0).fit(features, target))
    few = features.iloc[:7]
    expected = model.predict_proba(features)[:7]
    turned = few[few.columns[::-1]]
    for data, n_walks in (
        (few, 1),
        (pa.Table.from_pandas(few), 1),
        (pa.Table.from_pandas(few).to_batches()[0], 1),
        (torch.from_numpy(few.to_numpy().copy()), 1),
        (turned, 0),  # its columns stand elsewhere
        (few.to_dict("list"), 0),
        (pa.concat_tables([pa.Table.from_pandas(few)] * 150), 0),
    ):
        walked.clear()
        np.testing.assert_array_equal(model.predict_proba(data)[:7], expected)
        assert len(walked) == n_walks
    with pytest.raises(DataError, match="the table has no column 'mean radius'"):
        model.predict(pa.Table.from_pandas(few.rename(columns={"mean radius": "radius"})))
