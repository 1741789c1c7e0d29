"""Gates that are written out: `x * sigmoid(x)` is one activation of x, not a product with another."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import fx

_PRODUCTS = frozenset({"mul", "imul"})
_ARITHMETIC = frozenset(
    {"add", "iadd", "sub", "isub", "rsub", "mul", "imul", "div", "truediv", "itruediv", "neg", "to"}
)
_CURVES = frozenset({"erf", "exp", "pow", "square", "log1p", "expm1", "reciprocal", "sqrt", "rsqrt"})


class WrittenGate(NamedTuple):
    """A product of functions of one tensor.

    source: what it is a function of.
    inner: the operations between; those of them that are activations are none of their own.
    """

    source: fx.Node
    inner: frozenset[fx.Node]


def find_gates(
    graph: fx.Graph, kinds: Mapping[fx.Node, str], activations: frozenset[str]
) -> dict[fx.Node, WrittenGate]:
    """Find the products whose factors are functions of one tensor, element by element, one of them a curve.

    Args:
        kinds: of each node; see `graph`.
        activations: kinds that are activations.
    """
    curves = activations | _CURVES
    gates = {}
    for node in graph.nodes:
        factors = node.all_input_nodes
        if kinds[node] not in _PRODUCTS or len(factors) != 2:
            continue
        sources = dict.fromkeys(source for factor in factors for source in _walk_back(factor, kinds, curves))
        for source in sources:
            inner: set[fx.Node] = set()
            if all(_depends_on(factor, source, kinds, curves, inner) for factor in factors):
                if any(kinds[between] in curves for between in inner):
                    gates[node] = WrittenGate(source, frozenset(inner))
                break
    return gates


def _walk_back(node: fx.Node, kinds: Mapping[fx.Node, str], curves: frozenset[str]) -> Iterator[fx.Node]:
    """A node, and what it was before operations with constants."""
    yield node
    while kinds[node] in _ARITHMETIC | curves and len(node.all_input_nodes) == 1:
        (node,) = node.all_input_nodes
        yield node


def _depends_on(
    node: fx.Node, source: fx.Node, kinds: Mapping[fx.Node, str], curves: frozenset[str], inner: set[fx.Node]
) -> bool:
    """Whether a node is a function of `source` alone, element by element; `inner` gets the operations between."""
    if node is source or node in inner:
        return True
    if kinds[node] not in _ARITHMETIC | curves or not node.all_input_nodes:
        return False
    if not all(_depends_on(before, source, kinds, curves, inner) for before in node.all_input_nodes):
        return False
    inner.add(node)
    return True
