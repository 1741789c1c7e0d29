"""Where the branches of a network meet before its head: the layer that the classes are read from."""

from collections.abc import Collection, Iterable

from torch import fx


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


def find_sources(output: fx.Node) -> set[fx.Node]:
    """All nodes that the output depends on, and the output."""
    seen, waiting = {output}, [output]
    while waiting:
        for before in waiting.pop().all_input_nodes:
            if before not in seen:
                seen.add(before)
                waiting.append(before)
    return seen


def _find_last(output: fx.Node, layers: set[fx.Node]) -> set[fx.Node]:
    """The layers from which the output is reached without crossing another."""
    if output in layers:
        return {output}
    last, seen, waiting = set(), set(), [output]
    while waiting:
        for before in waiting.pop().all_input_nodes:
            if before in layers:
                last.add(before)
            elif before not in seen:
                seen.add(before)
                waiting.append(before)
    return last


def _find_after(sources: Collection[fx.Node]) -> set[fx.Node]:
    """All nodes that depend on one of these."""
    seen: set[fx.Node] = set()
    waiting = list(sources)
    while waiting:
        for user in waiting.pop().users:
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return seen


def _passes_by(sources: Collection[fx.Node], node: fx.Node, output: fx.Node) -> bool:
    """Whether a path from the sources to the output avoids a node."""
    seen, waiting = {node}, [source for source in sources if source is not node]
    while waiting:
        for user in waiting.pop().users:
            if user is output:
                return True
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return False
