"""imodels' rule sets, rule lists and sums of trees: each fitted object as a `RuleModel` that answers the same.

Values are compared in float64, as imodels compares a table of float64, and weights are added in its order.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eric_fast.errors import ModelError
from eric_fast.frontends.rules.conditions import Condition, parse_condition, resolve_conditions
from eric_fast.frontends.trees import scikit_learn
from eric_fast.frontends.trees.forest import Forest, list_comparisons, list_leaves
from eric_fast.program import ClassRule, Decision, Program
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table.answers import spell_labels
from eric_fast.table.model import RuleModel

ABOVE_HALF, FROM_HALF = 0.5, float(np.nextafter(0.5, 0))  # what class 0 scores where class 1 wins above, or from, 0.5


def matches(source: Any) -> bool:
    """Whether this is an object of imodels' own; of a class derived from one it can't be said what it answers."""
    return type(source).__module__.partition(".")[0] == "imodels"


def load_source(source: Any) -> RuleModel:
    """See `from_imodels`."""
    return from_imodels(source)


def from_imodels(model: Any) -> RuleModel:
    """A fitted model of imodels with the same `predict` and `predict_proba`.

    RuleFit and FPLasso without linear terms, SkopeRules, FPSkope, GreedyRuleList, OneR, FastFrugalTree,
    BayesianRuleList, FIGS, BoostedRules, Slipper. Missing and infinite values are refused, as imodels refuses them.

    Raises:
        ModelError: not fitted, of another kind, or something that only the source itself can answer.
    """
    name = type(model).__name__
    if name not in _KINDS:
        raise ModelError(f"a {name} is nothing that can be converted; these can: {', '.join(sorted(_KINDS))}")
    model = getattr(model, "figs", model) if name.endswith("CV") else model
    if not hasattr(model, _KINDS[name][1]):
        raise ModelError(f"the {name} isn't fitted; call its fit first")
    return _KINDS[name][0](model)


def _list_columns(source: Any) -> tuple[Column, ...]:
    """The features by the names that the source was given, else by those that it made up, else `x0`, `x1`, ..."""
    for attribute in ("feature_names_in_", "feature_names_", "feature_names"):
        names = getattr(source, attribute, None)
        if names is not None and len(names) == source.n_features_in_:
            return tuple(Column(str(name)) for name in names)
    return tuple(Column(f"x{i}") for i in range(source.n_features_in_))


def _make_model(source: Any, program: Program, **settings: Any) -> RuleModel:
    labels = None if program.decision.gives_sums else source.classes_
    named = hasattr(source, "feature_names_in_")
    return RuleModel(program, f"imodels {type(source).__name__}", labels, values="finite", named=named, **settings)


def _name_classes(source: Any) -> tuple[str, ...]:
    if len(source.classes_) != 2:
        raise ModelError(f"the {type(source).__name__} has {len(source.classes_)} classes, not 2")
    return tuple(spell_labels(source.classes_))


def _parse_rules(source: Any, columns: Sequence[Column]) -> tuple[list[Condition], list[float]]:
    """The rules of a rule set, over placeholders, and their weights."""
    place_of = {name: place for place, name in enumerate(source.feature_placeholders.tolist())}
    rules = source.rules_without_feature_names_
    return [parse_condition(str(rule), place_of, columns) for rule in rules], [float(rule.args[0]) for rule in rules]


def _load_rule_fit(source: Any) -> RuleModel:
    """The weights of the rules that hold, in turn, then the intercept; a class is told by which side of 0.5 it is."""
    linear = np.asarray(source.coef[: source.n_features_in_], np.float64)
    if source.include_linear and linear.any():
        raise ModelError(
            f"the {type(source).__name__} adds linear terms of {np.count_nonzero(linear)} features, no rules; "
            "fit it with include_linear=False"
        )
    columns = _list_columns(source)
    conditions, weights = _parse_rules(source, columns)
    resolved = resolve_conditions(columns, conditions)
    is_classifier = hasattr(source, "classes_")
    head = 1 if is_classifier else 0
    last = [float(np.ravel(source.intercept)[0])] + [-0.5] * is_classifier
    rules = [ClassRule(head, body, weight=weight) for body, weight in zip(resolved.bodies, weights, strict=True)]
    program = Program(
        resolved.quantiser,
        _name_classes(source) if is_classifier else ("y",),
        (*rules, *(ClassRule(head, (), weight=weight) for weight in last)),
        decision=Decision.of_sums(classify=is_classifier),
    )
    if is_classifier:  # the source's softmax of 1 - sum and sum
        return _make_model(source, program, link="sigmoid", scale=2.0)
    return _make_model(source, program)


def _load_skope(source: Any) -> RuleModel:
    """The share of the rules' weights whose rules hold."""
    columns = _list_columns(source)
    conditions, weights = _parse_rules(source, columns)
    total = float(np.sum(weights))
    resolved = resolve_conditions(columns, conditions if total else [])
    program = Program(
        resolved.quantiser,
        _name_classes(source),
        tuple(ClassRule(1, body, weight=weight) for body, weight in zip(resolved.bodies, weights, strict=False)),
        decision=Decision.VOTE,
        default=0,
        base=(total * ABOVE_HALF, 0.0),
    )
    return _make_model(source, program, link="probability", divisor=total or 1.0)


def _make_list(source: Any, conditions: Sequence[Condition], chances: Sequence[float], least: float) -> RuleModel:
    """A list of rules: where a condition holds and none before it, this is class 1's chance; the last has none."""
    resolved = resolve_conditions(_list_columns(source), conditions)
    literals = resolved.literals
    rules = []
    for i, chance in enumerate(chances):
        body = [~literal for literal in literals[:i]] + literals[i : i + 1]
        rules.append(ClassRule(1, tuple(body), weight=chance))
    program = Program(
        resolved.quantiser,
        _name_classes(source),
        tuple(rules),
        resolved.rules,
        decision=Decision.VOTE,
        base=(least, 0.0),
        derived=resolved.derived,
    )
    return _make_model(source, program, link="probability")


def _load_rule_list(source: Any) -> RuleModel:
    """Greedy lists compare with `>=`, fast and frugal trees with `>`; `flip` turns it around."""
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
    """A rule holds where all of its features are 1; class 1 is answered from 0.5 on."""
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
            f"the {type(source).__name__} encodes categorical_features itself; encode them before it is fitted"
        )
    forest = _read_trees(source)
    is_classifier = hasattr(source, "classes_")
    n_outputs = int(source.n_outputs)
    outputs = ("y",) if n_outputs == 1 else tuple(f"y{i}" for i in range(n_outputs))
    program = Program(
        TableQuantiser(forest.atoms, forest.columns),
        tuple(spell_labels(source.classes_)) if is_classifier else outputs,
        list_leaves(forest),
        decision=Decision.of_sums(classify=is_classifier),
        default=0 if is_classifier else None,
    )
    return _make_model(source, program, link="softmax only" if is_classifier else "identity")


def _read_trees(source: Any) -> Forest:
    columns = _list_columns(source)
    roots: list[int] = []
    nodes: list[Any] = []
    children: list[tuple[int, int]] = []
    for tree in source.trees_:
        roots.append(len(nodes))
        nodes.append(tree)
        while len(children) < len(nodes):
            node = nodes[len(children)]
            if node.left is None or node.right is None:
                children.append((-1, -1))
            else:
                children.append((len(nodes), len(nodes) + 1))
                nodes += [node.left, node.right]
    ends = np.array(children, np.int64).reshape(-1, 2)
    inner = ends[:, 0] >= 0
    features = np.array([node.feature for node, splits in zip(nodes, inner, strict=True) if splits], np.int64)
    thresholds = np.array([node.threshold for node, splits in zip(nodes, inner, strict=True) if splits], np.float64)
    atoms, atom_of_test = list_comparisons(columns, features, "<=", thresholds)
    tests = np.zeros(len(nodes), np.int32)
    tests[inner] = atom_of_test
    values = np.zeros((len(nodes), int(source.n_outputs)))
    for leaf in np.flatnonzero(~inner).tolist():
        values[leaf] = np.ravel(nodes[leaf].value)
    return Forest(columns, atoms, np.array(roots, np.int64), tests, ends[:, 0].copy(), ends[:, 1].copy(), values)


def _check_codes(source: Any) -> None:
    """imodels boosts on the codes 0, 1, ... of the classes, and compares them with the labels themselves."""
    if source.classes_.tolist() != list(range(len(source.classes_))):
        raise ModelError(
            f"the labels of a {type(source).__name__} must be 0, 1, ..., for imodels itself answers wrongly to others; "
            "fit it to those"
        )


def _load_boosted(source: Any) -> RuleModel:
    _check_codes(source)
    found = scikit_learn.load_ada_boost(source)
    return replace(found, source=f"imodels {type(source).__name__}")


def _load_slipper(source: Any) -> RuleModel:
    """Rules that each add their weight to the score where they hold, and take it away where they don't."""
    _check_codes(source)
    columns = _list_columns(source)
    conditions = []
    for part in source.estimators_:
        tests = [(int(test["feature"]), test["operator"], float(test["pivot"])) for test in part.rule]
        conditions.append(tuple(TableAtom(column, columns[column].name, *test) for column, *test in tests))
    resolved = resolve_conditions(columns, conditions)
    rules: list[ClassRule] = []
    for literal, weight in zip(resolved.literals, source.estimator_weights_.tolist(), strict=False):
        rules += [ClassRule(1, (literal,), weight=weight), ClassRule(1, (~literal,), weight=-weight)]
    program = Program(
        resolved.quantiser,
        _name_classes(source),
        tuple(rules),
        resolved.rules,
        decision=Decision.VOTE,
        default=0,
        derived=resolved.derived,
    )
    total = float(source.estimator_weights_.sum())
    return _make_model(source, program, link="sigmoid", divisor=total / 2)


# By the name of the class: what loads it, and what a fitted one has.
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
