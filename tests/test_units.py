"""Any unit is an atom: the axis of units in every kind of tensor, gates, joins and blocks."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import TensorDataset

from eric_fast.capture import capture_activations, open_data, trace_norms
from eric_fast.capture.layers import trace_layers
from eric_fast.capture.units import Shaped, UnitView, arrange_units, find_unit_axis
from eric_fast.errors import ModelError
from eric_fast.explain import explain_image
from eric_fast.runs import approximate_model, evaluate_chains
from tests.examples import try_examples


def make(build):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return build().eval()


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Watched(nn.Module):
    """A network that torch.fx can't trace."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) if bool(x.isfinite().any()) else None


class LastAxis(nn.Module):
    """As ConvNeXt's block: units are on the last axis inside, and there are as many rows as columns."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.act, self.down = nn.LayerNorm(6), nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6)

    def forward(self, x):
        return x + self.down(self.act(self.up(self.norm(x.permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)


class Block(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.norm1, self.attend = nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm2, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attend(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self, has_class_token):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.class_token = nn.Parameter(torch.randn(1, 1, 8)) if has_class_token else None
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x[:, 0] if self.class_token is not None else x.mean(1))


def pool(*parts):
    return nn.Sequential(*parts, nn.Flatten(), nn.LazyLinear(3))


# A network, an input, a layer, and the values of its units: [n, units, positions]
CASES = {
    "channels last": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), LastAxis(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
        draw(5, 3, 14, 14),
        "1.act",
        lambda y: y.permute(0, 3, 1, 2).flatten(2),
        12,
    ),
    "sound": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 3)
        ),
        draw(5, 2, 40),
        "2",
        lambda y: y,
        5,
    ),
    "volumes": (
        lambda: nn.Sequential(nn.Conv3d(1, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)),
        draw(5, 1, 6, 7, 8),
        "1",
        lambda y: y.flatten(2),
        4,
    ),
    "tokens": (lambda: Transformer(False), draw(5, 3, 16, 16), "norm", lambda y: y.transpose(1, 2), 8),
    "hidden tokens": (lambda: Transformer(True), draw(5, 3, 16, 16), "blocks.1.mlp.1", lambda y: y.transpose(1, 2), 16),
    "class token": (lambda: Transformer(True), draw(5, 3, 16, 16), "norm@class", lambda y: y[:, 0, :, None], 8),
    "a vector": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 7), nn.Tanh(), nn.Linear(7, 3)
        ),
        draw(5, 3, 8, 8),
        "4",
        lambda y: y[:, :, None],
        7,
    ),
}


@pytest.mark.parametrize("is_traced", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_captured_norms_are_those_of_hooks_by_hand(case, is_traced):
    build, x, layer, arrange, n_units = CASES[case]
    net = make(build)
    seen = []
    handle = net.get_submodule(layer.removesuffix("@class")).register_forward_hook(lambda m, i, y: seen.append(y))
    with torch.no_grad():
        truth = net(x).argmax(1)
    handle.remove()
    name = layer if is_traced else f"net.{layer}"
    data = TensorDataset(x, truth)
    for norm, reduce in [
        ("l1", lambda v: v.abs().mean(2)),
        ("mean", lambda v: v.mean(2)),
        ("max", lambda v: v.amax(2)),
    ]:
        found = capture_activations(net if is_traced else Watched(net).eval(), data, layers=[name], norm=norm)
        assert found.norms[name].shape == (5, n_units)
        assert torch.allclose(found.norms[name], reduce(arrange(seen[0])), atol=1e-5)
        assert torch.equal(found.predictions, truth)


@pytest.mark.parametrize("case", ["sound", "volumes"])
def test_convolutions_of_one_and_three_axes_have_default_layers(case, caplog):
    build, x, layer, _, n_units = CASES[case]
    data = TensorDataset(x.repeat(8, *[1] * (x.ndim - 1)), torch.zeros(40).long())
    found = capture_activations(make(build), data)
    assert {name: norms.shape[1] for name, norms in found.norms.items()} == {layer: n_units}
    assert not caplog.text


@pytest.mark.parametrize("is_traced", [True, False])
@pytest.mark.parametrize("has_class_token", [True, False])
def test_a_transformers_blocks_are_captured_by_default(has_class_token, is_traced, caplog):
    x = torch.randn(60, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    net = make(lambda: Transformer(has_class_token))
    with torch.no_grad():
        net.head.weight.mul_(20)
        net.head.bias -= net(x).mean(0)
    net = net if is_traced else Watched(net).eval()
    found = capture_activations(net, TensorDataset(x, torch.zeros(60).long()), norm="mean")
    prefix, suffix = "" if is_traced else "net.", "@class" if has_class_token else ""
    assert found.layers == tuple(f"{prefix}blocks.{i}{suffix}" for i in range(3))
    assert "the model is a transformer" in caplog.text
    assert ("class tokens" in caplog.text) == has_class_token
    program = approximate_model(found, min_leaf=5)
    assert program.layers == (f"{prefix}blocks.2{suffix}",)
    assert evaluate_chains(program, found)[0].fidelity > 0.5
    explanation = explain_image(program, net, open_data(TensorDataset(x, torch.zeros(60).long())), 3)
    assert explanation.model_class == int(found.predictions[3])
    assert explanation.maps is not None


class OwnEncoder(nn.Module):
    """PyTorch's own encoder; its tokens are on the first axis unless `batch_first`."""

    def __init__(self, batch_first, norm_first=False, has_class_token=True, norm=None):
        super().__init__()
        self.patches, self.batch_first, self.has_class_token = (
            nn.Conv2d(3, 8, 4, stride=4),
            batch_first,
            has_class_token,
        )
        layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=batch_first, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2)  # [n, 8, 9]
        if self.batch_first:
            x = self.encoder(x.transpose(1, 2))
            return self.head(x[:, 0] if self.has_class_token else x.mean(1))
        x = self.encoder(x.permute(2, 0, 1))
        return self.head(x[0] if self.has_class_token else x.mean(0))


@pytest.mark.parametrize("has_class_token", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("is_traced", [True, False])
def test_layers_of_torchs_own_encoder_are_blocks(is_traced, batch_first, norm_first, has_class_token, caplog):
    norm = nn.LayerNorm(8) if norm_first else None
    net, x = make(lambda: OwnEncoder(batch_first, norm_first, has_class_token, norm)), draw(5, 3, 12, 12)
    seen = []
    for layer in net.encoder.layers:
        layer.register_forward_hook(lambda module, given, result: seen.append(result))
    with torch.no_grad():
        truth = net(x)
    for layer in net.encoder.layers:
        layer._forward_hooks.clear()
    whole = net if is_traced else Watched(net).eval()
    if not is_traced:
        has_class_token = False  # it is found by the name of a parameter
    found = capture_activations(whole, TensorDataset(x, torch.zeros(5).long()), norm="mean", logits=True)
    prefix, suffix = "" if is_traced else "net.", "@class" if has_class_token else ""
    assert found.layers == tuple(f"{prefix}encoder.layers.{i}{suffix}" for i in range(2))
    assert found.graph.highest == found.layers[-1:]
    assert found.graph.lowest == found.layers[:1]
    assert "the model is a transformer, so the " + ("class tokens" if has_class_token else "results") in caplog.text
    assert torch.allclose(found.logits.float(), truth, atol=1e-2)
    for layer, tokens in zip(found.layers, seen, strict=True):
        tokens = tokens if batch_first else tokens.transpose(0, 1)
        own = tokens[:, 0] if has_class_token else tokens.mean(1)
        assert torch.allclose(found.norms[layer], own, atol=1e-5)


def test_a_first_axis_that_counts_no_images_is_refused():
    net = Watched(make(lambda: OwnEncoder(False, norm=nn.LayerNorm(8)))).eval()
    with pytest.raises(
        ModelError, match=r"'net.encoder.norm' gives \[9, 1, 8\], whose first axis doesn't count images"
    ):
        trace_norms(net, draw(1, 3, 12, 12), ["net.encoder.norm"])


@pytest.mark.parametrize("is_traced", [True, False])
def test_blocks_after_the_last_convolution_are_layers_as_well(is_traced):
    class Hybrid(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
            self.blocks = nn.ModuleList(Block() for _ in range(2))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            x = self.stem(x).flatten(2).transpose(1, 2)
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean(1))

    net, prefix = make(Hybrid), "" if is_traced else "net."
    layers = tuple(prefix + name for name in ("stem.1", "stem.3", "blocks.0", "blocks.1"))
    assert trace_norms(net if is_traced else Watched(net).eval(), draw(1, 3, 12, 12)).layers == layers


@pytest.mark.parametrize("kind", ["convolutions", "linear layers"])
def test_activations_of_channels_last_are_layers(kind, caplog):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 6, 3), nn.Linear(5, 2)
            self.second = nn.Conv2d(6, 5, 3) if kind == "convolutions" else nn.Linear(6, 5)

        def forward(self, x):  # [n, rows, columns, channels] inside
            x = self.stem(x).permute(0, 2, 3, 1)
            if kind == "convolutions":
                x = self.second(x.relu().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            else:
                x = self.second(x)
            return self.head(torch.tanh(x).mean((1, 2)))

    net, x = make(Net), draw(3, 3, 9, 9)
    tracer = trace_norms(net, x[:1], norm="mean")
    assert tracer.layers == (("relu", "tanh") if kind == "convolutions" else ("tanh",))
    assert [values.shape[1] for values in tracer(x)[1].values()] == ([6, 5] if kind == "convolutions" else [5])
    assert ("follow linear layers on maps" in caplog.text) == (kind == "linear layers")
    with torch.no_grad():
        assert torch.allclose(net.head(tracer(x)[1]["tanh"]), net(x), atol=1e-5)


def test_an_axis_that_no_module_tells_is_refused():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 2)

        def forward(self, x):
            x = self.conv(x).relu()
            x = torch.einsum("nchw->nhcw", x) + 0
            return self.head(x.mean((1, 3)))

    x = draw(4, 3, 8, 8)  # 6 rows, 6 columns, 6 units
    assert trace_norms(make(Mixing), x[:1]).layers == ("relu",)
    with pytest.raises(
        ModelError, match=r"layer 'add' gives \[1, 6, 6, 6\], and which axis counts its units isn't known"
    ):
        trace_norms(make(Mixing), x[:1], ["add"])
    with pytest.raises(ModelError, match=r"no convolution .* or name layers with --layers; there are '1'"):
        trace_norms(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval(), x[:1])


def test_swin_and_vit_of_torchvision():
    swin = torchvision.models.SwinTransformer([4, 4], 12, [1, 2], [2, 2], [2, 2], num_classes=3).eval()
    assert trace_norms(swin, torch.rand(1, 3, 32, 32)).layers == ("features.1.0", "features.3.0", "features.3.1")
    tracer = trace_norms(swin, torch.rand(1, 3, 32, 32), ["features.3.1", "features.1.0.mlp.1"])
    assert [norms.shape[1] for norms in tracer(torch.rand(2, 3, 32, 32))[1].values()] == [48, 24]
    vit = torchvision.models.VisionTransformer(16, 8, 2, 2, 12, 24, num_classes=3).eval()
    blocks = tuple(f"encoder.layers.encoder_layer_{i}@class" for i in range(2))
    assert trace_norms(vit, torch.rand(1, 3, 16, 16)).layers == blocks


def unit_shapes():
    sizes = st.integers(1, 4)
    return st.lists(sizes, min_size=2, max_size=4).flatmap(
        lambda shape: st.tuples(st.just((2, *shape)), st.integers(1, len(shape)))
    )


@try_examples(40)
@given(unit_shapes(), st.data())
def test_the_axis_follows_moves_and_regroupings(start, data):
    """Units are marked by their values; where an axis is told, each of its places holds one mark."""
    shape, axis = start
    marks = torch.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    values = marks.expand(shape).float().contiguous()
    for _ in range(3):
        kind = data.draw(st.sampled_from(["permute", "flatten", "unsqueeze", "transpose", "mean", "view"]))
        order = data.draw(st.permutations(range(1, values.ndim)))
        place = data.draw(st.integers(1, values.ndim - 1))
        operations = {
            "permute": lambda x, order=order: x.permute(0, *order),
            "flatten": lambda x, place=place: x.flatten(place),
            "unsqueeze": lambda x, place=place: x.unsqueeze(place),
            "transpose": lambda x, place=place: x.transpose(1, place),
            "mean": lambda x, place=place: x.mean(place),
            "view": lambda x: x.reshape(len(x), -1),
        }
        if kind == "mean" and (place == axis or values.ndim < 3):
            continue
        before = Shaped(tuple(values.shape), axis)
        values = operations[kind](values)
        found = find_unit_axis(kind, None, values.shape, [before], (), operations[kind])
        if found is None or found == 0:
            return
        axis = found
        assert values.shape[axis] == shape[start[1]]
        per_unit = values.movedim(axis, 0).flatten(1)
        assert torch.equal(per_unit.amin(1), per_unit.amax(1))
        assert torch.equal(per_unit[:, 0], torch.arange(len(per_unit)).float())


def test_arranged_units_keep_every_value():
    for shape, view in [
        ((2, 3, 4, 5), UnitView(3)),
        ((2, 3, 7), UnitView(1)),
        ((2, 9, 3), UnitView(2)),
        ((2, 5), UnitView(1)),
    ]:
        values = torch.randn(shape)
        maps = arrange_units(values, view)
        assert maps.ndim == 4
        assert torch.equal(maps.flatten(2), values.movedim(view.axis, 1).reshape(*maps.shape[:2], -1))
    assert arrange_units(torch.randn(2, 9, 3), UnitView(2)).shape == (2, 3, 3, 3)
    assert arrange_units(torch.randn(2, 3, 2, 5, 4), UnitView(1)).shape == (2, 3, 10, 4)


GATES = {
    "swish": (lambda x: x * torch.sigmoid(x), F.silu),
    "swish, in place": (lambda x: x.mul_(x.sigmoid()), F.silu),
    "sigmoid first": (lambda x: torch.sigmoid(x) * x, F.silu),
    "scaled sigmoid": (lambda x: x * torch.sigmoid(1.5 * x), lambda x: x * (1.5 * x).sigmoid()),
    "mish": (lambda x: x * torch.tanh(F.softplus(x)), F.mish),
    "hard swish": (lambda x: x * (F.relu6(x + 3) / 6), F.hardswish),
    "gelu": (lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), F.gelu),
    "gelu by tanh": (
        lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
}


class Gate(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_written_out_is_one_activation(gate):
    function, same = GATES[gate]
    net = make(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            Gate(function),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
    )
    x = draw(6, 3, 8, 8)
    tracer = trace_norms(net, x[:1])
    assert tracer.layers == ("2",)
    assert torch.allclose(tracer(x)[1]["2"], same(net[:2](x)).abs().mean((2, 3)), atol=1e-5)


def test_products_that_are_no_gates_stay_what_they_were():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            y = torch.sigmoid(self.a(x)) * self.b(x)  # of two tensors
            z = F.relu(self.a(x))
            z = z * self.fc(F.adaptive_avg_pool2d(z, 1)).sigmoid()  # squeeze and excitation
            return self.head((y * y + z).mean((2, 3)))  # a square is no gate

    assert trace_norms(make(Net), draw(2, 3, 8, 8)[:1]).layers == ("sigmoid", "relu", "add")


class Branches(nn.Module):
    def __init__(self, join, n_head):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh())
        self.left = nn.Sequential(nn.Conv2d(6, 5, 3), nn.Tanh())
        self.right = nn.Sequential(nn.Conv2d(6, 5, 1), nn.Tanh(), nn.Conv2d(5, 5, 3), nn.Tanh())
        self.join, self.head = join, nn.Linear(n_head, 3)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.join(self.left(x), self.right(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("join", "n_units", "last"),
    [
        (lambda a, b: torch.cat([a, b], 1), 10, "cat"),
        (lambda a, b: a + b, 5, "add"),
        (lambda a, b: F.max_pool2d(torch.cat([a, b], 1), 2), 10, "cat"),
        (lambda a, b: a, 5, "left.1"),
    ],
)
def test_the_last_layer_is_what_the_head_reads(join, n_units, last):
    x = draw(6, 3, 10, 10)
    net = make(lambda: Branches(join, n_units))
    tracer = trace_norms(net, x[:1])
    assert tracer.layers[-1] == last
    assert {"stem.1", "left.1"} <= set(tracer.layers)
    assert ("right.3" in tracer.layers) == (last != "left.1")  # what the head doesn't read is no default
    with torch.no_grad():
        stem = net.stem(x)
        left, right = net.left(stem), net.right(stem)
    expected = {"cat": torch.cat([left, right], 1), "add": left + right, "left.1": left}[last]
    assert torch.allclose(tracer(x)[1][last], expected.abs().mean((2, 3)), atol=1e-6)


def test_a_residual_stream_ends_in_its_last_sum():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)
            self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = self.stem(x)
            for conv in self.convs:
                x = x + conv(x).relu()
            return self.head(x.mean((2, 3)))

    assert trace_norms(make(Net), draw(1, 3, 8, 8)).layers == ("relu", "relu_1", "relu_2", "add_2")


def test_layers_of_another_output_are_no_defaults():
    class Net(Branches):
        def forward(self, x):
            x = self.stem(x)
            return {"logits": self.head(self.left(x).mean((2, 3))), "aux": self.right(x)}

    net = make(lambda: Net(None, 5))
    assert trace_norms(net, draw(1, 3, 10, 10)).layers == ("stem.1", "left.1")
    assert trace_norms(net, draw(1, 3, 10, 10), ["right.3"]).layers == ("right.3",)


def test_an_activation_in_place_counts_though_nobody_reads_its_result():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 2)

        def forward(self, x):
            x = self.conv(x)
            self.act(x)
            return self.head(x.mean((2, 3)))

    assert trace_norms(make(Net), draw(1, 3, 8, 8)).layers == ("act",)


def test_sixteen_layers_are_captured_unless_more_are_asked_for(caplog):
    parts = [part for _ in range(20) for part in (nn.Conv2d(3, 3, 1), nn.ReLU())]
    net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    x = draw(1, 3, 6, 6)
    assert trace_norms(net, x).layers == tuple(str(2 * i + 1) for i in range(4, 20))
    assert "the model has 20 layers, of which the last 16 are captured; --layers all captures all" in caplog.text
    assert len(trace_norms(net, x, ["all"]).layers) == 20
    assert trace_norms(net, x, ["3", "1?"]).layers == ("3", "11", "13", "15", "17", "19")


def test_the_pass_stops_after_the_last_layer_that_is_read():
    ran = []
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
    ).eval()
    net[2].register_forward_hook(lambda m, i, y: ran.append(1))
    x = draw(1, 3, 8, 8)
    tracer = trace_layers(net, x, ["1"], lambda maps, _: maps.mean((2, 3)), lambda *_: "", with_head=False)
    ran.clear()
    tracer(x)
    assert not ran


def test_what_runs_after_the_logits_is_left_out():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
            self.head, self.decoder = nn.Linear(4, 2), nn.ConvTranspose2d(4, 3, 3)

        def forward(self, x):
            maps = self.body(x)
            return {"logits": self.head(maps.mean((2, 3))), "again": self.decoder(maps)}

    net, x, ran = make(Net), draw(3, 3, 8, 8), []
    net.decoder.register_forward_hook(lambda m, i, y: ran.append(1))
    tracer = trace_norms(net, x[:1])
    ran.clear()
    logits, norms = tracer(x)
    assert not ran
    assert torch.equal(logits, net.head(net.body(x).mean((2, 3))))
    assert list(norms) == ["body.1"]


def test_a_block_may_give_its_sum_in_another_shape():
    class Regrouping(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.mlp = nn.LayerNorm(6), nn.Linear(6, 6)

        def forward(self, x):  # [n, rows, columns, units]
            y = x.reshape(x.shape[0], -1, 6)
            return (y + self.mlp(self.norm(y))).reshape(x.shape)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.block, self.head = nn.Conv2d(3, 6, 2, stride=2), Regrouping(), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.block(self.patch(x).permute(0, 2, 3, 1)).mean((1, 2)))

    assert trace_norms(make(Net), draw(1, 3, 8, 8)).layers == ("block",)
