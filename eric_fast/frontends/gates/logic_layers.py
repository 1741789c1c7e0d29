"""The layers of networks of logic gates, applied to the signals of a netlist: integer arrays of any shape."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eric_fast.errors import ModelError
from eric_fast.frontends.gates.netlist import FALSE, Netlist

Signals = NDArray[np.int64]
BINARIZATIONS = ("FixedBinarization", "SoftBinarization", "LearnableBinarization")
PASSED = ("Identity", "DummyBinarization", "Dropout")  # they change nothing in eval mode
MOST_INPUTS = 6  # of a gate, in a truth table of 64 bits


def list_logic_layers(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers in the order in which they run, and the path of each; a module with a single child is that child.

    Raises:
        ModelError: a layer that is not supported.
    """
    name = type(model).__name__
    if name in LAYERS or name in BINARIZATIONS or name == "GroupSum":
        yield path, model
    elif isinstance(model, nn.Sequential) or len(list(model.children())) == 1:
        for child_name, child in model.named_children():
            yield from list_logic_layers(child, f"{path}.{child_name}" if path else child_name)
    elif name not in PASSED:
        raise ModelError(
            f"layer '{path}', a {name}, is not supported; a network may have {', '.join(LAYERS)}, GroupSum and, "
            f"first, {', '.join(BINARIZATIONS)}"
        )


def apply_layers(model: nn.Module, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """The layers within a module, one after another."""
    for name, layer in list_logic_layers(model, path):
        signals = apply_layer(layer, signals, netlist, name)
    return signals


def apply_layer(layer: nn.Module, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """The output of a layer for signals `[*shape]`, without a batch dimension.

    Raises:
        ModelError: a layer that is not supported here, or signals of another shape than it takes.
    """
    apply = LAYERS.get(type(layer).__name__)
    if apply is None:
        raise ModelError(f"layer '{path}', a {type(layer).__name__}, is not supported at this place")
    return apply(layer, signals, netlist, path)


def _flatten(layer: Any, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """`nn.Flatten`, whose dimensions include the batch's."""
    first = layer.start_dim if layer.start_dim >= 0 else layer.start_dim + signals.ndim + 1
    last = layer.end_dim if layer.end_dim >= 0 else layer.end_dim + signals.ndim + 1
    if first < 1:
        raise ModelError(f"layer '{path}' flattens the batch dimension; start at dimension 1")
    return signals.reshape(*signals.shape[: first - 1], -1, *signals.shape[last:])


def _apply_dense(layer: Any, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """torchlogix's LogicDense."""
    indices = _read_connections(layer.connections, path)
    _check_shape(signals, (layer.in_dim,), path)
    return _add_gates(netlist, read_tables(layer.parametrization, layer.weight), signals[indices], path)


def _apply_difflogic(layer: Any, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """difflogic's LogicLayer: the truth of gate `id`, of inputs a and b, is bit `3 - 2 * a - b` of `id`."""
    _check_shape(signals, (layer.in_dim,), path)
    indices = np.stack([_to_numpy(part).astype(np.int64) for part in layer.indices])
    ids = _to_numpy(layer.weights).argmax(axis=-1)
    table_of_id = [sum(((gate >> (3 - 2 * (e & 1) - (e >> 1))) & 1) << e for e in range(4)) for gate in range(16)]
    return _add_gates(netlist, [table_of_id[gate] for gate in ids], signals[indices], path)


def _apply_convolution(layer: Any, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """torchlogix's LogicConv2d and 3d: a tree of gates for each kernel and place."""
    _check_shape(signals, (layer.channels, *layer.in_dim), path)
    if layer.padding:
        if len(layer.in_dim) > 2:
            raise ModelError(
                f"layer '{path}' pads in three dimensions, which torchlogix computes wrongly; train without padding"
            )
        signals = _pad(signals, (layer.padding, layer.padding))
    levels = [_to_numpy(level) for level in layer.connections.indices]
    places = levels[0]
    found: Signals = signals[(places[..., -1], *np.moveaxis(places[..., :-1], -1, 0))]  # [rank, kernels, places, nodes]
    for level, weights in enumerate(layer.tree_weights):
        if level:
            found = np.moveaxis(found[..., levels[level]], -2, 0)
        n_nodes, n_kernels = weights.shape[:2]
        tables = np.array(read_tables(layer.parametrization, weights.flatten(0, 1)), object)
        tables = tables.reshape(n_nodes, 1, n_kernels).T  # [kernels, 1, nodes]
        every = np.broadcast_to(tables, found.shape[1:]).reshape(-1).tolist()
        found = _add_gates(netlist, every, found, f"{path}.{level}")
    sizes = [
        (size + 2 * layer.padding - field) // layer.stride + 1
        for size, field in zip(layer.in_dim, layer.receptive_field_size, strict=True)
    ]
    return found.reshape(layer.num_kernels, *sizes)


def _apply_pooling(layer: Any, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """torchlogix's OrPooling2d and 3d."""
    n_dims = int(type(layer).__name__[-2])
    size, stride, padding = (
        (value,) * n_dims if isinstance(value, int) else tuple(value)
        for value in (layer.kernel_size, layer.stride, layer.padding)
    )
    if signals.ndim != n_dims + 1:
        raise ModelError(f"layer '{path}' can't pool signals of shape {list(signals.shape)}")
    windows = np.lib.stride_tricks.sliding_window_view(_pad(signals, padding), size, axis=tuple(range(1, n_dims + 1)))
    windows = windows[(slice(None), *(slice(None, None, step) for step in stride))]
    shape = windows.shape[: n_dims + 1]
    rows = windows.reshape(int(np.prod(shape)), -1).tolist()
    found = [netlist.add_any(row, f"{path}:{i}") for i, row in enumerate(rows)]
    return np.array(found, np.int64).reshape(shape)


def _apply_residual(layer: Any, signals: Signals, netlist: Netlist, path: str) -> Signals:
    """torchlogix's ResidualLogicBlock: the OR of its two branches."""
    main = apply_layers(layer.main, signals, netlist, f"{path}.main")
    shortcut = apply_layers(layer.shortcut, signals, netlist, f"{path}.shortcut")
    pairs = zip(main.reshape(-1).tolist(), shortcut.reshape(-1).tolist(), strict=True)
    found = [netlist.add_any(pair, f"{path}:{i}") for i, pair in enumerate(pairs)]
    return np.array(found, np.int64).reshape(main.shape)


LAYERS: dict[str, Callable[[Any, Signals, Netlist, str], Signals]] = {
    "LogicDense": _apply_dense,
    "LogicConv2d": _apply_convolution,
    "LogicConv3d": _apply_convolution,
    "OrPooling2d": _apply_pooling,
    "OrPooling3d": _apply_pooling,
    "ResidualLogicBlock": _apply_residual,
    "LogicLayer": _apply_difflogic,
    "Flatten": _flatten,
}


def read_tables(parametrization: Any, weights: Tensor) -> list[int]:
    """The truth table of each gate (see `Netlist.add_table`), by torchlogix's own answer to every input.

    Args:
        weights: `[n_gates, n_parameters]`.

    Raises:
        ModelError: gates of more than `MOST_INPUTS` inputs, or answers other than 0 and 1.
    """
    rank = parametrization.lut_rank
    if rank > MOST_INPUTS:
        raise ModelError(f"gates of {rank} inputs are not supported, only up to {MOST_INPUTS}")
    entries = torch.arange(1 << rank)[:, None] >> torch.arange(rank) & 1  # [entries, rank]
    inputs = entries[:, :, None].expand(-1, -1, len(weights)).to(weights.device, weights.dtype)
    with torch.no_grad():
        answers = parametrization.forward(inputs, weights, False, contraction="n,bn->bn")
    bits = _to_numpy(answers).T  # [n_gates, entries]
    if not np.isin(bits, (0, 1)).all():
        raise ModelError("a gate answers neither 0 nor 1")
    packed = np.packbits(bits.astype(np.bool_), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _read_connections(connections: Any, path: str) -> NDArray[np.int64]:
    """The inputs of each gate, int64 `[rank, n_gates]`."""
    indices: NDArray[np.int64] = _to_numpy(connections.indices)
    if indices.ndim == 2:
        return indices
    if connections.gumbel:
        raise ModelError(f"layer '{path}' draws its connections at random; set connections.gumbel = False first")
    chosen = _to_numpy(connections.weights).argmax(axis=0)
    found: NDArray[np.int64] = np.take_along_axis(indices, chosen[None], axis=0)[0]
    return found


def _add_gates(netlist: Netlist, tables: list[int], inputs: Signals, path: str) -> Signals:
    """A gate for each table and each column of `inputs`, `[rank, *shape]`: signals `[*shape]`."""
    rows = inputs.reshape(len(inputs), -1).T.tolist()
    found = [
        netlist.add_table(table, row, f"{path}:{i}") for i, (table, row) in enumerate(zip(tables, rows, strict=True))
    ]
    return np.array(found, np.int64).reshape(inputs.shape[1:])


def _check_shape(signals: Signals, shape: tuple[int, ...], path: str) -> None:
    if signals.shape != shape:
        raise ModelError(f"layer '{path}' takes signals of shape {list(shape)}, not {list(signals.shape)}")


def _pad(signals: Signals, padding: tuple[int, ...]) -> Signals:
    """Pad the last dimensions with false signals on both sides."""
    widths = [(0, 0)] * (signals.ndim - len(padding)) + [(width, width) for width in padding]
    return np.pad(signals, widths, constant_values=FALSE)


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array
