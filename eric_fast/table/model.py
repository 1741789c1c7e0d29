"""`RuleModel`: a program behind the interface of the model that it came from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags, TargetTags

from eric_fast import kernels
from eric_fast.bits import unpack_words
from eric_fast.errors import ModelError
from eric_fast.evaluator import NO_RULE, Evaluator
from eric_fast.kernels import expect
from eric_fast.program import Decision, Program
from eric_fast.table import TablePacker, as_table
from eric_fast.table.answers import Facts, read_facts, spell_labels, write_facts
from eric_fast.table.leaves import Leaves
from eric_fast.table.links import LINKS, Link
from eric_fast.table.packed import evaluate_table
from eric_fast.table.values import VALUES

if TYPE_CHECKING:
    from eric_fast.table.walk import Walker

Ask = Callable[[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class RuleModel:
    """A program over a table, compiled, with the names and numbers of its source.

    What it answers is the source's own: shapes, dtypes and labels; always NumPy arrays, wherever the data are. Call
    `evaluate` to keep results as tensors on the data's device. All but `leaves` and `engine` is kept in the settings of
    `program`, so that `RuleModel.from_program` gives the same model from a loaded text.

    Attributes:
        program: what is evaluated.
        source: what it was made from, for a person: `scikit-learn RandomForestClassifier`.
        labels: the source's class labels, in the order of the program's classes and spelled as they are (see
            `spell_labels`): strings, integers, floats or bools; the program's class names by default.
        link: how sums become answers: a row of `LINKS`.
        divisor: what sums are divided by: the number of trees for an average.
        scale: what a score, a divided sum, is multiplied by on its way into the link.
        values: what numbers a table may hold, one of `VALUES`; others are refused.
        named: whether the columns have names that the source was given; made up ones are not compared with a frame's.
        leaves: the source's own numbers of leaves, for `apply`.
        engine: see `predict_bits`.

    Raises:
        ModelError: labels that the program's classes don't spell, an unknown link, a wrong number.
    """

    program: Program
    source: str = "a program"
    labels: Sequence[Any] | NDArray[Any] | None = None
    link: str = field(default="identity", kw_only=True)
    divisor: float = field(default=1.0, kw_only=True)
    scale: float = field(default=1.0, kw_only=True)
    values: str = field(default="any", kw_only=True)
    named: bool = field(default=True, kw_only=True)
    leaves: Leaves | None = field(default=None, kw_only=True)
    engine: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        if self.link not in LINKS or self.values not in VALUES:
            raise ModelError(f"link '{self.link}' or values '{self.values}' is not one of those that there are")
        if not (math.isfinite(self.scale) and math.isfinite(self.divisor) and self.divisor > 0):
            raise ModelError(f"scale {self.scale} and divisor {self.divisor} must be finite, the divisor positive")
        if self.labels is not None and spell_labels(self.labels) != list(self.program.classes):
            raise ModelError("the program's classes are not called as the labels are")
        facts = Facts(
            self.source,
            None if self.labels is None else np.asarray(self.labels).dtype,
            self.link,
            float(self.divisor),
            float(self.scale),
            self.values,
            self.named,
        )
        object.__setattr__(self, "program", write_facts(self.program, facts))

    @classmethod
    def from_program(cls, program: Program, *, engine: str = "auto") -> "RuleModel":
        """The model that a program's settings tell of; of one without them, as its decision says.

        Raises:
            ProgramError: a setting that means nothing, or no columns of a table.
        """
        facts, labels = read_facts(program)
        return cls(
            program,
            facts.source,
            labels,
            link=facts.link,
            divisor=facts.divisor,
            scale=facts.scale,
            values=facts.values,
            named=facts.named,
            engine=engine,
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        """The program, compiled; made when it is first used."""
        return Evaluator(self.program, engine=self.engine)

    @cached_property
    def packer(self) -> TablePacker:
        return TablePacker(self.program.table_quantiser, named=self.named)

    @cached_property
    def walker(self) -> "Walker | None":
        """What answers few rows, where the program is one that can be walked."""
        from eric_fast.table.walk import make_walker  # Numba loads when it is needed

        return make_walker(self.program, self.evaluator.plan, self.values) if self.engine in ("auto", "cpu") else None

    @property
    def rule(self) -> Link:
        """The link's row in `LINKS`."""
        return LINKS[self.link]

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, `[n_classes]`."""
        if not self.program.decision.gives_class:
            raise AttributeError(f"{self.source} has no classes")
        return np.asarray(self.program.classes if self.labels is None else self.labels)

    @property
    def n_features_in_(self) -> int:
        return len(self.program.table_quantiser.columns)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """The columns' names, object `[n_features]`, where the source was given names."""
        if not self.named:
            raise AttributeError(f"{self.source} was given no names of features")
        return np.array([column.name for column in self.program.table_quantiser.columns], object)

    @property
    def n_outputs_(self) -> int:
        """Numbers or bits that a row is answered with; 1 for a class."""
        if self.program.decision.gives_bits:
            return len(self.program.outputs)
        return len(self.program.classes) if self.program.decision.gives_sums else 1

    def predict(self, data: Any) -> NDArray[Any]:
        """What the source's own `predict` answers, `[n_rows]` (`[n_rows, n_outputs]` of several outputs).

        Classes as the source spells them, an object array with None where no rule fires; float64 for a regression; bool
        `[n_rows, n_outputs]` for a circuit.

        Args:
            data: `[n_rows, n_features]`, any that `TablePacker.pack` takes.

        Raises:
            DataError: a table that lacks columns, or holds a number that the source refuses.
        """
        if self.program.decision.gives_bits:
            return self.predict_bits(data)
        if self.program.decision.gives_sums:
            answers = self._apply_link(self._add_up(data))
            return answers[:, 0] if answers.shape[1] == 1 else answers
        indices = self.predict_indices(data)
        if not (indices == NO_RULE).any():
            return self.classes_.take(indices)
        return np.array([*self.classes_.tolist(), None], object)[indices]  # -1 is the last

    def predict_indices(self, data: Any) -> NDArray[np.int32]:
        """The place of each row's class in `classes_`, int32 `[n_rows]`; -1 where no rule fires.

        Where sums are divided the class is the highest quotient's, as it is the source's: two sums that differ in their
        last digits may have one quotient, and then the first of them wins. The program alone would take the higher.
        """
        if not self._divides_classes:
            return cast(NDArray[np.int32], expect(self.evaluate(data, classes=True).classes).cpu().numpy())
        outcome = self.evaluate(data, classes=True, scores=True)
        scores = expect(outcome.scores)
        if scores.device.type == "cpu":  # 15 ns a row where PyTorch takes 40, and more on a busy machine
            highest = (scores.numpy() / self.divisor).argmax(axis=1).astype(np.int32)
        else:
            # Divide by a tensor: by a number, a GPU would multiply with its inverse.
            highest = (scores / scores.new_full((1,), self.divisor)).argmax(dim=1).int().cpu().numpy()
        classes: NDArray[np.int32] = expect(outcome.classes).cpu().numpy()
        return np.where(classes >= 0, highest, np.int32(NO_RULE))

    @property
    def decision_function(self) -> Ask:
        """Scores before the link, float64 `[n_rows, n_classes]`; `[n_rows]` where one tells two classes apart."""
        if not (self.program.decision is Decision.VOTE and self.rule.scores):
            raise AttributeError(f"{self.source} has no decision function")
        return self._decide

    @property
    def predict_proba(self) -> Ask:
        """Probabilities of classes, float64 `[n_rows, n_classes]`."""
        self._check_probabilities()
        return self._find_probabilities

    @property
    def predict_log_proba(self) -> Ask:
        """Logarithms of `predict_proba`; -inf for 0."""
        self._check_probabilities()
        return self._find_logarithms

    @property
    def apply(self) -> Ask:
        """Which leaf each row ends up in, of each tree: the source's own numbers, shape and dtype."""
        if self.leaves is None:
            raise AttributeError(f"{self.source} has no numbers of leaves; only a model made of the object itself has")
        return self._find_leaves

    def score(self, data: Any, truth: Any, sample_weight: Any = None) -> float:
        """The share of classes that are right, or R2 of a regression, as scikit-learn has it."""
        measure = r2_score if self.program.decision.gives_sums else accuracy_score
        return float(measure(truth, self.predict(data), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn's scorers ask: whether it is a classifier."""
        if not self.program.decision.gives_class:
            return Tags("regressor", TargetTags(required=False), regressor_tags=RegressorTags())
        return Tags("classifier", TargetTags(required=False), classifier_tags=ClassifierTags())

    def predict_bits(self, data: Any) -> NDArray[np.bool_]:
        """bool `[n_rows, n_outputs]`: the truth of the program's outputs."""
        if not self.program.decision.gives_bits:
            raise AttributeError(f"{self.source} has no outputs that are bits")
        rows = self.evaluator.row_of_atom[[atom for _, atom in self.program.outputs]]
        table = as_table(data)
        words = expect(self.evaluate(table, rows=tuple(rows.tolist())).rows)
        return unpack_words(words, table.n_rows).cpu().numpy()

    def evaluate(self, data: Any, **wanted: Any) -> kernels.Outcome:
        """What the program itself answers, as tensors where the data are; `wanted` are the fields of `Request`.

        In chunks of rows: beside data and results it takes little memory.
        """
        few = self.walker.evaluate(data, wanted) if self.walker else None
        return evaluate_table(self, data, wanted) if few is None else few

    def _check_probabilities(self) -> None:
        if not (self.program.decision is Decision.VOTE and self.rule.probabilities):
            raise AttributeError(f"{self.source} gives no probabilities of classes")

    def _decide(self, data: Any) -> NDArray[np.float64]:
        scores = self._add_up(data)
        return scores[:, 0] if self._is_margin else scores

    def _find_probabilities(self, data: Any) -> NDArray[np.float64]:
        answers = self._apply_link(self._add_up(data))
        return np.concatenate([1 - answers, answers], axis=1) if self._is_margin else answers

    def _find_logarithms(self, data: Any) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return np.log(self._find_probabilities(data))

    def _find_leaves(self, data: Any) -> NDArray[Any]:
        assert self.leaves is not None
        return self.leaves.arrange(expect(self.evaluate(data, leaves=True).leaves).cpu().numpy())

    @property
    def _is_margin(self) -> bool:
        return self.rule.margin and self.program.decision is Decision.VOTE and len(self.program.classes) == 2

    @cached_property
    def _divides_classes(self) -> bool:
        """Whether the highest sum may not have the first highest quotient: sums of other than whole numbers."""
        exact = math.frexp(self.divisor)[0] == 0.5 or self.program.has_integer_weights
        return self.program.decision is Decision.VOTE and not self._is_margin and not exact

    def _add_up(self, data: Any) -> NDArray[np.float64]:
        """Scores, float64 `[n_rows, n_outputs]`; the second class's alone where it tells two apart."""
        scores: NDArray[np.float64] = expect(self.evaluate(data, scores=True).scores).cpu().numpy()
        scores = scores[:, 1:] if self._is_margin else scores
        return scores / self.divisor

    def _apply_link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.scale != 1:
            scores *= self.scale
        return cast(NDArray[np.float64], self.rule.apply(scores))
