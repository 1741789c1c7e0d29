"""`RuleModel` to ONNX: a tree ensemble and its link function, or the program as plain operators."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.kernels import EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, MISSING, UNEQUAL
from eric_fast.program import Decision
from eric_fast.program.printers.onnx_rules import print_onnx
from eric_fast.program.printers.onnx_writer import DOUBLE, INT64, SINGLE, TEXT, GraphWriter
from eric_fast.table.link_functions import LINKS
from eric_fast.table.model_fields import ModelFields
from eric_fast.table.tree_walk_code import NO_LEAF

if TYPE_CHECKING:
    from eric_fast.table.tree_walk import Walker

_MODES = {LESS_EQUAL: 0, LESS: 1, GREATER_EQUAL: 2, GREATER: 3, EQUAL: 4, UNEQUAL: 5}  # of `TreeEnsemble`
_LINKS = {"identity": "", "margin": "", "average": "", "exp": "Exp", "softmax": "Softmax", "softmax only": "Softmax"}
_LINKS |= {"sigmoid": "Sigmoid", "probability": ""}


def print_model(model: ModelFields, walker: "Walker | None") -> bytes:
    """The model as ONNX; see `RuleModel.to_onnx`. `walker` holds its trees, if it is made of them."""
    decision = model.program.decision
    is_sum = decision is Decision.SUM or (decision is Decision.VOTE and walker is not None and _has_all_leaves(walker))
    if walker is None or not is_sum:
        _refuse_changed_sums(model)
        return print_onnx(model.program.select_start(), named=model.named)
    if model.link not in _LINKS:
        raise ModelError(f"{model.source}: the link function '{model.link}' has no counterpart in ONNX")
    writer = GraphWriter()
    names = [column.name for column in model.program.table_quantiser.columns]
    sums = _add_ensemble(writer, walker, names if model.named else [])
    if model.divisor != 1:
        sums = writer.add("Div", sums, writer.add_constant([[model.divisor]], np.float64))
    ranked = sums
    if model.scale != 1:
        sums = writer.add("Mul", sums, writer.add_constant([[model.scale]], np.float64))
    if decision is Decision.VOTE:
        _add_classes(writer, model, sums, ranked)
    else:
        writer.add_output(_add_link(writer, model, sums), "scores", DOUBLE, len(model.program.classes))
    return writer.write()


def _refuse_changed_sums(model: ModelFields) -> None:
    """Refuse what plain operators don't do with sums: they answer as the program does."""
    changed = model.divisor != 1 or model.scale != 1 or LINKS[model.link].apply is not LINKS["identity"].apply
    decision = model.program.decision
    if (decision is Decision.SUM and changed) or (decision is Decision.VOTE and model.divisor != 1):
        raise ModelError(
            f"{model.source}: its rules are no trees over numbers alone, so ONNX would have their sums without the "
            f"divisor {model.divisor:g}, the scale {model.scale:g} and the link '{model.link}'; write it as asp"
        )


def _keeps_order(scale: float) -> bool:
    """Whether products are ordered as sums are, to the smallest number: of a power of two that isn't below 1."""
    return scale >= 1 and math.frexp(scale)[0] == 0.5


def _has_all_leaves(walker: "Walker") -> bool:
    """Whether a rule of each tree fires, whatever the row."""
    return bool(
        min(walker.nodes["yes"].min(initial=0), walker.nodes["no"].min(initial=0), walker.roots.min()) > NO_LEAF
    )


def _add_ensemble(writer: GraphWriter, walker: "Walker", names: list[str]) -> str:
    """The sums of leaves in float64, `[n_rows, n_outputs]`, base included."""
    kind = SINGLE if walker.dtype == np.float32 else DOUBLE
    if names:
        rows = writer.add("Concat", *(writer.add_input(name, kind, 1) for name in names), axis=1)
    else:
        rows = writer.add_input("X", kind, walker.n_columns)
    rows = writer.add("Cast", rows, to=DOUBLE) if kind == SINGLE else rows
    arrays = _list_nodes(walker)
    writer.charge(sum(array.nbytes for array in arrays.values()))
    tensors = ("nodes_splits", "nodes_modes", "leaf_weights")
    attributes = {
        name: writer.make_tensor(values, name) if name in tensors else values.astype(int).tolist()
        for name, values in arrays.items()
    }
    base = walker.votes[0]
    sums = writer.add(
        "TreeEnsemble", rows, domain="ai.onnx.ml", n_targets=len(base), aggregate_function=1, **attributes
    )
    return writer.add("Add", sums, writer.add_constant(base[None])) if base.any() else sums


def _list_nodes(walker: "Walker") -> dict[str, NDArray[Any]]:
    """The attributes of `TreeEnsemble`. Its leaves have one output each, so a tree is repeated for each of its own."""
    base, offsets, classes, weights = walker.votes
    table = np.zeros((len(offsets), len(base)))  # what each rule adds; the last adds nothing
    np.add.at(table, (np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), classes), weights)
    alone = np.flatnonzero(walker.roots < 0)  # trees of one leaf become a node with that leaf on both sides
    nodes = np.concatenate([walker.nodes, np.zeros(len(alone), walker.nodes.dtype)])
    nodes["holds"][len(walker.nodes) :] = LESS_EQUAL
    nodes["yes"][len(walker.nodes) :] = nodes["no"][len(walker.nodes) :] = walker.roots[alone]
    firsts = walker.roots.astype(np.int64)
    firsts[alone] = len(walker.nodes) + np.arange(len(alone))
    order = firsts.argsort()
    lasts = np.empty_like(firsts)
    lasts[order] = np.append(firsts[order][1:], len(nodes))
    copies = [(a, z, output) for a, z in zip(firsts, lasts, strict=True) for output in _find_outputs(nodes[a:z], table)]
    sizes = np.array([z - a for a, z, _ in copies])
    source = np.concatenate([np.arange(a, z) for a, z, _ in copies])
    starts = np.cumsum(sizes) - sizes
    shift = np.repeat(starts - [a for a, _, _ in copies], sizes)
    outputs = np.repeat([output for _, _, output in copies], sizes)
    nodes = nodes[source]
    swapped = (nodes["holds"] & (MISSING + UNEQUAL)) == UNEQUAL  # ONNX's `!=` holds of NaN
    holds = np.where(swapped, EQUAL + MISSING, nodes["holds"])
    found = {
        "nodes_featureids": nodes["column"],
        "nodes_modes": np.array([_MODES[mode] for mode in (holds & ~MISSING).tolist()], np.uint8),
        "nodes_splits": nodes["constant"],
        "nodes_missing_value_tracks_true": (holds & MISSING) // MISSING,
        "tree_roots": starts,
    }
    n_leaves, leaf_outputs, leaf_weights = 0, [], []
    for side in ("true", "false"):
        child = np.where(swapped == (side == "false"), nodes["yes"], nodes["no"])
        ends = child < 0
        of_leaf = outputs[ends]
        leaf_outputs.append(of_leaf)
        leaf_weights.append(table[np.minimum(~child[ends], len(table) - 1), of_leaf])
        place = child + shift
        place[ends] = n_leaves + np.arange(len(of_leaf))
        n_leaves += len(of_leaf)
        found |= {f"nodes_{side}nodeids": place, f"nodes_{side}leafs": ends}
    return found | {"leaf_targetids": np.concatenate(leaf_outputs), "leaf_weights": np.concatenate(leaf_weights)}


def _find_outputs(nodes: NDArray[Any], table: NDArray[np.float64]) -> list[int]:
    """What the leaves of a tree add to; one output at least."""
    children = np.concatenate([nodes["yes"], nodes["no"]])
    rules = np.minimum(~children[children < 0], len(table) - 1)
    return np.flatnonzero(table[rules].any(axis=0)).tolist() or [0]


def _add_link(writer: GraphWriter, model: ModelFields, sums: str) -> str:
    """Of scores, float64 of the same shape."""
    operator = _LINKS[model.link]
    if operator == "Softmax":
        return writer.add(operator, sums, axis=1)
    return writer.add(operator, sums) if operator else sums


def _add_classes(writer: GraphWriter, model: ModelFields, sums: str, ranked: str) -> None:
    """The label, and probabilities or scores; where two classes share a score, it is the second's.

    Args:
        ranked: the sums before they are scaled, as `decision_function` gives them: the highest is the label's.
    """
    labels = np.asarray(model.program.classes if model.labels is None else model.labels)
    n_classes, link = len(labels), LINKS[model.link]
    chosen = sums if link.probabilities and _keeps_order(model.scale) else ranked
    place = writer.add("ArgMax", chosen, axis=1, keepdims=0)
    if labels.dtype.kind in "biu":
        kind, values = INT64, labels.astype(np.int64)
    elif labels.dtype.kind == "f":
        kind, values = DOUBLE, labels.astype(np.float64)
    else:
        kind, values = TEXT, np.array([str(label) for label in labels], object)
    writer.add_output(writer.add("Gather", writer.add_constant(values), place, axis=0), "label", kind)
    if not link.probabilities:
        writer.add_output(ranked, "scores", DOUBLE, n_classes)
    elif link.margin and n_classes == 2:
        second = writer.add("Gather", sums, writer.add_constant([1], np.int64), axis=1)
        second = _add_link(writer, model, second)
        first = writer.add("Sub", writer.add_constant([[1.0]], np.float64), second)
        writer.add_output(writer.add("Concat", first, second, axis=1), "probabilities", DOUBLE, n_classes)
    else:
        writer.add_output(_add_link(writer, model, sums), "probabilities", DOUBLE, n_classes)
