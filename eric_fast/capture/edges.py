"""Which captured layers feed which, from a traced graph."""

from collections.abc import Mapping

from torch import fx

from eric_fast.capture.kinds import changes_input
from eric_fast.capture.probes import PLACE
from eric_fast.program.layer_graph import FROM_IMAGES, TO_CLASSES, Edge, LayerGraph


def trace_edges(module: fx.GraphModule, layers: Mapping[str, fx.Node], logits: fx.Node) -> tuple[Edge, ...]:
    """The edges of `LayerGraph`: one layer feeds another if a path between them crosses no third.

    An operation in place changes what later operations read. What reads a layer with captured probes reads these.

    Args:
        layers: name -> operation, in execution order. logits: the operation that makes them, or the output.
    """
    names: dict[fx.Node, list[str]] = {}
    for name, node in layers.items():
        names.setdefault(node, []).append(name)
    changed: dict[fx.Node, fx.Node] = {}  # operation -> the one that changes its result in place
    feeding: dict[fx.Node, frozenset[str]] = {}  # operation -> the captured layers, or images, that it is made of
    probes: dict[fx.Node, set[str]] = {}  # operation -> the captured probes on it
    edges: list[Edge] = []

    def find_latest(node: fx.Node) -> fx.Node:
        while node in changed:
            node = changed[node]
        return node

    def find_feeding(node: fx.Node, reader: fx.Node) -> frozenset[str]:
        node = find_latest(node)
        return frozenset(probes[node]) if node in probes and PLACE not in reader.meta else feeding[node]

    for node in module.graph.nodes:
        own = frozenset({FROM_IMAGES} if node.op == "placeholder" else ())
        own = own.union(*(find_feeding(before, node) for before in node.all_input_nodes))
        if node in names:
            edges += [(source, name) for name in names[node] for source in own]
            own = frozenset(names[node])
        feeding[node] = own
        if node in names and PLACE in node.meta:
            probes.setdefault(node.meta[PLACE], set()).update(own)
        elif node.all_input_nodes and changes_input(node, module):
            changed[find_latest(node.all_input_nodes[0])] = node
        if node is logits:
            edges += [(source, TO_CLASSES) for source in own if source != FROM_IMAGES]
            break
    return LayerGraph.from_edges(tuple(layers), edges).edges
