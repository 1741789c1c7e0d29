"""Which captured layers feed which: from a traced graph, or from a run, where every operation hands on its inputs'."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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


_Place = tuple[int, int, tuple[int, ...], tuple[int, ...]]


class FlowRecorder(TorchDispatchMode):
    """Within this context, knows of each tensor which layers it is made of, up to those that `mark` names.

    Tensors are told apart by their memory, which is kept until the recorder goes: an operation in place changes all
    that share it.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._of_memory: dict[int, frozenset[str]] = {}
        self._of_view: dict[_Place, frozenset[str]] = {}
        self._kept: list[Tensor] = []
        self.mark(images, {FROM_IMAGES})

    def find(self, tensor: Tensor) -> frozenset[str]:
        """The layers that a tensor is made of; `FROM_IMAGES` for the images."""
        own = self._of_view.get(_locate(tensor))
        return self._of_memory.get(_find_memory(tensor), frozenset()) if own is None else own

    def mark(self, tensor: Tensor, layers: Iterable[str]) -> None:
        """From now on, a tensor, and what shares all of its memory, is made of these layers alone."""
        self._kept.append(tensor)
        memory = _find_memory(tensor)
        is_whole = (
            not _is_strided(tensor) or tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        )
        if is_whole:
            self._of_memory[memory] = frozenset(layers)
            self._of_view = {place: own for place, own in self._of_view.items() if place[0] != memory}
        self._of_view[_locate(tensor)] = frozenset(layers)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        sources = frozenset[str]().union(*map(self.find, given))
        result = func(*args, **(kwargs or {}))
        known = {_find_memory(tensor) for tensor in given}
        for made in (leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)):
            self._kept.append(made)
            memory = _find_memory(made)
            if memory not in known:
                self._of_memory[memory] = sources
            elif any(made is tensor for tensor in given):  # in place
                self._of_memory[memory] = self._of_memory.get(memory, frozenset()) | sources
                self._of_view = {
                    place: own | sources if place[0] == memory else own for place, own in self._of_view.items()
                }
            else:
                self._of_view[_locate(made)] = sources
        return result


def _is_strided(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided


def _find_memory(tensor: Tensor) -> int:
    """A number that is the same for all that share memory; of sparse tensors their own."""
    return tensor.untyped_storage().data_ptr() if _is_strided(tensor) else -id(tensor)


def _locate(tensor: Tensor) -> _Place:
    if not _is_strided(tensor):
        return _find_memory(tensor), 0, (), ()
    return _find_memory(tensor), int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())
