"""Find the layers of a network that can't be traced, with hooks on its modules."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from eric_fast.capture.graph import ACTIVATIONS, CONVOLUTIONS, ArgumentOf, find_module_kind, is_never_negative
from eric_fast.errors import ModelError

Call = tuple[str, int]  # a module's path, and which of its calls in one forward pass: 0, 1, ...


@dataclass(frozen=True)
class ObservedNetwork:
    """The calls of a network's modules in one forward pass.

    Attributes:
        network: the network itself.
        calls: name -> call of a module with a 4-D map as result, in execution order.
        defaults: names of activation modules on maps larger than 1x1, after the first convolution module.
        convolutions: names of convolution modules with maps larger than 1x1.
    """

    network: nn.Module
    calls: Mapping[str, Call]
    defaults: tuple[str, ...]
    convolutions: tuple[str, ...]


def observe_network(network: nn.Module, example: Tensor) -> ObservedNetwork:
    """Run `network`, in evaluation mode, on `example` `[n_images, channels, height, width]`, and record its calls."""
    modules = {path: module for path, module in network.named_modules() if path}
    calls: dict[str, Call] = {}
    defaults: list[str] = []
    convolutions: list[str] = []

    def note(call: Call, maps: Tensor) -> None:
        path, n_before = call
        name = path if not n_before else f"{path}_{n_before}"
        while n_before and (name in modules or name in calls):
            n_before += 1
            name = f"{path}_{n_before}"
        calls[name] = call
        kind = find_module_kind(modules[path])
        if tuple(maps.shape[2:]) == (1, 1):
            return
        if kind in CONVOLUTIONS:
            convolutions.append(name)
        elif kind in ACTIVATIONS and convolutions:
            defaults.append(name)

    with _watch(modules, note):
        network(example)
    return ObservedNetwork(network, calls, tuple(defaults), tuple(convolutions))


class HookedNetwork(nn.Module):
    """A module `images -> (output of the network, [result of `read` for each layer])`.

    Its hooks last for one forward pass. For `read` and `argument_of` see `insert_reads`.
    """

    def __init__(
        self,
        observed: ObservedNetwork,
        layers: tuple[str, ...],
        read: Callable[[Tensor, Any], Tensor],
        argument_of: ArgumentOf,
    ) -> None:
        super().__init__()
        self.network = observed.network
        self._layer_of_call = {observed.calls[layer]: layer for layer in layers}
        self._read = read
        modules = {layer: self.network.get_submodule(path) for (path, _), layer in self._layer_of_call.items()}
        self._arguments = {layer: argument_of(layer, is_never_negative(module)) for layer, module in modules.items()}

    def forward(self, images: Tensor) -> tuple[Any, list[Tensor]]:
        """Raises ModelError if a layer doesn't run."""
        found: dict[str, Tensor] = {}

        def note(call: Call, maps: Tensor) -> None:
            if call in self._layer_of_call:
                layer = self._layer_of_call[call]
                found[layer] = self._read(maps, self._arguments[layer])

        with _watch({path: self.network.get_submodule(path) for path, _ in self._layer_of_call}, note):
            output = self.network(images)
        layers = self._layer_of_call.values()
        for layer in layers:
            if layer not in found:
                raise ModelError(f"layer '{layer}' runs on the first image, but not on every batch; leave it out")
        return output, [found[layer] for layer in layers]


@contextmanager
def _watch(modules: Mapping[str, nn.Module], seen: Callable[[Call, Tensor], None]) -> Iterator[None]:
    """Call `seen` for every 4-D float result of `modules` within the context."""
    n_calls: Counter[str] = Counter()

    def make_hook(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, result: Any) -> None:
            call = (path, n_calls[path])
            n_calls[path] += 1
            if isinstance(result, Tensor) and result.ndim == 4 and result.is_floating_point():
                seen(call, result)

        return hook

    handles = [module.register_forward_hook(make_hook(path)) for path, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
