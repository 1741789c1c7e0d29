"""Which layers are found, what they are called, and the norms of their maps."""

import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models as torchvision_models
from torchvision.ops import FrozenBatchNorm2d

from eric_fast.capture import layers, norms, reduce_norm, trace_norms
from eric_fast.errors import ModelError, SettingError
from eric_fast.kernels.reference.pack_maps import reduce_maps


def build(name):
    settings = {"init_weights": False} if name == "googlenet" else {}
    return torchvision_models.get_model(name, weights=None, **settings).eval()


class Net(nn.Module):
    """Activations of every kind, with the layers that should be found in `EXPECTED`."""

    EXPECTED = ("relu", "block.act", "block.act_1", "relu_1", "hardswish", "sigmoid", "gelu", "act_7", "late")

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout()
        self.block = Block()
        self.other = nn.Conv2d(8, 8, 3, padding=1)
        self.act_7 = nn.SiLU(inplace=True)
        self.late = nn.PReLU(16)
        self.gate = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x, scale=1.0, verbose=False):
        if verbose:
            print("a flag that the tracer must not be asked about")
        x = F.relu(self.drop(self.norm(self.stem(x))))
        x = self.block(x)
        y = torch.relu(F.max_pool2d(self.other(x), 2))
        y = F.hardswish(self.other(y))
        z = self.other(y).sigmoid()
        z = F.gelu(self.other(z))
        w = self.act_7(self.other(z))
        w += 1  # in place, after the activation
        w = self.late(torch.cat([self.other(w), y], 1))
        g = torch.relu(self.gate(F.adaptive_avg_pool2d(w, 1)))  # 1x1: no layer
        w = F.relu(w)  # of an activation: no layer
        return {"logits": (self.head((w * g).mean((2, 3))) * scale,), "maps": w}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.act(self.conv1(x))
        y = self.conv2(y)
        y += x
        return self.act(y)


class Untraceable(nn.Module):
    def __init__(self, act=nn.ReLU):
        super().__init__()
        self.early = nn.ReLU()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = act()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.early(x)
        for _ in range(2 if x.sum() > -1 else 3):
            x = self.act(self.conv(x[:, :3]))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def images():
    return torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(3)) - 0.3


def make(cls, *args):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return cls(*args).eval()


@pytest.mark.parametrize(
    ("name", "n_layers", "some"),
    [
        pytest.param("vgg16", 13, ["features.1", "features.29"], marks=pytest.mark.slow),
        ("resnet18", 17, ["relu", "layer1.0.relu", "layer1.0.relu_1", "layer4.1.relu_1"]),
        ("mobilenet_v3_small", 23, ["features.0.2", "features.4.block.1.2", "features.12.2"]),
        pytest.param(
            "googlenet",
            58,
            ["conv1.relu", "inception3a.branch1.relu", "inception5b.branch4.1.relu", "inception5b"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "densenet121",
            117,
            ["features.relu0", "features.denseblock1.denselayer2.relu1", "relu"],
            marks=pytest.mark.slow,
        ),
        ("squeezenet1_0", 26, ["features.3.expand1x1_activation", "classifier.2"]),
        pytest.param("efficientnet_b0", 33, ["features.8.2"], marks=pytest.mark.slow),
    ],
)
def test_torchvision_models(name, n_layers, some):
    tracer = trace_norms(build(name), torch.rand(1, 3, 64, 64), ["all"], "l1")
    assert tracer.is_traced
    assert len(tracer.layers) == n_layers
    assert set(some) <= set(tracer.layers)
    # squeeze-excitation works on 1x1 maps
    assert not [layer for layer in tracer.layers if ".fc" in layer or "scale" in layer]


def test_network_without_activations_on_maps_gives_its_blocks(caplog):
    net = build("convnext_tiny")
    layers_of_all = trace_norms(net, torch.rand(1, 3, 64, 64), ["all"], "l1").layers
    assert layers_of_all[0] == "features.1.0"
    assert len(layers_of_all) == 18
    tracer = trace_norms(net, torch.rand(1, 3, 64, 64))
    assert tracer.layers == layers_of_all[-16:]
    assert (tracer.layers[-1], tracer.edges) == ("features.7.2", ())
    assert "so the results of blocks are captured" in caplog.text
    assert "the model has 18 layers, of which the last 16 are captured; --layers all captures all" in caplog.text


def test_network_without_activations_or_sums_gives_its_convolutions(caplog):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    assert trace_norms(net.eval(), torch.rand(1, 3, 8, 8)).layers == ("0", "1")
    assert "so the convolutions are captured" in caplog.text


class AttendingNetwork(nn.Module):
    """A convolution with its activation, then attention whose tokens become maps again: the head reads these."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
        self.block = self.Block()
        self.head = nn.Linear(8, 2)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.mix = nn.LayerNorm(8), nn.Linear(8, 8)

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            tokens = maps.permute(0, 2, 3, 1)
            return (tokens + self.mix(self.norm(tokens))).permute(0, 3, 1, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.stem(images)).mean((2, 3)))


def test_blocks_that_follow_the_last_convolution_are_the_last_layer():
    tracer = trace_norms(AttendingNetwork().eval(), torch.rand(2, 3, 9, 9))
    assert tracer.layers == ("stem.1", "block")
    assert {layer: tuple(norms.shape) for layer, norms in tracer(torch.rand(2, 3, 9, 9))[1].items()} == {
        "stem.1": (2, 8),
        "block": (2, 8),
    }


def test_a_block_whose_class_token_the_head_reads_gives_this_token():
    class Hybrid(AttendingNetwork):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.block(self.stem(images))[:, 0])

    class Block(AttendingNetwork.Block):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            tokens = maps.flatten(2).permute(0, 2, 1)
            return tokens + self.mix(self.norm(tokens))

    net = Hybrid()
    net.block = Block()
    assert trace_norms(net.eval(), torch.rand(2, 3, 9, 9)).layers == ("stem.1", "block@class")


def test_functional_repeated_and_in_place_activations(images):
    net = make(Net)
    tracer = trace_norms(net, images[:1], None, "l1")
    assert tracer.is_traced
    assert tracer.layers == Net.EXPECTED
    logits, norms = tracer(images)
    assert torch.equal(logits, net(images)["logits"][0])
    assert [n.shape for n in norms.values()] == [(4, 8)] * 8 + [(4, 16)]
    # An independent computation, by hand.
    x = F.relu(net.norm(net.stem(images)))
    assert torch.allclose(norms["relu"], x.abs().sum((2, 3)) / 144, atol=1e-6)
    b1 = F.relu(net.block.conv1(x))
    assert torch.allclose(norms["block.act"], b1.mean((2, 3)), atol=1e-6)
    b2 = F.relu(net.block.conv2(b1) + x)
    assert torch.allclose(norms["block.act_1"], b2.mean((2, 3)), atol=1e-6)
    y = F.hardswish(net.other(torch.relu(F.max_pool2d(net.other(b2), 2))))
    assert torch.allclose(norms["hardswish"], y.abs().mean((2, 3)), atol=1e-6)
    w = F.silu(net.other(F.gelu(net.other(torch.sigmoid(net.other(y))))))
    assert torch.allclose(norms["act_7"], w.abs().mean((2, 3)), atol=1e-6)  # before `w += 1`


def test_norms_agree_with_hooks_on_a_real_network():
    net = build("resnet18")
    images = torch.rand(2, 3, 64, 64)
    tracer = trace_norms(net, images[:1], ["layer1.0.relu", "layer3.0.conv2"], "l2")
    expected = {}
    handle = net.layer3[0].conv2.register_forward_hook(lambda m, i, o: expected.update(maps=o))
    with torch.inference_mode():
        net(images)
        handle.remove()
        _, norms = tracer(images)
    assert torch.allclose(norms["layer3.0.conv2"], expected["maps"].square().mean((2, 3)).sqrt(), rtol=1e-5)


def test_modules_whose_names_end_in_a_number_keep_them(images):
    class Numbered(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_1, self.conv_2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
            self.relu_1, self.relu_2 = nn.ReLU(), nn.ReLU()
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = self.relu_2(self.conv_1(x))
            x = self.relu_1(self.conv_2(x))
            x = F.relu(self.conv_2(x))
            x = F.relu(self.conv_2(x))
            return self.head(x.mean((2, 3)))

    assert trace_norms(make(Numbered), images[:1], None, "l1").layers == ("relu_2", "relu_1", "relu", "relu_3")
    with pytest.raises(ModelError, match="conv_1"):
        trace_norms(make(Numbered), images[:1], ["conv_3"], "l1")


def test_asking_for_layers(images):
    net = make(Net)
    asked = ["late", "block.*", "other_1", "relu", "late"]
    assert trace_norms(net, images[:1], asked, "l1").layers == ("relu", "block.act", "block.act_1", "other_1", "late")
    for name, parts in {
        "block.acts": ["layer 'block.acts' is not a layer of the model", "'block.act'"],
        "features.*": ["'features.*' matches no layer of the model", "'relu'"],
        "heads": ["'heads' is not a layer"],
    }.items():
        with pytest.raises(ModelError) as error:
            trace_norms(net, images[:1], [name], "l1")
        assert all(part in str(error.value) for part in parts)
        assert "--layers" not in str(error.value)  # evaluate asks for layers that the user never named
    with pytest.raises(ModelError, match="--layers is empty"):
        trace_norms(net, images[:1], [], "l1")
    assert trace_norms(net, images[:1], ["all"]).layers == Net.EXPECTED
    assert trace_norms(net, images[:1], ["other_1", "all"]).layers == (*Net.EXPECTED[:4], "other_1", *Net.EXPECTED[4:])
    net = nn.Sequential()
    for name, part in [("conv", nn.Conv2d(3, 4, 3)), ("act", nn.ReLU()), ("all", nn.Identity()), ("end", nn.Flatten())]:
        net.add_module(name, part)
    assert trace_norms(net.eval(), images[:1], ["all"]).layers == ("all",)


def test_untraceable_network_is_hooked(images, caplog):
    net = make(Untraceable)
    tracer = trace_norms(net, images[:1], None, "max")
    assert not tracer.is_traced
    assert "can't be traced (TraceError" in caplog.text
    assert "\n" not in caplog.records[0].getMessage()
    assert tracer.layers == ("act", "act_1")
    logits, norms = tracer(images)
    first = F.relu(net.conv(F.relu(images)))
    assert torch.allclose(norms["act"], first.amax((2, 3)))
    assert torch.allclose(norms["act_1"], F.relu(net.conv(first[:, :3])).amax((2, 3)))
    assert torch.equal(logits, net(images))
    assert trace_norms(net, images[:1], ["conv_1"], "max").layers == ("conv_1",)
    assert not any(part._forward_hooks for part in net.modules())


def test_hooks_go_when_the_network_fails(images):
    net = make(Untraceable)
    tracer = trace_norms(net, images[:1], None, "l1")
    with pytest.raises(RuntimeError):
        tracer(images[:, :1, :, :].expand(-1, 2, -1, -1))
    assert not any(part._forward_hooks for part in net.modules())


def test_untraceable_network_without_activations_gives_its_convolutions(images, caplog):
    tracer = trace_norms(make(Untraceable, nn.Identity), images[:1], None, "l1")
    assert tracer.layers == ("conv", "conv_1")
    assert "so the convolutions are captured" in caplog.text


def test_a_trace_that_answers_otherwise_is_not_used(images, caplog):
    class Branching(Untraceable):
        def forward(self, x):
            x = self.act(self.conv(x))
            if isinstance(x, torch.Tensor):  # false while tracing
                x = x * 2
            return self.head(x.mean((2, 3)))

    tracer = trace_norms(make(Branching), images[:1], None, "l1")
    assert not tracer.is_traced
    assert "gives other results than the model" in caplog.text


def test_tracing_leaves_the_module_as_it_was(images):
    net = make(Net)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    text = str(net)
    tracer = trace_norms(net, images[:1], None, "l1")
    tracer(images)
    assert str(net) == text
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    assert {id(p) for p in tracer.parameters()} == {id(p) for p in net.parameters()}


def test_maps_are_freed_while_the_network_runs(images):
    alive, most = set(), 0

    class Counting(nn.Module):
        def forward(self, x):
            nonlocal most
            token = object()
            alive.add(token)
            x = x.clone()
            import weakref

            weakref.finalize(x, alive.discard, token)
            most = max(most, len(alive))
            return x

    Counting.__module__ = "torch.nn.counting"  # a leaf for the tracer
    parts = [part for _ in range(6) for part in (nn.Conv2d(3, 3, 1), nn.ReLU(), Counting())]
    net = nn.Sequential(*parts, nn.Flatten(), nn.Linear(3 * 144, 2)).eval()
    with torch.inference_mode():
        tracer = trace_norms(net, images[:1], [str(i) for i in range(2, 18, 3)], "l1")
        alive.clear()
        most = 0
        _, norms = tracer(images)
    assert len(norms) == 6
    assert most <= 2


@pytest.mark.parametrize(
    ("net", "part"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(432, 2)), "no convolution"),
        (nn.Conv2d(3, 4, 3), "logits"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), "fails on an image of shape [3, 12, 12]"),
        (nn.Sequential(nn.Conv2d(3, 4, 12), nn.ReLU(), nn.Flatten()), "no convolution with a map larger"),
    ],
)
def test_unusable_networks(net, part, images):
    with pytest.raises(ModelError) as error:
        trace_norms(net.eval(), images[:1], None, "l1")
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_training_mode_and_unknown_norm_are_refused(images):
    with pytest.raises(ModelError, match="eval"):
        trace_norms(make(Net).train(), images[:1], None, "l1")
    with pytest.raises(SettingError, match="'l1'"):
        trace_norms(make(Net), images[:1], None, "l11")
    with pytest.raises(SettingError, match="l3"):
        reduce_norm(images, "l3")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", ["l1", "l2", "max", "mean"])
def test_norms_are_those_of_the_definition(norm, dtype):
    maps = (torch.randn(3, 5, 7, 9, generator=torch.Generator().manual_seed(0)) * 100).to(dtype)
    x = maps.double().flatten(2)
    expected = {"l1": x.abs().mean(2), "l2": x.square().mean(2).sqrt(), "max": x.max(2).values, "mean": x.mean(2)}[norm]
    found = reduce_norm(maps, norm)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert reduce_norm(maps[:0], norm).shape == (0, 5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm", ["l1", "l2", "max", "mean"])
@pytest.mark.parametrize("part_bytes", [1, 3 * 4 * 16 * 64 * 65, 2**30])
def test_maps_are_reduced_in_parts(part_bytes, norm, memory_format, monkeypatch):
    maps = torch.randn(16, 16, 64, 65, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=memory_format
    )
    monkeypatch.setattr(norms, "PART_BYTES", part_bytes)
    assert torch.allclose(reduce_norm(maps, norm), reduce_maps(maps, norm), rtol=1e-5, atol=1e-5)
    assert reduce_norm(maps[:0], norm).shape == (0, 16)
    assert reduce_norm(maps.clone().requires_grad_(), norm).requires_grad


class SunkenReLU(nn.ReLU):
    """By its name and base an activation that is never negative."""

    def forward(self, x):
        return super().forward(x) - 1


class Activations(nn.Module):
    """Each after a convolution of its own; `pass_by` keeps torch.fx out."""

    def __init__(self, pass_by=False):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 4, 3) for _ in range(6))
        self.plain, self.sunken, self.leaky = nn.ReLU(inplace=True), SunkenReLU(), nn.LeakyReLU(0.5)
        self.hooked = nn.ReLU()
        self.hooked.register_forward_hook(lambda module, inputs, result: result - 1)
        self.pass_by = pass_by

    def forward(self, x):
        if self.pass_by and float(x.sum()) == 0.125:
            return None
        a, b, c, d, e, f = (conv(x) for conv in self.convs)
        maps = self.plain(a), self.sunken(b), self.leaky(c), self.hooked(d)
        return sum(m.mean((2, 3)) for m in (*maps, F.relu(e), f.relu()))


@pytest.mark.parametrize("pass_by", [False, True])
def test_the_l1_norm_of_what_is_never_negative_is_its_mean(pass_by, images, monkeypatch):
    torch.manual_seed(0)
    network = make(Activations, pass_by)
    used = []
    original = reduce_norm
    monkeypatch.setattr(layers, "reduce_norm", lambda maps, norm: used.append(norm) or original(maps, norm))
    tracer = trace_norms(network, images, None, "l1")
    assert tracer.is_traced != pass_by
    found = tracer(images)[1]
    a, b, c, d, e, f = (conv(images) for conv in network.convs)
    expected = [("mean", a.relu()), ("l1", b.relu() - 1), ("l1", F.leaky_relu(c, 0.5)), ("l1", d.relu() - 1)]
    if not pass_by:  # the tracer sees into the class of its own, and functions and methods, too
        expected[1] = ("mean", b.relu())
        expected += [("mean", e.relu()), ("mean", f.relu())]
    assert used == [name for name, _ in expected]
    for norms_of_layer, (_, maps) in zip(found.values(), expected, strict=True):
        assert torch.allclose(norms_of_layer, maps.abs().mean((2, 3)), rtol=1e-5, atol=1e-6)


def test_half_precision_sums_do_not_overflow():
    maps = torch.full((1, 1, 100, 100), 60000.0, dtype=torch.float16)
    for norm in ("l1", "l2", "max", "mean"):
        assert reduce_norm(maps, norm).item() == pytest.approx(60000, rel=1e-3)


def test_no_warning_for_a_plain_network(images, caplog):
    with caplog.at_level(logging.DEBUG, "eric_fast"):
        trace_norms(make(Net), images[:1], None, "l1")
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch 2.11's own, in compile
def test_wrapped_networks_are_unwrapped(images):
    net = make(Net)
    assert trace_norms(torch.compile(net), images[:1]).layers == Net.EXPECTED
    assert trace_norms(nn.DataParallel(net), images[:1]).layers == Net.EXPECTED


def test_a_written_out_batch_norm_is_passed(images):
    parts = [nn.Conv2d(3, 4, 3), FrozenBatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    assert trace_norms(nn.Sequential(*parts).eval(), images[:1]).layers == ("2",)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: ("name", x.long()),
        lambda x: b"name",
        lambda x: None,
        lambda x: (),
    ],
)
def test_an_output_without_logits_is_refused(wrap, images):
    class Wrapped(Untraceable):
        def forward(self, x):
            return wrap(super().forward(x))

    with pytest.raises(ModelError, match=r"must be \(or hold\) logits \[1, n_classes\], not ") as error:
        trace_norms(make(Wrapped), images[:1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("is_traced", [True, False])
def test_a_tracer_stays_in_evaluation_mode(is_traced, images):
    parts = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*parts).eval() if is_traced else make(Untraceable, lambda: nn.BatchNorm2d(4))
    tracer = trace_norms(net, images[:1])
    assert tracer.is_traced == is_traced
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for module in (tracer, nn.Sequential(tracer)):
        assert module.train() is module
        assert not any(part.training for part in tracer.modules())
        module(images)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_norms_can_be_trained_through(images):
    logits, norms = trace_norms(make(Net), images[:1])(images)
    (logits.sum() + norms["relu"].sum()).backward()
