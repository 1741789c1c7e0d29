"""Kinds of operations: `relu` is `nn.ReLU`, `F.relu`, `torch.relu_`, `x.relu()` and an exported `relu_.default`."""

import torch
from torch import fx, nn
from torch.nn import functional

ACTIVATIONS = frozenset(
    """relu relu6 leakyrelu leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh softplus
    softsign sigmoid logsigmoid tanh tanhshrink hardshrink softshrink threshold clamp clamp_min clip""".split()  # noqa: SIM905
)
CONVOLUTIONS = frozenset(
    """conv1d conv2d conv3d convtranspose1d convtranspose2d convtranspose3d conv_transpose1d conv_transpose2d
    conv_transpose3d""".split()  # noqa: SIM905
)
SKIP_SUMS = frozenset({"add", "iadd"})
CHANNEL_NORMS = frozenset(
    """batchnorm1d batchnorm2d batchnorm3d batch_norm syncbatchnorm instancenorm1d instancenorm2d instancenorm3d
    instance_norm groupnorm group_norm localresponsenorm local_response_norm""".split()  # noqa: SIM905
)
FEATURE_NORMS = frozenset({"layernorm", "layer_norm", "rmsnorm", "rms_norm"})
DROPOUTS = frozenset(
    """dropout dropout1d dropout2d dropout3d alphadropout alpha_dropout featurealphadropout feature_alpha_dropout
    feature_dropout stochasticdepth stochastic_depth dropblock2d drop_block2d dropblock3d drop_block3d""".split()  # noqa: SIM905
)
MAX_POOLS = frozenset("maxpool1d maxpool2d maxpool3d max_pool1d max_pool2d max_pool3d".split())  # noqa: SIM905
# Operations that may stand between a convolution and its activation. Max pooling commutes with every monotonic
# activation; a product belongs to a batch norm that is written out (torchvision's FrozenBatchNorm2d).
PASSING = (SKIP_SUMS | CHANNEL_NORMS | FEATURE_NORMS | DROPOUTS | MAX_POOLS) | frozenset(
    """crossmaplrn2d permute transpose swapaxes swapdims movedim moveaxis identity clone contiguous
    sub isub mul imul div truediv itruediv cat concat concatenate""".split()  # noqa: SIM905
)
BLOCKS = frozenset({"transformerencoderlayer"})  # of torch's own, which are no sums of their own
_NAMED = BLOCKS | ACTIVATIONS | CONVOLUTIONS | PASSING | {"linear", "embedding", "multiheadattention"}
_IN_PLACE = frozenset({"iadd", "isub", "imul", "itruediv", "ifloordiv", "ipow", "setitem"})
# Modules with results that are never negative. (By type: a class of the user's may have the same name.)
_NEVER_NEGATIVE = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid)
_NEVER_NEGATIVE_CALLS = frozenset(
    {"relu", "relu_", "sigmoid", "sigmoid_", torch.relu, torch.relu_, functional.relu, functional.relu_}
    | {functional.relu6, torch.sigmoid, torch.sigmoid_, functional.sigmoid, functional.hardsigmoid}
)


def find_module_kind(module: nn.Module) -> str:
    """The lower-case name of the module's class, or of its nearest base class that is known here."""
    names = [base.__name__.lower() for base in type(module).__mro__]
    return next((name for name in names if name in _NAMED), names[0])


def find_node_kind(node: fx.Node, module: fx.GraphModule) -> str:
    """The kind of an operation; empty for inputs, outputs and attributes."""
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


def changes_input(node: fx.Node, module: fx.GraphModule) -> bool:
    """Whether an operation may work in place, so that its result counts even if nobody reads it."""
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target)).partition(".")[0]
    return name.endswith("_") or name in _IN_PLACE or bool(node.kwargs.get("inplace", False))


def find_image_axis(module: nn.Module) -> int:
    """The axis of a module's result that counts images: 1 of torch's own `[tokens, n, d]`, else 0."""
    return int(type(module) is nn.TransformerEncoderLayer and not module.self_attn.batch_first)


def is_module_never_negative(module: nn.Module) -> bool:
    """Whether the results of a module are known to be never negative; hooks may change them."""
    return type(module) in _NEVER_NEGATIVE and not module._forward_hooks


def is_node_never_negative(node: fx.Node, module: fx.GraphModule) -> bool:
    """Whether the results of an operation are known to be never negative."""
    if node.op == "call_module":
        return is_module_never_negative(module.get_submodule(str(node.target)))
    return node.op in ("call_function", "call_method") and node.target in _NEVER_NEGATIVE_CALLS
