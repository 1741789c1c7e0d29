"""imodels' rule sets, rule lists and sums of trees: each fitted object as a `RuleModel` with the same answers.

Values are compared in float64, as imodels compares float64 tables, and weights are added in its order.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eric_fast.errors import ModelError
from eric_fast.frontends.front_end import FrontEnd, is_from
from eric_fast.frontends.rules.conditions import Condition, Resolved, parse_condition, resolve_conditions
from eric_fast.frontends.trees.nodes import StoredTree, list_nested
from eric_fast.frontends.trees.scikit_learn import load_ada_boost
from eric_fast.frontends.trees.tree_model import make_tree_model
from eric_fast.program import ClassRule, Decision, Program
from eric_fast.program.table_atoms import Column, TableAtom
from eric_fast.table.model import RuleModel
from eric_fast.table.settings import spell_labels

# The score of class 0 with which class 1 wins above 0.5, and from 0.5 on.
ABOVE_HALF, FROM_HALF = 0.5, float(np.nextafter(0.5, 0))


def from_imodels(model: Any) -> RuleModel:
    """A fitted model of imodels with the same `predict` and `predict_proba`.

    RuleFit and FPLasso without linear terms, SkopeRules, FPSkope, GreedyRuleList, OneR, FastFrugalTree,
    BayesianRuleList, FIGS, BoostedRules, Slipper. Missing and infinite values are refused, as imodels refuses them.

    Raises:
        ModelError: a model that is not fitted, of another kind, or that only imodels itself can answer.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> from imodels import SkopeRulesClassifier
        >>> source = SkopeRulesClassifier(random_state=0, n_estimators=5).fit(rows, labels == 2)
        >>> bool((ef.from_imodels(source).predict(rows) == source.predict(rows)).all())
        True
    """
    name = type(model).__name__
    if name not in _KINDS:
        raise ModelError(f"a {name} can't be converted; supported are {', '.join(sorted(_KINDS))}")
    model = getattr(model, "figs", model) if name.endswith("CV") else model
    if not hasattr(model, _KINDS[name][1]):
        raise ModelError(f"the {name} isn't fitted; call its fit first")
    return _KINDS[name][0](model)


def _list_columns(source: Any) -> tuple[Column, ...]:
    """The features, by the names that the source was given or made up, else `x0`, `x1` and so on."""
    for attribute in ("feature_names_in_", "feature_names_", "feature_names"):
        names = getattr(source, attribute, None)
        if names is not None and len(names) == source.n_features_in_:
            return tuple(Column(str(name)) for name in names)
    return tuple(Column(f"x{i}") for i in range(source.n_features_in_))


def _make_model(
    source: Any,
    resolved: Resolved,
    rules: Sequence[ClassRule],
    *,
    default: int | None = None,
    base: Sequence[float] = (),
    **settings: Any,
) -> RuleModel:
    """A classifier of two classes, or a regression; `settings`: other arguments of `RuleModel`."""
    is_classifier = hasattr(source, "classes_")
    if is_classifier and len(source.classes_) != 2:
        raise ModelError(f"the {type(source).__name__} has {len(source.classes_)} classes, not 2")
    program = Program(
        resolved.quantiser,
        tuple(spell_labels(source.classes_)) if is_classifier else ("y",),
        tuple(rules),
        resolved.rules,
        decision=Decision.of_sums(classify=is_classifier),
        default=default,
        base=tuple(base),
        derived=resolved.derived,
    )
    labels = source.classes_ if is_classifier else None
    return RuleModel(program, f"imodels {type(source).__name__}", labels, **_list_settings(source), **settings)


def _list_settings(source: Any) -> dict[str, Any]:
    return {"values": "finite", "named": hasattr(source, "feature_names_in_")}


def _parse_rules(source: Any, columns: Sequence[Column]) -> tuple[list[Condition], list[float]]:
    """The rules of a rule set, and their weights."""
    place_of = {name: place for place, name in enumerate(source.feature_placeholders.tolist())}
    rules = source.rules_without_feature_names_
    return [parse_condition(str(rule), place_of, columns) for rule in rules], [float(rule.args[0]) for rule in rules]


def _load_rule_fit(source: Any) -> RuleModel:
    """The weights of the rules that hold, then the intercept; class 1 is predicted above 0.5."""
    linear = np.asarray(source.coef[: source.n_features_in_], np.float64)
    if source.include_linear and linear.any():
        raise ModelError(
            f"the {type(source).__name__} adds linear terms of {np.count_nonzero(linear)} features, which rules can't "
            "express; fit it with include_linear=False"
        )
    columns = _list_columns(source)
    conditions, weights = _parse_rules(source, columns)
    resolved = resolve_conditions(columns, conditions)
    is_classifier = hasattr(source, "classes_")
    head = 1 if is_classifier else 0
    last = [float(np.ravel(source.intercept)[0])] + [-0.5] * is_classifier
    rules = [ClassRule(head, body, weight=weight) for body, weight in zip(resolved.bodies, weights, strict=True)]
    rules += [ClassRule(head, (), weight=weight) for weight in last]
    if is_classifier:  # imodels takes the softmax of 1 - sum and sum
        return _make_model(source, resolved, rules, link="sigmoid", scale=2.0)
    return _make_model(source, resolved, rules)


def _load_skope(source: Any) -> RuleModel:
    """The rules that hold, by their share of all weights."""
    columns = _list_columns(source)
    conditions, weights = _parse_rules(source, columns)
    total = float(np.sum(weights))
    resolved = resolve_conditions(columns, conditions if total else [])
    rules = [ClassRule(1, body, weight=weight) for body, weight in zip(resolved.bodies, weights, strict=False)]
    base = (total * ABOVE_HALF, 0.0)
    return _make_model(source, resolved, rules, default=0, base=base, link="probability", divisor=total or 1.0)


def _make_list(source: Any, conditions: Sequence[Condition], chances: Sequence[float], least: float) -> RuleModel:
    """A rule list: the chance of class 1 if a condition holds and none before it; the last chance has no condition."""
    resolved = resolve_conditions(_list_columns(source), conditions, single=True)
    literals = [literal for (literal,) in resolved.bodies]
    rules = []
    for i, chance in enumerate(chances):
        body = [~literal for literal in literals[:i]] + literals[i : i + 1]
        rules.append(ClassRule(1, tuple(body), weight=chance))
    return _make_model(source, resolved, rules, base=(least, 0.0), link="probability")


def _load_rule_list(source: Any) -> RuleModel:
    """Greedy lists compare by `>=`, fast and frugal trees by `>`; `flip` inverts that."""
    above, below = (">", "<=") if type(source).__name__ == "FastFrugalTreeClassifier" else (">=", "<")
    columns = _list_columns(source)
    *rules, last = source.rules_
    conditions = []
    for rule in rules:
        column = int(rule["index_col"])
        operator = below if rule["flip"] else above
        conditions.append((TableAtom(column, columns[column].name, operator, float(rule["cutoff"])),))
    chances = [float(rule["val_right"]) for rule in rules] + [float(last["val"])]
    return _make_list(source, conditions, chances, ABOVE_HALF)


def _load_bayesian_list(source: Any) -> RuleModel:
    """A rule holds if all of its features are 1; class 1 is predicted from 0.5 on."""
    columns = _list_columns(source)
    place_of = {name: place for place, name in enumerate(source.feature_placeholders.tolist())}
    until_null = source.d_star[: source.d_star.index(0)]
    conditions = [
        tuple(TableAtom(place_of[item], columns[place_of[item]].name, "==", 1.0) for item in source.itemsets[number])
        for number in until_null
    ]
    chances = [float(chance) for chance in source.theta[: len(until_null) + 1]]
    return _make_list(source, conditions, chances, FROM_HALF)


def _load_figs(source: Any) -> RuleModel:
    """Trees whose values are added up."""
    if hasattr(source, "_encoder"):
        raise ModelError(
            f"the {type(source).__name__} encodes categorical_features itself; encode them before you fit it"
        )
    is_classifier = hasattr(source, "classes_")
    n_outputs = int(source.n_outputs)
    name = type(source).__name__
    return make_tree_model(
        f"imodels {name}",
        _list_columns(source),
        [_read_tree(tree, n_outputs) for tree in source.trees_],
        name,
        n_outputs=n_outputs,
        outputs=["y"] if n_outputs == 1 else [f"y{i}" for i in range(n_outputs)],
        labels=source.classes_ if is_classifier else None,
        default=0 if is_classifier else None,
        most_depth=math.inf,  # it is no file of someone else's
        link="softmax only" if is_classifier else "identity",
        **_list_settings(source),
    )


def _read_tree(root: Any, n_outputs: int) -> StoredTree:
    def get_children(node: Any) -> tuple[Any, Any] | None:
        return None if node.left is None or node.right is None else (node.left, node.right)

    nodes, yes, no = list_nested(root, get_children)
    column, constant, values = np.full(len(nodes), -1), np.zeros(len(nodes)), np.zeros((len(nodes), n_outputs))
    for i, node in enumerate(nodes):
        if yes[i] < 0:
            values[i] = np.ravel(node.value)
        else:
            column[i], constant[i] = node.feature, node.threshold
    return StoredTree(column, constant, yes, no, np.zeros(len(nodes), np.bool_), values)


def _check_codes(source: Any) -> None:
    """Raises ModelError for labels other than 0, 1, ...: imodels compares them with the codes of the classes."""
    if source.classes_.tolist() != list(range(len(source.classes_))):
        raise ModelError(
            f"the labels of a {type(source).__name__} must be 0, 1, ..., because imodels mishandles others; "
            "fit it to those"
        )


def _load_boosted(source: Any) -> RuleModel:
    _check_codes(source)
    found = load_ada_boost(source)
    return replace(found, source=f"imodels {type(source).__name__}")


def _load_slipper(source: Any) -> RuleModel:
    """Rules that add their weight to the score if they hold, and subtract it if they don't."""
    _check_codes(source)
    columns = _list_columns(source)
    conditions = []
    for part in source.estimators_:
        tests = [(int(test["feature"]), test["operator"], float(test["pivot"])) for test in part.rule]
        conditions.append(tuple(TableAtom(column, columns[column].name, *test) for column, *test in tests))
    resolved = resolve_conditions(columns, conditions, single=True)
    rules: list[ClassRule] = []
    for (literal,), weight in zip(resolved.bodies, source.estimator_weights_.tolist(), strict=False):
        rules += [ClassRule(1, (literal,), weight=weight), ClassRule(1, (~literal,), weight=-weight)]
    total = float(source.estimator_weights_.sum())
    return _make_model(source, resolved, rules, default=0, link="sigmoid", divisor=total / 2)


# Class -> what loads it, and an attribute that a fitted one has.
_KINDS: dict[str, tuple[Callable[[Any], RuleModel], str]] = {
    **dict.fromkeys(
        ("RuleFitClassifier", "RuleFitRegressor", "FPLassoClassifier", "FPLassoRegressor"),
        (_load_rule_fit, "rules_without_feature_names_"),
    ),
    **dict.fromkeys(("SkopeRulesClassifier", "FPSkopeClassifier"), (_load_skope, "rules_without_feature_names_")),
    **dict.fromkeys(
        ("GreedyRuleListClassifier", "OneRClassifier", "FastFrugalTreeClassifier"), (_load_rule_list, "rules_")
    ),
    "BayesianRuleListClassifier": (_load_bayesian_list, "final_itemsets"),
    **dict.fromkeys(("FIGSClassifier", "FIGSRegressor", "FIGSClassifierCV", "FIGSRegressorCV"), (_load_figs, "trees_")),
    "BoostedRulesClassifier": (_load_boosted, "estimators_"),
    "SlipperClassifier": (_load_slipper, "estimators_"),
}


def _matches(source: Any) -> bool:
    """Whether this is an object of imodels' own; a class derived from one may answer anything."""
    return is_from(source, "imodels")


IMODELS = FrontEnd("imodels", _matches, from_imodels)
