"""Where the branches of a network meet before its head: the layer that the classes are read from."""

from collections.abc import Callable, Collection, Iterable, Mapping

from torch import fx

from eric_fast.capture.kinds import SKIP_SUMS
from eric_fast.capture.outputs import NetworkHead, find_tensor

_ARRANGING = frozenset({"reshape", "view", "unflatten", "permute", "transpose", "swapaxes", "contiguous"})


def find_join(
    graph: fx.Graph, layers: Collection[fx.Node], usable: Collection[fx.Node], output: fx.Node
) -> fx.Node | None:
    """Find the first of the `usable` nodes that every path from the last layers to the output crosses.

    The last layers are those that the output reads without another layer between. None if there is only one, or if
    their paths never meet in a usable node.
    """
    last = _find_last(output, set(layers))
    if len(last) < 2:
        return None
    after = _find_after(last)
    nodes: Iterable[fx.Node] = graph.nodes
    for node in nodes:
        if node in after and node in usable and not _passes_by(last, node, output):
            return node
    return None


def find_later_blocks(layers: Collection[fx.Node], blocks: Collection[fx.Node], output: fx.Node) -> list[fx.Node]:
    """Find the `blocks` between the last layers and the output that every path between them crosses.

    So attention that follows the last convolutions isn't passed over.
    """
    last = _find_last(output, set(layers))
    after = _find_after(last)
    return [node for node in blocks if last and node in after and not _passes_by(last, node, output)]


def find_skip_sum(node: fx.Node, kinds: Mapping[fx.Node, str]) -> fx.Node | None:
    """The sum that an operation is, or whose axes it regroups or moves."""
    while kinds[node] in _ARRANGING and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node if kinds[node] in SKIP_SUMS else None


def find_read(graph: fx.Graph, head: NetworkHead | None) -> fx.Node:
    """The operation that makes the logits, or else the output."""
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    logits = None if head is None else find_tensor(output.args[0], head)
    return logits if isinstance(logits, fx.Node) else output


def find_sources(output: fx.Node) -> set[fx.Node]:
    """All nodes that the output depends on, and the output."""
    return {output} | _walk([output], _list_inputs)


def _find_last(output: fx.Node, layers: set[fx.Node]) -> set[fx.Node]:
    """The layers from which the output is reached without crossing another."""
    return {output} if output in layers else _walk([output], _list_inputs, layers) & layers


def _find_after(sources: Collection[fx.Node]) -> set[fx.Node]:
    """All nodes that depend on one of these."""
    return _walk(sources, _list_users)


def _passes_by(sources: Collection[fx.Node], node: fx.Node, output: fx.Node) -> bool:
    """Whether a path from the sources to the output avoids a node."""
    return output in _walk([source for source in sources if source is not node], _list_users, {node})


def _walk(
    starts: Collection[fx.Node],
    list_next: Callable[[fx.Node], Iterable[fx.Node]],
    walls: Collection[fx.Node] = frozenset(),
) -> set[fx.Node]:
    """All nodes that are reached from `starts`; from a wall, which may be reached, the walk doesn't go on."""
    seen: set[fx.Node] = set()
    waiting = list(starts)
    while waiting:
        for node in list_next(waiting.pop()):
            if node not in seen:
                seen.add(node)
                if node not in walls:
                    waiting.append(node)
    return seen


def _list_inputs(node: fx.Node) -> Iterable[fx.Node]:
    return node.all_input_nodes


def _list_users(node: fx.Node) -> Iterable[fx.Node]:
    return node.users
