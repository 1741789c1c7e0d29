"""`FoldClassifier`: default rules with exceptions behind scikit-learn's interface."""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from eric_fast.bits import BitMatrix
from eric_fast.errors import DataError, SettingError, suggest_nearest
from eric_fast.extract import FoldLimits, TreeOptions, flatten_list, learn_decision_list, name_exceptions
from eric_fast.program import Program, TableQuantiser
from eric_fast.table.comparisons import list_columns, list_comparisons
from eric_fast.table.packer import TablePacker
from eric_fast.table.program_classifier import ProgramClassifier, find_rules, name_classes
from eric_fast.table.table import Table, as_table


class FoldClassifier(ProgramClassifier):
    r"""Default rules with exceptions, as FOLD-RM learns them, as a scikit-learn estimator.

    `X` is float `[n_samples, n_features]`, or a frame, whose columns may hold texts; numbers are compared in float64.

        model = FoldClassifier().fit(X, y)
        print("\n".join(model.rules_))
        save_program(model.program_, "iris.lp")
        load("iris.lp").predict(X)   # the same classes

    The learner is FOLD-RM's (Wang, Shakerin, Gupta, TPLP 2022) but for this: equals are broken by the first column and
    the lowest value; later rules don't learn from the samples that a rule is wrong on, which they will never decide;
    where no rule is found for the most frequent class, the next one is tried; where no rule fires, the answer is the
    most frequent class of the samples that no rule covers.

    Args:
        ratio: a rule takes up literals until it is wrong on at most `ratio` times as many samples as it is right on;
            exceptions are sought then.
        tail: a rule, or an exception, that is right on a smaller share of the samples is dropped (FOLD-SE).
        confidence: a rule whose confidence has a lower bound (Wilson's, 95 %) below this is dropped, as is an exception
            that doesn't raise that of its rule (CON-FOLD).
        criterion: what literals are chosen by: `entropy`, or `gini` as in FOLD-SE.
        max_rules: the most rules, exceptions aside.
        max_thresholds: the most values that a column of numbers is compared with: quantiles, where it has more.
        categorical_features: names or indices of columns whose numbers stand for categories, which are compared by
            equality. Columns of texts always are.
        engine: see `predict_bits`.

    Attributes:
        program_: the learned `Program` over the columns of a table.
        rules_: list of str: each rule in words, with its exceptions.
        classes_: `[n_classes]`: the classes, in the order of the program's.
        counts_: int64 `[n_rules + 1, n_classes]`: the training samples that each rule decides, by class; last, those
            that none decides, or all samples if there are none of these.
        n_features_in_: the number of features seen during `fit`.
        feature_names_in_: their names, if `X` had names that are all strings; else the program calls them `x0`, `x1`.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True, as_frame=True)
        >>> model = ef.FoldClassifier().fit(rows, labels)
        >>> print(model.rules_[0])
        0  if  petal length (cm) <= 1.9
            rule 1: support 50, coverage 33.3 %, confidence 1.00 (0.93 at least)
    """

    def __init__(
        self,
        ratio: float = 0.5,
        *,
        tail: float = 0.0,
        confidence: float = 0.0,
        criterion: str = "entropy",
        max_rules: int | None = None,
        max_thresholds: int = 255,
        categorical_features: Sequence[int | str] = (),
        engine: str = "auto",
    ) -> None:
        self.ratio = ratio
        self.tail = tail
        self.confidence = confidence
        self.criterion = criterion
        self.max_rules = max_rules
        self.max_thresholds = max_thresholds
        self.categorical_features = categorical_features
        self.engine = engine

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Learn rules. `y` is `[n_samples]`: labels, or what a model predicts.

        Raises:
            EricError: a parameter without meaning, or one class only. ValueError: what scikit-learn refuses.
        """
        self._has_texts = holds_texts(X)
        if self._has_texts:
            data = validate_data(self, X, skip_check_array=True)
            labels = column_or_1d(y)
            check_consistent_length(data, labels)
        else:
            data, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, classes, target, are_names = name_classes(labels)
        if len(classes) < 2:
            raise DataError(
                f"there is one class only, '{classes[0]}'; FoldClassifier needs labels of at least two classes"
            )
        table = as_table(data)
        limits = self._find_limits(table.n_rows)
        program = self._learn(table, target, classes, limits)
        model = self._wrap_program(program, are_names, "any" if self._has_texts else "finite")
        self.program_ = model.program
        self.counts_ = np.zeros((len(program.class_rules) + 1, len(classes)), np.int64)
        np.add.at(self.counts_, (find_rules(model, data), target), 1)
        if not self.counts_[-1].any():
            self.counts_[-1] = np.bincount(target)
        return self

    def _learn(self, table: Table, target: NDArray[np.int64], classes: Sequence[str], limits: FoldLimits) -> Program:
        columns = list_columns(table, self._name_columns())
        atoms = list_comparisons(table, columns, self._find_categorical(), self.max_thresholds)
        words, n_rows = TablePacker(TableQuantiser(tuple(atoms), columns), named=False).pack(table)
        bits = BitMatrix(words, n_rows, tuple(map(str, range(len(atoms)))))
        found = learn_decision_list(bits, torch.from_numpy(target), len(classes), limits)
        used = sorted(set().union(*(rule.columns for rule in found.rules)))
        place_of = {column: place for place, column in enumerate(used)}
        found = found._replace(rules=[rule.renumber(place_of) for rule in found.rules])
        rules = flatten_list(found, 0, len(used))
        program = Program(
            TableQuantiser(tuple(atoms[column] for column in used), columns),
            tuple(classes),
            (),
            tuple(rules.exceptions),
            n_images=n_rows,
            settings=tuple((name, str(getattr(self, name))) for name in self._list_told()),
            derived=name_exceptions(len({rule.head for rule in rules.exceptions})),
        )
        return rules.complete(program)

    def _list_told(self) -> list[str]:
        """The parameters that the program's text tells."""
        return ["ratio", "tail", "confidence", *(["criterion"] if self.criterion != "entropy" else [])]

    def _find_limits(self, n_samples: int) -> FoldLimits:
        if isinstance(self.tail, bool) or not 0 <= self.tail <= 0.5:
            raise SettingError(f"tail must be a share from 0 to 0.5, not {self.tail!r}")
        if isinstance(self.max_thresholds, bool) or not self.max_thresholds >= 1:
            raise SettingError(f"max thresholds must be a whole number from 1, not {self.max_thresholds!r}")
        options = TreeOptions(
            criterion=self.criterion,
            rules="fold",
            ratio=self.ratio,
            confidence=self.confidence,
            max_rules=self.max_rules,
            min_leaf=1,
        )
        least = max(1, math.ceil(self.tail * n_samples))
        return options.to_fold_limits(n_samples)._replace(min_correct=least)

    def _find_categorical(self) -> set[int]:
        """The indices of `categorical_features`."""
        names = self._name_columns()
        for feature in self.categorical_features:
            if feature not in (names if isinstance(feature, str) else range(len(names))):
                hint = suggest_nearest(feature, names) if isinstance(feature, str) else ""
                raise SettingError(f"the categorical feature {feature!r} is no column{hint}")
        return {names.index(f) if isinstance(f, str) else int(f) for f in self.categorical_features}

    def _check(self, X: ArrayLike) -> Any:  # noqa: N803
        check_is_fitted(self)
        if self._has_texts:
            return validate_data(self, X, reset=False, skip_check_array=True)
        return validate_data(self, X, dtype=np.float64, reset=False)


def holds_texts(data: Any) -> bool:
    """Whether this is a frame with a column of texts."""
    if not (hasattr(data, "columns") and hasattr(data, "shape")):
        return False
    table = as_table(data)
    return any(column.kind == "text" for column in list_columns(table, list(map(str, range(table.n_columns)))))
