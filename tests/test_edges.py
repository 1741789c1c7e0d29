"""Which captured layers feed which: traced or recorded, as hooks and noise show it by hand."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from eric_fast.capture import capture_activations, wrap_model
from eric_fast.capture.layers import trace_norms
from eric_fast.program import atom_of
from eric_fast.program.layer_graph import FROM_IMAGES, TO_CLASSES, LayerGraph
from eric_fast.runs import approximate_model
from tests.examples import try_examples

N_UNITS = 4


class RandomNetwork(nn.Module):
    """Layers that read one or two earlier results, or their sum, product or concatenation, some of it in place.

    branches: whether its code asks for values, so that it can't be traced.
    """

    def __init__(self, seed: int, branches: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        random = Random(seed)
        self.branches = branches
        self.plan: list[tuple[str, int, int]] = []
        self.convolutions, self.activations = nn.ModuleList(), nn.ModuleList()
        for number in range(random.randint(2, 6)):
            kind = random.choice(("layer", "layer", "layer", "sum", "in place", "join", "half", "product"))
            self.plan.append((kind, random.randint(0, number), random.randint(0, number)))
        self.plan.append(("layer", len(self.plan), random.randint(0, len(self.plan))))
        for kind, _, _ in self.plan:
            if kind in ("layer", "join"):
                self.convolutions.append(nn.Conv2d(N_UNITS * (2 if kind == "join" else 1), N_UNITS, 3, padding=1))
                self.activations.append(nn.Tanh())
        self.head = nn.Linear(2 * N_UNITS, 3)
        self.last = random.randint(0, len(self.plan) - 1)

    def forward(self, x: Tensor) -> Tensor:
        results, number = [x], 0
        for kind, first, second in self.plan:
            a, b = results[first], results[second]
            if kind in ("layer", "join"):
                inputs = torch.cat([a, b], 1) if kind == "join" else a
                a = self.activations[number](self.convolutions[number](inputs))
                number += 1
            elif kind == "sum":
                a = a + b
            elif kind == "product":
                a = a * torch.sigmoid(b)
            elif kind == "in place":
                a = a.clone()
                a += b
            else:
                left, right = a.chunk(2, 1)
                a = torch.cat([right, left], 1)
            results.append(a)
        if self.branches and bool(x.sum() > 1e9):
            results.append(x)
        return self.head(torch.cat([results[-1], results[self.last]], 1).mean((2, 3)))


def list_layers(network: RandomNetwork, seed: int) -> list[str]:
    names = [f"activations.{i}" for i in range(len(network.activations))]
    return Random(seed).sample(names, k=Random(seed + 1).randint(1, len(names)))


def run_pinned(network: nn.Module, pins: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """What layers give before they are replaced by their pins, and the logits under `TO_CLASSES`."""
    found: dict[str, Tensor] = {}

    def make_hook(name: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, inputs: object, result: Tensor) -> Tensor:
            found[name] = result.detach().clone()
            return pins[name].clone()

        return hook

    with ExitStack() as stack, torch.no_grad():
        for name in pins:
            stack.callback(network.get_submodule(name).register_forward_hook(make_hook(name)).remove)
        found[TO_CLASSES] = network(x)
    return found


def find_edges_by_noise(network: nn.Module, layers: list[str], x: Tensor) -> set[tuple[str, str]]:
    """A layer feeds another if its noise reaches it while all other layers are held as they are."""
    pins = {name: torch.randn(x.shape) for name in layers}
    usual, edges = run_pinned(network, pins, x), set()
    for source in (*layers, FROM_IMAGES):
        noise = torch.randn(x.shape)
        changed = (pins, noise) if source == FROM_IMAGES else ({**pins, source: noise}, x)
        noisy = run_pinned(network, *changed)
        edges |= {(source, name) for name in noisy if name != source and not torch.equal(noisy[name], usual[name])}
    return edges


@pytest.mark.parametrize("branches", [False, True])
@try_examples(10)
@given(seed=st.integers(0, 2**31))
def test_edges_are_those_that_noise_takes(branches, seed):
    network = RandomNetwork(seed, branches).eval()
    layers = list_layers(network, seed)
    x = torch.randn(1, N_UNITS, 4, 4)
    tracer = trace_norms(network, x, layers)
    assert tracer.is_traced != branches
    logits, norms = tracer(x)
    graph = LayerGraph(tracer.layers, tracer.edges)
    expected = find_edges_by_noise(network, list(tracer.layers), x)
    found = {(source, target) for target, own in graph.sources.items() for source in own}
    assert found == {(s, t) for s, t in expected if s != FROM_IMAGES}
    of_images = {t for s, t in expected if s == FROM_IMAGES and t}
    assert graph.partial == {t for t in of_images if any(s for s, own in expected if own == t)}
    hooked = {name: [] for name in tracer.layers}
    with ExitStack() as stack:
        for name, own in hooked.items():
            keep = partial(lambda own, module, inputs, result: own.append(result.abs().mean((2, 3))), own)
            stack.callback(network.get_submodule(name).register_forward_hook(keep).remove)
        assert torch.allclose(network(x), logits)
    assert all(torch.allclose(norms[name], own[0]) for name, own in hooked.items())


@try_examples(6)
@given(seed=st.integers(0, 2**31))
def test_rules_mention_units_that_feed_theirs_alone(seed):
    network = RandomNetwork(seed).eval()
    x = torch.randn(60, N_UNITS, 4, 4)
    with torch.no_grad():
        network.head.weight.mul_(20)
        network.head.bias.sub_(network(x).mean(0))
    names = [f"activations.{i}" for i in range(len(network.activations))]
    found = capture_activations(wrap_model(network), TensorDataset(x, torch.zeros(60).long()), layers=names)
    program = approximate_model(found, layers="all", all_kernels=True, min_leaf=3)
    feeds = find_edges_by_noise(network, names, x[:1])
    mentioned = {
        (program.atoms[atom_of(literal)].layer, program.atoms[rule.head].layer)
        for rule in program.kernel_rules
        for literal in rule.body
    }
    assert mentioned <= feeds
    # Noise on all units but those that feed a layer changes none of its bits.
    pins = {name: torch.randn(x.shape) for name in names}
    usual = run_pinned(network, pins, x)
    for layer in program.layers:
        others = {name: torch.randn(x.shape) for name in names if (name, layer) not in feeds}
        noisy = run_pinned(network, pins | others, x)
        for atom in program.network_quantiser.atoms_of_layer(layer):
            norms = [found[layer][:, atom.column].abs().mean((1, 2)) for found in (usual, noisy)]
            assert torch.equal(norms[0] > atom.constant, norms[1] > atom.constant)


def test_a_sparse_tensor_on_the_way_hands_on_what_it_is_made_of():
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.relu(self.stem(images))
            if bool(maps.sum() > 1e9):
                return maps
            pooled = maps.mean((2, 3)).to_sparse()
            return self.head(pooled.to_dense())

    tracer = trace_norms(Sparse().eval(), torch.randn(1, 3, 6, 6))
    assert not tracer.is_traced
    assert (tracer.layers, tracer.edges) == (("relu",), ())


class Residual(nn.Module):
    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.stem, self.inner, self.outer = (nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8, 8))
        self.relu = nn.ReLU(in_place)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        y = self.outer(self.relu(self.inner(x)))
        y += x
        return self.head(self.relu(y).mean((2, 3)))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_residual_sum_draws_on_both_its_branches(in_place):
    torch.manual_seed(0)
    network = Residual(in_place).eval()
    x = torch.randn(200, 3, 8, 8)
    with torch.no_grad():
        network.head.weight.mul_(20)
        network.head.bias.sub_(network(x).mean(0))
    data = TensorDataset(x, torch.zeros(200).long())
    train = capture_activations(wrap_model(network), data)
    assert train.layers == ("relu", "relu_1", "relu_2")
    assert train.edges == (("relu", "relu_1"), ("relu", "relu_2"), ("relu_1", "relu_2"), ("relu_2", TO_CLASSES))
    program = approximate_model(train, layers="all", rules="weights", all_kernels=True)
    of_sum = [rule for rule in program.kernel_rules if program.atoms[rule.head].layer == "relu_2"]
    drawn = {program.atoms[atom_of(literal)].layer for rule in of_sum for literal in rule.body}
    assert drawn == {"relu", "relu_1"}
    assert program.starts == (("relu",), ("relu", "relu_1"), ("relu_2",))


class Preactivated(nn.Module):
    """An activation in place changes what the skip reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.ReLU()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.inner(self.relu(x))
        return self.head(self.last(x + y).mean((2, 3)))


def test_a_skip_reads_what_an_activation_in_place_left():
    tracer = trace_norms(Preactivated().eval(), torch.randn(1, 3, 6, 6))
    assert (tracer.layers, tracer.edges) == (("relu", "last"), ())


class Twice(nn.Module):
    """What an activation in place gives is changed once more, under its former name."""

    def __init__(self, branches: bool) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.inner, self.outer, self.top = nn.ReLU(inplace=True), nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(3, 2)
        self.branches = branches

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        y = self.inner(x)
        x.add_(self.outer(self.second(images)))
        if self.branches and bool(x.sum() > 1e9):
            return x
        return self.head(self.top(self.last(y)).mean((2, 3)))


@pytest.mark.parametrize("branches", [False, True])
def test_changes_in_place_reach_all_names_of_a_result(branches):
    tracer = trace_norms(Twice(branches).eval(), torch.randn(1, 3, 6, 6), ["inner", "outer", "top"])
    assert tracer.is_traced != branches
    assert tracer.edges == (("inner", "top"), ("outer", "top"), ("top", TO_CLASSES))


@pytest.mark.parametrize("branches", [False, True])
def test_a_probe_stands_in_for_its_layer(branches):
    torch.manual_seed(0)
    network = RandomNetwork(6, branches).eval()
    data = TensorDataset(torch.randn(4, N_UNITS, 6, 6), torch.zeros(4).long())
    own, others = "activations.0", [f"activations.{i}" for i in range(1, len(network.activations))]
    plain = capture_activations(wrap_model(network), data, layers=[own, *others])
    assert {target for target, sources in plain.graph.sources.items() if own in sources} == {
        "activations.3",
        TO_CLASSES,
    }
    probes = {"sae": (own, nn.Conv2d(N_UNITS, 6, 1))}
    probed = capture_activations(wrap_model(network), data, layers=[own, *others], probes=probes)
    assert set(probed.graph.sources["sae"]) == {own}
    assert "sae" in probed.layers
    for target in (*others, TO_CLASSES):
        before = {name.replace(own, "sae") for name in plain.graph.sources[target]}
        assert set(probed.graph.sources[target]) == before
