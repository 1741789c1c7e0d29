"""`RuleModel`: a program behind the interface of the model that it came from."""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from eric_fast.bits import unpack_words
from eric_fast.errors import say_count
from eric_fast.evaluator import NO_RULE
from eric_fast.kernels import expect
from eric_fast.program import Decision, Program
from eric_fast.program.confidence import Confidences, has_confidences, list_confidences, list_probabilities
from eric_fast.program.table_atoms import TableQuantiser
from eric_fast.results.described import Described
from eric_fast.table.fitted_estimator import FittedEstimator
from eric_fast.table.link_functions import LINKS, Link
from eric_fast.table.settings import read_model_settings
from eric_fast.table.table import as_table
from eric_fast.table.table_model import TableModel

if TYPE_CHECKING:
    import pandas

Ask = Callable[[Any], NDArray[Any]]


class RuleModel(Described, TableModel, FittedEstimator):
    """A program over a table that answers as the model that it came from.

    Answers have the source's own shapes, dtypes and labels, and are NumPy arrays wherever the data are. Call `evaluate`
    to keep results as tensors on the data's device. All but `leaves` and `engine` are kept in the settings of
    `program`, so `RuleModel.from_program` restores the model from a saved text.

    Attributes:
        program: the program over the columns of a table.
        source: what it was made from, for people: `scikit-learn RandomForestClassifier`.
        labels: the class labels in the order of the program's classes, which spell them (see `spell_labels`): strings,
            integers, floats or bools; the program's class names by default.
        link: how sums become answers, a key of `LINKS`.
        divisor: what sums are divided by, such as the number of trees for an average.
        scale: the factor of a score (a divided sum) before the link function.
        values: the numbers that a table may hold, one of `VALUES`; others are refused.
        named: whether the source was given column names; made up ones are not compared with those of a table.
        categories: column -> the value of each code of its categories, if the source was trained on a data frame and
            takes their codes, too. In a table without names, such a column holds codes.
        optional: the names of the last columns that a table may lack; then all of their values are missing.
        leaves: the source's own numbers of leaves, for `apply`.
        engine: see `kernels.choose_engine`.

    Raises:
        ModelError: labels that the program's classes don't spell, an unknown link, an invalid number.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> model = ef.load(DecisionTreeClassifier(max_depth=2, random_state=0).fit(rows, labels))
        >>> len(model.program.class_rules), model.predict(rows[:2]).tolist()
        (3, [0, 0])
    """

    def list_facts(self) -> Iterator[str]:
        yield self.source
        yield say_count(self.n_features_in_, "column")
        yield from (fact for fact in self.program.list_facts() if not fact.startswith(("layer", "no ")))

    @classmethod
    def from_program(cls, program: Program, *, engine: str = "auto") -> "RuleModel":
        """The model that a program's settings describe; without any, it answers as the program does.

        Raises:
            ProgramError: an invalid setting, or a program that is not over a table.
        """
        settings, labels = read_model_settings(program)
        return cls(program, labels=labels, engine=engine, **settings._asdict())

    @property
    def link_function(self) -> Link:
        """The entry of `LINKS`."""
        return LINKS[self.link]

    def predict(self, data: Any) -> NDArray[Any]:
        """The answers of the source's own `predict`, `[n_rows]`, or `[n_rows, n_outputs]` if there are several outputs.

        They are labels of the source's dtype, or objects with None where no rule fires; float64 for a regression; bool
        `[n_rows, n_outputs]` for a circuit; int64 `[n_rows, n_labels]`, 1 or 0, for several labels.

        Args:
            data: `[n_rows, n_features]`; see `TablePacker.pack`.

        Raises:
            DataError: a column is missing, or holds a number that the source refuses.
        """
        if self.row_rules is not None:  # a decision list; the first question, since it may take microseconds
            few = self.row_rules.find_classes(data)
            if few is not None:
                return self._name_classes(few)
        if self.program.decision.gives_bits:
            return self.predict_bits(data)
        if self.program.decision.gives_labels:
            return (self._add_up(data) > 0).astype(np.int64)
        if self.program.decision.gives_sums:
            answers = self._apply_link(self._add_up(data))
            return answers[:, 0] if answers.shape[1] == 1 else answers
        return self._name_classes(self._find_classes(data))

    def predict_indices(self, data: Any) -> NDArray[np.int32]:
        """The index of each row's class in `classes_`, int32 `[n_rows]`; -1 where no rule fires.

        If sums are divided, quotients are compared, as in the source: sums that differ in their last digits may have
        equal quotients, and then the first class wins. The program alone takes the higher sum.
        """
        few = None if self.row_rules is None else self.row_rules.find_classes(data)
        return self._find_classes(data) if few is None else np.asarray(few, np.int32)

    def _find_classes(self, data: Any) -> NDArray[np.int32]:
        if not self._divides_classes:
            return expect(self.answer(data, classes=True).classes)
        data = data if isinstance(data, np.ndarray) else as_table(data)
        if not isinstance(data, np.ndarray) and data.device.type != "cpu":
            outcome = self.evaluate(data, classes=True, scores=True)
            scores = expect(outcome.scores)
            # Divide by a tensor: by a number, a GPU would multiply with its inverse.
            highest = (scores / scores.new_full((1,), self.divisor)).argmax(dim=1).int().cpu().numpy()
            classes = expect(outcome.classes).cpu().numpy()
        else:
            answers = self.answer(data, classes=True, scores=True)
            classes = expect(answers.classes)
            highest = (expect(answers.scores) / self.divisor).argmax(axis=1).astype(np.int32)
        return np.where(classes >= 0, highest, np.int32(NO_RULE))

    @property
    def decision_function(self) -> Ask:
        """Scores before the link function, float64 `[n_rows, n_classes]`; `[n_rows]` if two classes share one score.

        Of several labels `[n_rows, n_labels]`, and so are probabilities.
        """
        if not (self.program.decision in (Decision.VOTE, Decision.LABELS) and self.link_function.scores):
            raise AttributeError(f"{self.source} has no decision function")
        return self._decide

    @property
    def predict_proba(self) -> Ask:
        """Probabilities of classes, float64 `[n_rows, n_classes]`.

        Those of the source. Where the first rule that fires decides, its class has the rule's confidence, and the other
        classes share the rest equally (see `predict_confidence`). Where that confidence is below `1 / n_classes`, the
        class that `predict` gives isn't the most probable one; `list_doubtful_rules` lists such rules.
        """
        self._check_probabilities()
        return self._find_probabilities

    def to_onnx(self) -> bytes:
        """The model as ONNX: trees as a `TreeEnsemble` with the link function, anything else as plain operators.

        Inputs are the columns, one each, or `X` where the source was given no names. Outputs are `label`, and
        `probabilities` or `scores`; `scores` of a regression; else those of `print_onnx`. Sums are float64, which a
        runtime may add up in another order: two classes whose sums are equal but for rounding may change places.

        Raises:
            ModelError: a link function that ONNX lacks; rules that are no trees over numbers, whose sums are changed.
            ProgramError: see `print_onnx`.
        """
        from eric_fast.table.onnx_model import print_model  # `onnx` loads when it is needed
        from eric_fast.table.tree_walk import make_walker

        is_table = isinstance(self.program.quantiser, TableQuantiser)
        walker = make_walker(self.program, self.evaluator.plan, self.values) if is_table else None
        return print_model(self, walker)

    def predict_confidence(self, data: Any) -> Confidences:
        """How sure the rule is that decides each row, with its 95 % interval (Wilson).

        Raises:
            ProgramError: votes decide, or a class rule's confidence is not known.
        """
        return list_confidences(self.program).take(self._find_rules(data))

    def list_rules(self, *, of: str = "classes") -> "pandas.DataFrame":
        """The rules as a data frame; see `Program.list_rules`."""
        return self.program.list_rules(of=of)

    @property
    def predict_log_proba(self) -> Ask:
        """Logarithms of `predict_proba`; -inf for 0."""
        self._check_probabilities()
        return self._find_logarithms

    @property
    def apply(self) -> Ask:
        """The leaf of each tree that each row reaches, with the source's own numbers, shape and dtype."""
        if self.leaves is None:
            raise AttributeError(
                f"{self.source} has no leaf numbers; a text doesn't hold them: load the original model"
            )
        return self._find_leaves

    def predict_bits(self, data: Any) -> NDArray[np.bool_]:
        """bool `[n_rows, n_outputs]`: the truth of the program's outputs."""
        if not self.program.decision.gives_bits:
            raise AttributeError(f"{self.source} doesn't answer with bits")
        rows = self.evaluator.row_of_atom[[atom for _, atom in self.program.outputs]]
        table = as_table(data)
        words = expect(self.evaluate(table, rows=tuple(rows.tolist())).rows)
        return unpack_words(words, table.n_rows).cpu().numpy()

    def _check_probabilities(self) -> None:
        adds_up = self.program.decision in (Decision.VOTE, Decision.LABELS)
        if not (self.link_function.probabilities if adds_up else has_confidences(self.program)):
            raise AttributeError(f"{self.source} has no class probabilities")

    def _decide(self, data: Any) -> NDArray[np.float64]:
        return self._add_up(data)

    def _find_rules(self, data: Any) -> NDArray[np.int32]:
        """int32 `[n_rows]`: the rule that decides each row, counted from 0; -1 where none does."""
        return cast("NDArray[np.int32]", expect(self.evaluate(data, rules=True).rules).cpu().numpy())

    def _find_probabilities(self, data: Any) -> NDArray[np.float64]:
        if self.program.decision is Decision.FIRST:
            return list_probabilities(self.program)[self._find_rules(data)]
        answers = self._apply_link(self._add_up(data))
        if not self._is_margin:
            return answers
        both = np.empty((len(answers), 2))  # a third of the time of `np.stack`
        both[:, 1] = answers
        np.subtract(1, answers, out=both[:, 0])
        return both

    def _find_logarithms(self, data: Any) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return np.log(self._find_probabilities(data))

    def _find_leaves(self, data: Any) -> NDArray[Any]:
        assert self.leaves is not None
        return self.leaves.arrange(expect(self.answer(data, leaves=True).leaves))

    # Meta-estimators of scikit-learn ask for the name of the method that they got.
    _decide.__name__, _find_probabilities.__name__, _find_logarithms.__name__ = (
        "decision_function",
        "predict_proba",
        "predict_log_proba",
    )

    def _name_classes(self, indices: list[int] | NDArray[np.int32]) -> NDArray[Any]:
        """The labels of classes by their indices; None, in an array of objects, for -1."""
        if NO_RULE in indices:
            return np.array([*self.classes_.tolist(), None], object)[indices]  # -1 is the last
        return self._class_labels.take(indices)

    @cached_property
    def _class_labels(self) -> NDArray[Any]:
        return self.classes_

    @cached_property
    def _is_margin(self) -> bool:
        return self.link_function.margin and self.program.decision is Decision.VOTE and len(self.program.classes) == 2

    @cached_property
    def _divides_classes(self) -> bool:
        """Whether to compare quotients: those of sums that are not integers may be equal where sums are not."""
        exact = math.frexp(self.divisor)[0] == 0.5 or self.program.has_integer_weights
        return self.program.decision is Decision.VOTE and not self._is_margin and not exact

    def _add_up(self, data: Any) -> NDArray[np.float64]:
        """Scores, float64 `[n_rows, n_outputs]`; `[n_rows]` if two classes share one score."""
        scores = expect(self.answer(data, scores=True).scores)
        scores = scores[:, 1] if self._is_margin else scores  # NumPy takes long for rows of one number
        return scores if self.divisor == 1 else scores / self.divisor

    def _apply_link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.scale != 1:
            scores *= self.scale
        return cast("NDArray[np.float64]", self.link_function.apply(scores))
