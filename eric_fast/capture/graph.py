"""Find the layers of a network with torch.fx."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torchvision.models.feature_extraction import NodePathTracer

from eric_fast.capture.exported import name_exported

# Targets by lower-case name, without the underscore of an in-place variant: `nn.ReLU`, `F.relu`, `torch.relu_`
# and `x.relu()` are all `relu`.
ACTIVATIONS = frozenset(
    """relu relu6 leakyrelu leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh softplus
    softsign sigmoid logsigmoid tanh tanhshrink hardshrink softshrink threshold clamp clamp_min clip""".split()  # noqa: SIM905
)
CONVOLUTIONS = frozenset({"conv2d", "convtranspose2d", "conv_transpose2d"})
# Operations that may stand between a convolution and its activation. Max pooling commutes with every monotonic
# activation; a product belongs to a batch norm that is written out (torchvision's FrozenBatchNorm2d).
_PASSING = frozenset(
    """batchnorm2d batch_norm syncbatchnorm instancenorm2d instance_norm groupnorm group_norm layernorm layer_norm
    localresponsenorm local_response_norm rmsnorm rms_norm crossmaplrn2d
    dropout dropout1d dropout2d alphadropout alpha_dropout featurealphadropout feature_alpha_dropout feature_dropout
    stochasticdepth stochastic_depth dropblock2d drop_block2d identity clone contiguous
    add iadd sub isub mul imul div truediv itruediv cat concat concatenate
    maxpool2d max_pool2d""".split()  # noqa: SIM905
)
_KINDS = ACTIVATIONS | CONVOLUTIONS | _PASSING
# Modules with results that are never negative. (By type: a class of the user's may have the same name.)
_NEVER_NEGATIVE = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid)
_NEVER_NEGATIVE_CALLS = frozenset(
    {"relu", "relu_", "sigmoid", "sigmoid_", torch.relu, torch.relu_, functional.relu, functional.relu_}
    | {functional.relu6, torch.sigmoid, torch.sigmoid_, functional.sigmoid, functional.hardsigmoid}
)
ArgumentOf = Callable[[str, bool], Any]  # a layer, and whether it is never negative -> the second argument of `read`


@dataclass(frozen=True)
class TracedNetwork:
    """A network as a graph, and its operations with 4-D maps as results.

    Attributes:
        module: the traced graph; it shares the network's parameters.
        output: its output on the example.
        nodes: name -> operation, in execution order; only those with a 4-D float result.
        defaults: names of the activations that a convolution reaches, on maps larger than 1x1.
        convolutions: names of the convolutions with maps larger than 1x1.
        never_negative: names of operations whose results are known to be never negative.
    """

    module: fx.GraphModule
    output: Any
    nodes: Mapping[str, fx.Node]
    defaults: tuple[str, ...]
    convolutions: tuple[str, ...]
    never_negative: frozenset[str]


class _Root(nn.Module):
    """Calls `network(images)`, so that other arguments of its `forward` keep their defaults when it is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images)


def trace_network(network: nn.Module, example: Tensor) -> TracedNetwork:
    """Trace `network`, in evaluation mode, and run it once on `example` `[n_images, channels, height, width]`.

    Raises:
        Exception: any error that stops the tracer.
    """
    root = _Root(network)
    tracer = NodePathTracer()
    graph = tracer.trace(root)
    module = fx.GraphModule(root, graph)
    shapes = _Shapes(module)
    output = shapes.run(example)
    kinds = {node: _find_kind(node, module) for node in graph.nodes}
    names = _name_nodes(graph, tracer.node_to_qualname) | name_exported(network, graph)
    nodes = {names[node]: node for node in graph.nodes if node in shapes.maps and node in names}
    # In execution order: does the result of a convolution arrive here without an activation on the way?
    arrives: dict[fx.Node, bool] = {}
    for node in graph.nodes:
        passes = kinds[node] in _PASSING and any(arrives[before] for before in node.all_input_nodes)
        arrives[node] = kinds[node] in CONVOLUTIONS or passes
    large = {name: node for name, node in nodes.items() if shapes.maps[node] != (1, 1)}
    return TracedNetwork(
        module=module,
        output=output,
        nodes=nodes,
        defaults=tuple(
            name
            for name, node in large.items()
            if kinds[node] in ACTIVATIONS and any(arrives[before] for before in node.all_input_nodes)
        ),
        convolutions=tuple(name for name, node in large.items() if kinds[node] in CONVOLUTIONS),
        never_negative=frozenset(name for name, node in nodes.items() if _is_never_negative(node, module)),
    )


def insert_reads(
    traced: TracedNetwork, layers: tuple[str, ...], read: Callable[[Tensor, Any], Tensor], argument_of: ArgumentOf
) -> fx.GraphModule:
    """Make a module `images -> (output of the network, [result of `read` for each layer])`.

    Each map is read as soon as it is made. So it is freed as early as in the plain network, and no in-place operation
    can change it first. (`create_feature_extractor` keeps every map: 0.94 GB for vgg16 at batch 32, instead of 4 MB.)

    Args:
        read: maps `[n_images, n_kernels, height, width]` and the result of `argument_of` for the layer (a text,
            numbers, or tuples of them) -> a tensor that shares no memory with the maps.
    """
    graph = traced.module.graph
    found = []
    for layer in layers:
        node = traced.nodes[layer]
        with graph.inserting_after(node):
            found.append(graph.call_function(read, (node, argument_of(layer, layer in traced.never_negative))))
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    output.args = ((output.args[0], found),)
    graph.lint()
    return fx.GraphModule(traced.module, graph)


def drop_head(network: fx.GraphModule) -> fx.GraphModule:
    """Cut the module of `insert_reads` after its last read: `images -> (None, [result of `read` for each layer])`.

    Earlier operations stay even if their results are unused, as they may change a map in place.
    """
    output = next(node for node in reversed(network.graph.nodes) if node.op == "output")
    found: Any = output.args[0][1]
    last = max(found, key=list(network.graph.nodes).index)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in network.graph.nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if node is last:
            break
    graph.output((None, [copies[node] for node in found]))
    short = fx.GraphModule(network, graph)
    short.delete_all_unused_submodules()
    return short


class _Shapes(fx.Interpreter):
    """Runs the graph once and records the height and width of every 4-D float result."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.maps: dict[fx.Node, tuple[int, int]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor) and result.ndim == 4 and result.is_floating_point():
            self.maps[n] = (result.shape[2], result.shape[3])
        return result


def find_module_kind(module: nn.Module) -> str:
    """The lower-case name of the module's class, or of its nearest base class that is known here."""
    names = [base.__name__.lower() for base in type(module).__mro__]
    return next((name for name in names if name in _KINDS), names[0])


def is_never_negative(module: nn.Module) -> bool:
    """Whether the results of a module are known to be never negative; hooks may change them."""
    return type(module) in _NEVER_NEGATIVE and not module._forward_hooks


def _is_never_negative(node: fx.Node, module: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return is_never_negative(module.get_submodule(str(node.target)))
    return node.op in ("call_function", "call_method") and node.target in _NEVER_NEGATIVE_CALLS


def _find_kind(node: fx.Node, module: fx.GraphModule) -> str:
    """The kind of an operation: `relu` for every way to write it; empty for inputs, outputs and attributes."""
    match node.op:
        case "call_module":
            return find_module_kind(module.get_submodule(str(node.target)))
        case "call_method":
            name = str(node.target)
        case "call_function":
            name = str(getattr(node.target, "__name__", ""))
        case _:
            return ""
    return name.partition(".")[0].lower().strip("_")  # `relu_.default` is an exported `relu`


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
