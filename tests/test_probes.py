"""Probes: modules on a layer's result, as layers; and axes of units that a user names."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from eric_fast.capture import capture_activations, open_data, wrap_model
from eric_fast.capture.probes import ProbedNetwork, parse_unit_axes
from eric_fast.errors import ModelError, SettingError
from eric_fast.explain import explain_image
from eric_fast.runs import approximate_model, evaluate_program
from tests.test_units import Block, Watched


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.blocks = nn.Conv2d(3, 8, 4, 4), nn.Sequential(Block(), Block())
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1) * 30)


class Sparse(nn.Module):
    """The encoder of a sparse autoencoder, which keeps the largest latents."""

    def __init__(self, is_plain=True):
        super().__init__()
        self.encode, self.is_plain = nn.Linear(8, 20), is_plain

    def forward(self, x):
        latents = self.encode(x).relu()
        if not self.is_plain and latents.max() < 0:  # torch.fx can't follow it
            return latents * 0
        return latents


def make(build):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return build().eval()


NET, ENCODER = make(Tokens), make(Sparse)
IMAGES = torch.randn(60, 3, 12, 12, generator=torch.Generator().manual_seed(7))
DATA = TensorDataset(IMAGES, torch.zeros(60, dtype=torch.int64))


def find_latents(encoder=ENCODER):
    """By a hook by hand: latents of the second block, over all tokens."""
    kept = []
    with NET.blocks[1].register_forward_hook(lambda module, inputs, result: kept.append(encoder(result))):
        NET(IMAGES)
    return kept[0].detach()


@pytest.mark.parametrize("is_traced", [True, False])
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_probe_is_a_layer(is_traced, is_plain):
    encoder = make(lambda: Sparse(is_plain))
    net, layer = (NET, "blocks.1") if is_traced else (Watched(NET).eval(), "net.blocks.1")
    axes = None if is_plain or not is_traced else {"sae": -1}
    found = capture_activations(net, DATA, layers=[layer], probes={"sae": encoder}, unit_axes=axes, norm="mean")
    assert list(found.norms) == [layer, "sae"]
    assert torch.allclose(found.norms["sae"], find_latents(encoder).mean(1), atol=1e-5)
    assert torch.equal(found.predictions, NET(IMAGES).argmax(1))
    alone = capture_activations(net, DATA, probes={"sae": (layer, encoder)}, unit_axes=axes, norm="mean")
    assert list(alone.norms) == ["sae"]
    assert torch.equal(alone.norms["sae"], found.norms["sae"])
    first = capture_activations(
        wrap_model(net, probes={"sae": (layer, encoder)}, unit_axes=axes), DATA, layers=["sae@class"], norm="mean"
    )
    assert torch.allclose(first.norms["sae@class"], find_latents(encoder)[:, 0], atol=1e-5)


def test_programs_over_latents_run_on_images():
    model = wrap_model(NET, probes={"sae": ("blocks.1", ENCODER)})
    found = capture_activations(model, DATA)
    program = approximate_model(found, min_leaf=5)
    assert evaluate_program(program, found).fidelity > 0.6
    explained = explain_image(program, model, open_data(DATA), 3)
    assert explained.model_class == int(found.predictions[3])
    assert explained.maps is None or set(explained.maps.kernels) <= {"sae"}


def test_probes_and_named_axes_are_a_part_of_the_fingerprint():
    plain, other = wrap_model(NET), make(lambda: nn.Linear(8, 20))
    models = [
        wrap_model(NET, probes={"sae": ("blocks.1", ENCODER)}),
        wrap_model(NET, probes={"sae": ("blocks.1", other)}),
    ]
    models += [wrap_model(NET, probes={"sae": ("blocks.0", ENCODER)}), wrap_model(NET, unit_axes={"blocks.0": 1})]
    assert len({model.fingerprint for model in (plain, *models)}) == 5
    assert isinstance(models[0].module, ProbedNetwork)
    assert models[0].name == plain.name == "Tokens"
    assert wrap_model(NET).fingerprint == plain.fingerprint


@pytest.mark.parametrize("is_traced", [True, False])
def test_a_named_axis_is_taken(is_traced):
    net, layer = (NET, "blocks.1") if is_traced else (Watched(NET).eval(), "net.blocks.1")
    units = capture_activations(net, DATA, layers=[layer], norm="mean").norms[layer]
    tokens = capture_activations(net, DATA, layers=[layer], norm="mean", unit_axes={layer: 1}).norms[layer]
    assert (units.shape, tokens.shape) == ((60, 8), (60, 9))
    with pytest.raises(ModelError, match=r"axis 0 of a result \[1, 9, 8\] can't count its units; give one from 1 to 2"):
        capture_activations(net, DATA, unit_axes={layer: 0})
    with pytest.raises(ModelError, match="the model has no layer 'block.1'; did you mean"):
        capture_activations(net, DATA, unit_axes={"block.1": 1})


@pytest.mark.parametrize("is_traced", [True, False])
def test_what_is_no_probe_is_refused(is_traced):
    net = NET if is_traced else Watched(NET).eval()
    with pytest.raises(SettingError, match="probe 'sae' needs the name of the layer that it runs on"):
        capture_activations(net, DATA, probes={"sae": ENCODER})
    with pytest.raises(ModelError, match="probe 'sae': the model has no layer 'blocks.7'"):
        capture_activations(net, DATA, probes={"sae": ("blocks.7", ENCODER)})
    with pytest.raises(ModelError, match="probe 'sae' must be a torch.nn.Module, not builtin_function"):
        capture_activations(net, DATA, probes={"sae": ("head", torch.relu)})
    with pytest.raises(SettingError, match="--unit-axis 'blocks' is not LAYER=AXIS"):
        parse_unit_axes(["blocks"])
    assert parse_unit_axes(["a=b=-1", "c=2"]) == {"a=b": -1, "c": 2}
