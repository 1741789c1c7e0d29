"""Trace a network with torch.fx: the graph of its operations, and their names."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from eric_fast.capture.kinds import find_image_axis


class ImageInput(nn.Module):
    """Calls `network(images)`, so that other arguments of its `forward` keep their defaults when it is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images)


class NetworkTracer(NodePathTracer):
    """Notes which operation makes the result of a module that is traced through.

    Modules of torch are operations of their own, but `nn.TransformerEncoder` is traced through, so that its layers are.
    Results `[tokens, n, d]` of these, which have images on the second axis, are turned for reading, and turned back.

    Attributes:
        results: path of a module -> operation; None if it runs more than once.
        turned: the operation of an encoder layer -> the one that turns its result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, fx.Node | None] = {}
        self.turned: dict[fx.Node, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) is not nn.TransformerEncoder and super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if type(m) is nn.TransformerEncoder:
            forward = _run_layers_of(m)
        result = super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m).removeprefix("network").removeprefix(".")
        if path:
            is_first = path not in self.results and isinstance(result, fx.Proxy)
            self.results[path] = result.node if is_first else None
        if axis := find_image_axis(m):
            turned = result.transpose(0, axis)
            self.turned[result.node] = turned.node
            return turned.transpose(0, axis)
        return result

    def name_results(self, taken: set[str]) -> dict[fx.Node, list[str]]:
        """Operation -> paths of the modules whose results it makes, the innermost last."""
        found: dict[fx.Node, list[str]] = {}
        for path, node in self.results.items():
            if node is not None and path not in taken:
                found.setdefault(node, []).append(path)
        return {node: sorted(paths, key=lambda path: path.count(".")) for node, paths in found.items()}

    def name_nodes(self, graph: fx.Graph) -> dict[fx.Node, str]:
        """Name operations; what turns the result of a layer has the layer's name."""
        names = _name_nodes(graph, self.node_to_qualname)
        for layer, turned in self.turned.items():
            names[layer], names[turned] = names[turned], names[layer]
        return names


def _run_layers_of(encoder: nn.TransformerEncoder) -> Any:
    """What an encoder does, without the shortcuts that it looks for, which can't be traced."""

    def forward(
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        for layer in encoder.layers:
            src = layer(src, src_mask=mask, is_causal=bool(is_causal), src_key_padding_mask=src_key_padding_mask)
        return src if encoder.norm is None else encoder.norm(src)

    return forward


def _name_nodes(graph: fx.Graph, qualified: Mapping[fx.Node, str]) -> dict[fx.Node, str]:
    """Name operations as torchvision does: `layer1.0.relu_1` is the second call of `layer1.0.relu`.

    Unlike there, the path of a module always means that module. (torchvision takes the end of a module called `relu_2`
    for a counter, and calls it `relu` or `relu_1`.)
    """
    operations = [node for node in graph.nodes if node.op.startswith("call_")]
    paths = {node: str(node.target).removeprefix("network.") for node in operations if node.op == "call_module"}
    taken: set[str] = set()
    reserved = set(paths.values())
    names: dict[fx.Node, str] = {}
    for node in operations:
        parent, _, own = qualified[node].removeprefix("network.").rpartition(".")
        stem, _, count = own.rpartition("_")
        path = paths.get(node) or f"{parent}.".lstrip(".") + (stem if stem and count.isdecimal() else own)
        free = path
        n_repeats = 0
        while free in taken or (free in reserved and free != paths.get(node)):
            n_repeats += 1
            free = f"{path}_{n_repeats}"
        taken.add(free)
        names[node] = free
    return names
