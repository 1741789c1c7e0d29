"""Networks of logic gates against their own answers in eval mode, on every row."""

import shutil
import time

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from eric_fast.errors import DataError, ModelError
from eric_fast.frontends.gates.logic_network import from_logic_network
from eric_fast.frontends.gates.netlist import FALSE, TRUE, Netlist, choose_cover, compare_bits
from eric_fast.frontends.registry import load
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.optional import import_optional

layers = import_optional("torchlogix.layers")
modules = import_optional("torchlogix.modules.resblock")
LogicDense, LogicConv2d, GroupSum = layers.LogicDense, layers.LogicConv2d, layers.GroupSum

PIXELS, DIGITS = load_digits(return_X_y=True)
BITS = torch.tensor(PIXELS > 7).float()
LEVELS = torch.tensor(PIXELS / 16).float()


def train(model, rows, n_steps=10):
    """A few steps, so that gates of all kinds come up."""
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    target = torch.tensor(DIGITS)
    model.train()
    for _ in range(n_steps):
        batch = torch.randint(0, len(rows), (128,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(rows[batch]), target[batch]).backward()
        optimiser.step()
    return model


def randomise(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def ask(model, rows):
    modes = [module.training for module in model.modules()]
    model.eval()
    with torch.no_grad():
        answers = model(rows).numpy()
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    return answers


def check_scores(model, rows, **settings):
    """The same scores to the last float32 bit, the same classes; gives the converted model."""
    found = from_logic_network(model, **settings)
    expected = ask(model, rows)
    flat = rows.reshape(len(rows), -1)
    assert np.array_equal(found.decision_function(flat).astype(np.float32), expected)
    assert np.array_equal(found.predict(flat), expected.argmax(axis=1))
    return found


def make_dense(n_inputs=64, **settings):
    return nn.Sequential(LogicDense(n_inputs, 300, **settings), LogicDense(300, 200, **settings), GroupSum(10, tau=8.0))


def test_a_trained_dense_network():
    torch.manual_seed(1)
    model = train(make_dense(parametrization_kwargs={"weight_init": "random"}), BITS)
    model.train()
    found = check_scores(model, BITS)
    assert all(module.training for module in model.modules())
    assert (found.predict(BITS) == DIGITS).mean() > 0.2
    np.testing.assert_allclose(found.predict_proba(BITS), torch.tensor(ask(model, BITS)).softmax(dim=1), rtol=1e-5)
    assert load(model).program == found.program
    assert {name.split(":")[0].removeprefix("not ") for name in found.program.derived} == {"0", "1"}
    again = RuleModel.from_program(parse_program(print_program(found.program)))
    assert np.array_equal(again.predict(BITS), found.predict(BITS))


@pytest.mark.slow
def test_a_trained_convolutional_network():
    torch.manual_seed(1)
    images = BITS.reshape(-1, 1, 8, 8)
    settings = {"parametrization_kwargs": {"weight_init": "random"}}
    model = nn.Sequential(
        LogicConv2d(8, channels=1, num_kernels=8, tree_depth=2, receptive_field_size=3, padding=1, **settings),
        layers.OrPooling2d(2, 2),
        LogicConv2d((4, 4), channels=8, num_kernels=8, tree_depth=3, receptive_field_size=(2, 3), **settings),
        nn.Flatten(),
        LogicDense(8 * 3 * 2, 100, **settings),
        GroupSum(10, tau=2.0),
    )
    found = check_scores(train(model, images), images)
    assert found.n_features_in_ == 64
    assert len(found.program.derived) > 100


@pytest.mark.slow
def test_a_trained_network_of_binarised_levels():
    torch.manual_seed(1)
    thresholds = torch.tensor([0.2, 0.5, 0.8])
    settings = {"parametrization": "warp", "lut_rank": 4, "parametrization_kwargs": {"weight_init": "random"}}
    model = nn.Sequential(layers.FixedBinarization(thresholds), nn.Flatten(), *make_dense(192, **settings))
    found = check_scores(train(model, LEVELS), LEVELS)
    assert found.values == "any"
    edges = thresholds[torch.randint(0, 3, (50, 64))]  # and what is just above and below, and missing
    rows = torch.cat([edges, edges.nextafter(edges + 1), edges.nextafter(edges - 1), torch.full((1, 64), torch.nan)])
    check_scores(model, rows)


@pytest.mark.parametrize(
    ("parametrization", "rank"), [("raw", 2), ("warp", 1), ("warp", 2), ("warp", 6), ("light", 4), ("light", 6)]
)
def test_every_kind_of_gate(parametrization, rank):
    torch.manual_seed(rank)
    n_gates = 130 if rank < 4 else 40
    model = nn.Sequential(
        LogicDense(64, n_gates, parametrization=parametrization, lut_rank=rank),
        LogicDense(n_gates, n_gates, parametrization=parametrization, lut_rank=rank),
        GroupSum(10, tau=3.0, beta=0.5),
    )
    found = from_logic_network(randomise(model))
    np.testing.assert_allclose(found.decision_function(BITS), ask(model, BITS), rtol=1e-6)
    assert np.array_equal(found.predict(BITS), ask(model, BITS).argmax(axis=1))


@pytest.mark.parametrize("candidates", [-1, 4])
def test_learned_connections(candidates):
    settings = {"connections": "learnable", "connections_kwargs": {"num_candidates": candidates}}
    model = randomise(nn.Sequential(LogicDense(64, 100, **settings), GroupSum(10, tau=1.0)))
    check_scores(model, BITS)
    model[0].connections.gumbel = True
    with pytest.raises(ModelError, match=r"gumbel = False"):
        from_logic_network(model)


def test_layers_of_three_dimensions_and_residual_blocks():
    torch.manual_seed(0)
    rows = (torch.rand(300, 2, 5, 6, 7) < 0.5).float()
    model = nn.Sequential(
        layers.LogicConv3d((5, 6, 7), channels=2, num_kernels=3, tree_depth=2, receptive_field_size=3, stride=2),
        layers.OrPooling3d(2, 1),
        nn.Flatten(),
        LogicDense(3 * 1 * 1 * 2, 10),
        GroupSum(10),
    )
    check_scores(randomise(model), rows)
    images = (torch.rand(300, 4, 6, 6) < 0.5).float()
    block = nn.Sequential(modules.ResidualLogicBlock(6, 4, 4), nn.Flatten(), LogicDense(144, 80), GroupSum(10))
    check_scores(randomise(block), images)


@pytest.mark.parametrize("kind", ["FixedBinarization", "SoftBinarization", "LearnableBinarization"])
@pytest.mark.parametrize(
    ("thresholds", "axis", "shape", "given"),
    [
        (torch.tensor([0.3, 0.6]), -2, (3, 6, 6), (3, 6, 6)),
        (torch.tensor([[0.3, 0.6], [0.1, 0.2], [0.5, 0.9]]), 1, (3, 6, 6), None),
        (torch.tensor([0.3, 0.6]), 1, (3, 6, 6), None),
        (torch.linspace(0, 1, 64).reshape(32, 2), -2, (32,), None),
    ],
)
def test_binarizations(kind, thresholds, axis, shape, given):
    torch.manual_seed(0)
    binarization = getattr(layers, kind)(thresholds, feature_dim=axis)
    size = (shape[0] * 2, *shape[1:]) if axis == 1 else (*shape[:-1], shape[-1] * 2)
    logic = [LogicDense(64, 80)]
    if len(shape) == 3:
        convolution = LogicConv2d(size[1:], channels=size[0], num_kernels=4, tree_depth=2, receptive_field_size=3)
        logic = [convolution, nn.Flatten(), LogicDense(4 * (size[1] - 2) * (size[2] - 2), 150)]
    model = nn.Sequential(binarization, *map(randomise, logic), GroupSum(10))
    check_scores(model, torch.rand(200, *shape), input_shape=given)


def test_a_network_without_groups_answers_with_bits():
    torch.manual_seed(0)
    model = randomise(nn.Sequential(LogicDense(64, 60), LogicDense(60, 40)))
    found = from_logic_network(model)
    assert found.predict(BITS).dtype == np.bool_
    assert np.array_equal(found.predict(BITS), ask(model, BITS) > 0.5)
    single = nn.Sequential(*model, GroupSum(1, tau=4.0))
    assert np.array_equal(from_logic_network(single).predict(BITS), ask(single, BITS)[:, 0])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="torchlogix compiles with gcc")
def test_torchlogix_compiled_answers_the_same():
    compiled_model = import_optional("torchlogix.compiled_model")
    torch.manual_seed(0)
    model = randomise(nn.Sequential(nn.Flatten(), LogicDense(64, 200), LogicDense(200, 200), GroupSum(10, tau=1.0)))
    compiled = compiled_model.CompiledLogicNet(model, (64,), num_bits=8, cpu_compiler="gcc")
    compiled.compile(save_lib_path=None)
    n_rows = len(BITS) // 8 * 8
    expected = np.asarray(compiled(BITS[:n_rows].bool().numpy()))
    assert np.array_equal(from_logic_network(model).decision_function(BITS[:n_rows]), expected.reshape(n_rows, 10))


class LogicLayer(nn.Module):
    """A stand-in for difflogic's, whose package needs CUDA to be built: the same attributes and answers."""

    def __init__(self, in_dim, out_dim):
        super().__init__()
        self.in_dim, self.out_dim = in_dim, out_dim
        self.weights = nn.Parameter(torch.randn(out_dim, 16))
        pairs = torch.randperm(2 * out_dim) % in_dim
        self.indices = (pairs[:out_dim], pairs[out_dim:])

    def forward(self, x):
        a, b = x[..., self.indices[0]], x[..., self.indices[1]]
        ab = a * b
        gates = [ab * 0, ab, a - ab, a, b - ab, b, a + b - 2 * ab, a + b - ab]
        gates += [1 - gate for gate in reversed(gates)]
        weights = self.weights.softmax(dim=-1)
        if not self.training:
            weights = nn.functional.one_hot(self.weights.argmax(-1), 16).to(x.dtype)
        return (torch.stack(gates, dim=-1) * weights).sum(-1)


class DifflogicGroupSum(nn.Module):
    def __init__(self, k, tau):
        super().__init__()
        self.k, self.tau = k, tau

    def forward(self, x):
        return x.reshape(*x.shape[:-1], self.k, x.shape[-1] // self.k).sum(-1) / self.tau


DifflogicGroupSum.__name__ = "GroupSum"


def test_difflogic_by_its_attributes():
    torch.manual_seed(0)
    model = nn.Sequential(LogicLayer(64, 400), LogicLayer(400, 400), LogicLayer(400, 200), DifflogicGroupSum(10, 4.0))
    found = check_scores(train(model, BITS), BITS)
    with torch.no_grad():
        for layer in model[:3]:  # every gate
            layer.weights.copy_(nn.functional.one_hot(torch.arange(layer.out_dim) % 16, 16).float())
    assert load(model).program != found.program
    check_scores(model, BITS)


@pytest.mark.slow
def test_a_network_of_48000_gates_converts_in_seconds():
    torch.manual_seed(0)
    sizes = [784, *[8000] * 6]
    model = nn.Sequential(*map(LogicLayer, sizes[:-1], sizes[1:]), DifflogicGroupSum(10, 30.0))
    rows = (torch.rand(200, 784) < 0.3).float()
    start = time.process_time()
    found = from_logic_network(model)
    assert time.process_time() - start < 30
    assert np.array_equal(found.predict(rows), ask(model, rows).argmax(axis=1))


def test_what_is_no_bit_is_refused():
    found = from_logic_network(randomise(make_dense()))
    rows = BITS[:3].clone()
    rows[1, 5] = 0.5
    with pytest.raises(DataError, match=r"row 1, column 'x5': the value is 0\.5, but this model takes only 0 and 1"):
        found.predict(rows)
    rows[1, 5] = torch.nan
    with pytest.raises(DataError, match="row 1, column 'x5'"):
        found.predict(rows)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.logic = LogicDense(64, 64)

    def forward(self, x):
        return self.logic(self.logic(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(LogicDense(64, 60), nn.ReLU(), GroupSum(10)), "layer '1', a ReLU, is not supported"),
        (lambda: nn.Sequential(LogicDense(64, 60), GroupSum(7)), "can't be summed in 7 groups"),
        (lambda: nn.Sequential(LogicDense(64, 60), GroupSum(10, tau=-1.0)), "tau of GroupSum is -1"),
        (lambda: nn.Sequential(LogicDense(64, 60), LogicDense(64, 60)), r"takes signals of shape \[64\], not \[60\]"),
        (lambda: nn.Sequential(layers.OrPooling2d(2, 2), LogicDense(64, 60)), "input_shape="),
        (
            lambda: nn.Sequential(LogicDense(64, 60), GroupSum(10), LogicDense(10, 10)),
            "is not supported at this place",
        ),
        (lambda: randomise(Twice()), "its answers differ from those of its layers"),
    ],
)
def test_what_is_refused(make, message):
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=message):
        from_logic_network(make())


@pytest.mark.parametrize("n_inputs", [1, 2, 3, 4])
def test_covers_say_what_tables_say(n_inputs):
    generator = np.random.default_rng(n_inputs)
    n_entries = 1 << n_inputs
    tables = range(1 << n_entries) if n_inputs < 4 else generator.integers(0, 1 << n_entries, 500).tolist()
    for table in tables:
        negated, cubes = choose_cover(table, n_inputs)
        for entry in range(n_entries):
            given = [bool(entry >> i & 1) for i in range(n_inputs)]
            truth = any(all(given[i] if i >= 0 else not given[~i] for i in cube) for cube in cubes)
            assert (truth != negated) == bool(table >> entry & 1)


def test_a_netlist_folds_and_shares():
    netlist = Netlist(*compare_bits(["a", "b"]))
    a, b = 1, 2
    assert netlist.add_all([a, TRUE], "x") == a
    assert netlist.add_all([a, FALSE], "x") == FALSE
    assert netlist.add_all([a, ~a], "x") == FALSE
    assert netlist.add_any([a, ~a], "x") == TRUE
    assert netlist.add_table(0b0110, (a, a), "x") == FALSE
    assert netlist.add_table(0b0110, (a, TRUE), "x") == ~a
    assert netlist.add_table(0b1010, (a, b), "x") == a
    assert netlist.covers == []
    both = netlist.add_all([b, a], "both")
    assert netlist.add_table(0b1000, (a, b), "again") == both
    assert netlist.add_any([~a, ~b], "nand") == ~both
    assert netlist.add_table(0b0111, (a, b), "nand") == ~both
    assert netlist.add_table(0b0110, (a, b), "xor") == ~netlist.add_table(0b1001, (b, a), "xnor")
    assert netlist.names == ["both", "xor"]
