"""The trees of any source as a `RuleModel`."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.frontends.fields import check_claim
from eric_fast.frontends.trees.forest import make_program
from eric_fast.frontends.trees.nodes import MOST_DEPTH, StoredTree, join_trees, number_leaves
from eric_fast.program import Decision
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel
from eric_fast.table.settings import spell_labels


def make_tree_model(
    source: str,
    columns: Sequence[Column],
    trees: Sequence[StoredTree],
    place: str,
    *,
    n_outputs: int,
    outputs: Sequence[str] | None = None,
    labels: Sequence[Any] | NDArray[Any] | None = None,
    has_labels: bool = False,
    default: int | None = None,
    base: Sequence[float] = (),
    threshold: float = 0.0,
    leaf_dtype: str | None = None,
    leaf_shape: tuple[int, ...] | None = None,
    most_depth: float = MOST_DEPTH,
    **settings: Any,
) -> RuleModel:
    """The model that adds up the leaves of trees.

    Args:
        source: see `RuleModel`.
        place: what errors call the model.
        n_outputs: the outputs that trees add to; two classes may share one, the score of the second.
        outputs: their names, by default `0`, `1` and so on; a classifier's are its labels.
        labels: of a classifier; None for a regression.
        has_labels: whether each output is a label, true where its sum is above 0.
        default: the class where no leaf is reached.
        base: where the sum of each output starts; 0 by default.
        threshold: with two classes and one output, the score above which the second class is predicted.
        leaf_dtype, leaf_shape: of what `RuleModel.apply` answers; see `number_leaves`. Without a dtype there is none.
        most_depth: see `join_trees`.
        settings: other arguments of `RuleModel`.

    Raises:
        ProgramError: nodes that don't make trees. ModelError: see `RuleModel`.
    """
    if (
        labels is not None and len(labels) == 2 and n_outputs == 1
    ):  # the score is the second class's; the first class's is the threshold
        trees = [tree.shift_output(1) for tree in trees]
        base = [threshold, *(base or [0.0])] if base or threshold else []
    forest = join_trees(columns, trees, place, most_depth=most_depth)
    if labels is not None:
        outputs = spell_labels(labels)
    elif outputs is None:
        outputs = [str(i) for i in range(n_outputs)]
    decision = Decision.LABELS if has_labels else Decision.of_sums(classify=labels is not None)
    program = make_program(forest, outputs, decision=decision, default=default, base=base)
    leaves = None if leaf_dtype is None else number_leaves(forest, trees, leaf_dtype, leaf_shape)
    return RuleModel(program, source, labels, leaves=leaves, **settings)


def name_columns(names: Sequence[str], n_columns: int, size: int, place: str, prefix: str = "x") -> list[str]:
    """The names of a model's columns: `names`, or `x0`, `x1` and so on if there are none.

    Args:
        names: as many as there are columns, or none.
        n_columns: as the file says.
        size: of the file in bytes; it limits how many columns may go unnamed.
        place: what errors call the model.
        prefix: of made up names.

    Raises:
        ProgramError: another number of names, or more columns than the file can be about.
    """
    if not names:
        check_claim(n_columns, size, "features", place)
        return [f"{prefix}{i}" for i in range(n_columns)]
    if len(names) != n_columns:
        raise ProgramError(f"{place}: {len(names)} feature names for {n_columns} features")
    return list(names)
