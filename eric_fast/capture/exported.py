"""Networks of torch.export: operations without modules, which still know the module that each came from."""

from collections import Counter

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from eric_fast.errors import ModelError

_STACK = "nn_module_stack"  # torch.export's note at a node: the modules that it came from, outermost first


def open_exported(program: ExportedProgram) -> nn.Module:
    """Make a program of torch.export a module that can be traced.

    Raises:
        ModelError: it was exported in training mode.
    """
    module = program.module()
    assert isinstance(module, fx.GraphModule)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and not node.users:  # the check of its inputs' shapes, which can't be traced
            module.graph.erase_node(node)
        is_norm, is_dropout = (node.target == target for target in (_BATCH_NORM, _DROPOUT))
        if (is_norm and node.args[5]) or (is_dropout and node.args[2]):
            raise ModelError("the torch.export program was made in training mode; call eval() before you export")
    module.recompile()
    for part in module.modules():
        part.training = False  # its eval() refuses
    return module


def name_exported(network: nn.Module, graph: fx.Graph) -> dict[fx.Node, str]:
    """Name the operations of a traced network of torch.export by the modules that they came from; others have none.

    Args:
        graph: the trace of `network`, whose operations are those of its own graph, in order.
    """
    if not isinstance(network, fx.GraphModule) or not any(_STACK in node.meta for node in network.graph.nodes):
        return {}
    own, traced = (
        [node for node in nodes if node.op == "call_function"] for nodes in (network.graph.nodes, graph.nodes)
    )
    traced = [node for node in traced if isinstance(node.target, torch._ops.OpOverload)]
    own = [node for node in own if isinstance(node.target, torch._ops.OpOverload)]
    if [node.target for node in own] != [node.target for node in traced]:
        return {}
    paths = [next(reversed((node.meta.get(_STACK) or {"": ("", "")}).values()))[0] for node in own]
    n_of_path = Counter(paths)
    return {
        node: path if n_of_path[path] == 1 and path else ".".join(filter(None, (path, before.name)))
        for node, before, path in zip(traced, own, paths, strict=True)
    }


_BATCH_NORM, _DROPOUT = torch.ops.aten.batch_norm.default, torch.ops.aten.dropout.default
