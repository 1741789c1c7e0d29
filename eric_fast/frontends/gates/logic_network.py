"""Networks of logic gates, of torchlogix and difflogic, as programs of the gates that they use in `eval` mode."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from eric_fast.errors import ModelError
from eric_fast.frontends.front_end import FrontEnd
from eric_fast.frontends.gates.logic_layers import BINARIZATIONS, Signals, apply_layer, list_logic_layers
from eric_fast.frontends.gates.netlist import FALSE, TRUE, Netlist, answer_bits, build_part, compare_bits
from eric_fast.program import ClassRule, Decision, Program
from eric_fast.program.table_atoms import Column, TableAtom
from eric_fast.table.model import RuleModel

LOGIC = ("LogicDense", "LogicConv2d", "LogicConv3d", "LogicLayer")
NO_SHAPE = "the layers don't determine the shape of a row of the input; give input_shape=(channels, height, width)"
N_CHECKED = 32  # random rows on which the program is compared with the network

NamedLayers = list[tuple[str, nn.Module]]


def from_logic_network(model: nn.Module, *, input_shape: Sequence[int] | None = None) -> RuleModel:
    """A network of logic gates in `eval` mode as a program: gates are rules, sums of groups are votes.

    Supported are torchlogix's LogicDense, LogicConv2d and 3d, OrPooling2d and 3d, GroupSum, binarizations and
    ResidualLogicBlock, and difflogic's LogicLayer and GroupSum, in modules that run one after another. Unused gates are
    left out, equal gates are shared. The columns are the inputs of a row, flattened. A network that begins with a
    binarization takes any numbers, every other only 0 and 1.

    `predict` gives the class with the highest sum, `decision_function` the sums divided by tau, and `predict_proba`
    their softmax. With a single group `predict` gives its sum; without GroupSum bool `[n_rows, n_outputs]`.

    The program is compared with the network on some random rows.

    Args:
        input_shape: of one row of the input, if the layers don't determine it.

    Raises:
        ModelError: a layer that is not supported, or a network whose answers differ from those of its layers in turn.

    Examples:
        >>> from torchlogix.layers import GroupSum, LogicDense
        >>> _ = torch.manual_seed(0)
        >>> network = torch.nn.Sequential(LogicDense(4, 8, device="cpu"), GroupSum(2)).eval()
        >>> model = ef.from_logic_network(network)
        >>> model.n_features_in_, model.source
        (4, 'logic gate network Sequential')
    """
    layers = list(list_logic_layers(model))
    with evaluating(model):
        shape = tuple(input_shape) if input_shape is not None else infer_shape(layers)
        netlist, signals = _read_inputs(layers, shape)
        groups = layers.pop()[1] if layers and type(layers[-1][1]).__name__ == "GroupSum" else None
        for path, layer in layers:
            signals = apply_layer(layer, signals, netlist, path)
        rule_model = _make_model(netlist, signals, groups, type(model).__name__)
        _check_answers(model, rule_model, shape)
    return rule_model


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set all modules to `eval` mode, and restore their modes at the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def infer_shape(layers: NamedLayers) -> tuple[int, ...]:
    """The shape of one row of the input.

    Raises:
        ModelError: the layers don't determine it.
    """
    rest = [layer for _, layer in layers if type(layer).__name__ not in (*BINARIZATIONS, "Flatten")]
    first: Any = next((part for layer in rest[:1] for part in layer.modules() if type(part).__name__ in LOGIC), None)
    if first is None:
        raise ModelError(NO_SHAPE)
    shape: tuple[int, ...] = (first.channels, *first.in_dim) if hasattr(first, "channels") else (first.in_dim,)
    binarization: Any = next((layer for _, layer in layers if type(layer).__name__ in BINARIZATIONS), None)
    if binarization is None:
        return shape
    *sizes, n_bits = binarization.get_thresholds().shape
    if prod(sizes) * n_bits == prod(shape) and len(sizes) != 2 and len(shape) == 1:
        return tuple(sizes)
    axis = binarization.feature_dim % (len(shape) + 2)  # counted with the batch's and the bits' dimensions
    if len(sizes) < 2 and axis == 1 and shape[0] % n_bits == 0:
        return (shape[0] // n_bits, *shape[1:])
    raise ModelError(NO_SHAPE)


def _read_inputs(layers: NamedLayers, shape: tuple[int, ...]) -> tuple[Netlist, Signals]:
    """A netlist without gates, whose inputs compare a row's numbers, and the signals into the logic.

    The layers before the logic are removed from `layers`.
    """
    places = np.arange(prod(shape)).reshape(shape)
    names = [f"x{i}" for i in range(places.size)]
    while layers and type(layers[0][1]).__name__ == "Flatten":
        places = apply_layer(layers[0][1], places, Netlist((), ()), layers.pop(0)[0])
    if not layers or type(layers[0][1]).__name__ not in BINARIZATIONS:
        return Netlist(*compare_bits(names)), places + 1
    binarization: Any = layers.pop(0)[1]
    thresholds = binarization.get_thresholds().detach().cpu().numpy()
    if thresholds.ndim == 2 and places.ndim == 3:  # one set for each channel
        thresholds = thresholds[:, None, None, :]
    places, thresholds = np.broadcast_arrays(places[..., None], thresholds)
    kind = "float64" if thresholds.dtype == np.float64 else "float32"
    columns = tuple(Column(name, kind) for name in names)
    signal_of: dict[tuple[int, float], int] = {}
    pairs = zip(places.reshape(-1).tolist(), thresholds.reshape(-1).tolist(), strict=True)
    found = [signal_of.setdefault(pair, len(signal_of) + 1) for pair in pairs]
    comparisons = tuple(TableAtom(column, names[column], ">", float(bound)) for column, bound in signal_of)
    signals = np.array(found, np.int64).reshape(places.shape)
    axis = binarization.feature_dim % (signals.ndim + 1) - 1  # where the bits go, the batch's dimension not counted
    signals = np.moveaxis(signals, -1, axis + 1)
    return Netlist(columns, comparisons), signals.reshape(*signals.shape[:axis], -1, *signals.shape[axis + 2 :])


def _make_model(netlist: Netlist, signals: Signals, groups: Any, name: str) -> RuleModel:
    source = f"logic gate network {name}"
    values = "binary" if all(atom.constant == 0.5 for atom in netlist.comparisons) else "any"
    wanted = signals.reshape(-1).tolist()
    if groups is None:
        program = answer_bits(netlist, [(f"o{i}", signal) for i, signal in enumerate(wanted)])
        return RuleModel(program, source, values=values)
    n_groups, tau, beta = int(groups.k), float(groups.tau), float(getattr(groups, "beta", 0.0))
    if signals.ndim != 1 or len(wanted) % n_groups:
        raise ModelError(f"signals of shape {list(signals.shape)} can't be summed in {n_groups} groups")
    if not tau > 0:
        raise ModelError(f"the tau of GroupSum is {tau}, but must be above 0")
    part = build_part(netlist, wanted)
    size = len(wanted) // n_groups
    rules = tuple(
        ClassRule(i // size, () if signal == TRUE else (part.to_literal(signal),))
        for i, signal in enumerate(wanted)
        if signal != FALSE
    )
    program = Program(
        part.quantiser,
        tuple(map(str, range(n_groups))),
        rules,
        part.rules,
        decision=Decision.of_sums(classify=n_groups > 1),
        default=0 if n_groups > 1 else None,
        base=(beta,) * n_groups,
        derived=part.derived,
    )
    if n_groups == 1:
        return RuleModel(program, source, divisor=tau, values=values)
    return RuleModel(program, source, np.arange(n_groups), link="softmax", divisor=tau, values=values)


def _check_answers(model: nn.Module, found: RuleModel, shape: tuple[int, ...]) -> None:
    """Raises ModelError if the network answers differently on random rows."""
    constants = [float(atom.constant) for atom in found.program.table_quantiser.atoms] or [0.5]  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(N_CHECKED, prod(shape), generator=generator)
    if found.values == "binary":
        rows = (rows < 0.5).float()
    else:
        rows = rows * (max(constants) - min(constants) + 2) + min(constants) - 1
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        expected = model(rows.reshape(N_CHECKED, *shape).to(device)).cpu().reshape(N_CHECKED, -1).double().numpy()
    answers = found.decision_function(rows) if found.program.decision.gives_class else found.predict(rows)
    if not np.allclose(expected, answers.reshape(N_CHECKED, -1), rtol=1e-5, atol=1e-6):
        raise ModelError(
            f"the {type(model).__name__} can't be converted: its answers differ from those of its layers one after "
            "another; give an nn.Sequential of them"
        )


def _matches(source: Any) -> bool:
    """Whether this is a PyTorch module with layers of logic gates."""
    return isinstance(source, nn.Module) and any(type(layer).__name__ in LOGIC for layer in source.modules())


LOGIC_NETWORK = FrontEnd("networks of logic gates", _matches, from_logic_network)
