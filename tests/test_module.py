from collections import OrderedDict
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from eric_fast.capture import capture_activations, open_data, reduce_norm, wrap_model
from eric_fast.demo.digits_cnn import CLASSES, build, transform
from eric_fast.errors import CaptureError, EricError, ModelError
from eric_fast.extract import TreeOptions
from eric_fast.module import RuleModule
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import NORMS, InputAtom, Quantiser
from eric_fast.runs import approximate_model, predict_activations
from tests.make_programs import count_inputs
from tests.make_rules import make_shared_program

ATOMS = Quantiser(tuple(InputAtom("f", k, ">", 0.5) for k in range(3)))


@pytest.fixture(scope="module")
def extracted():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build()
    data = open_data("digits/test")
    activations = capture_activations(wrap_model(network, transform(), CLASSES, "digits"), data)
    images = torch.stack([transform()(data.load_image(i)) for i in range(64)])
    layers, options = ["conv3.2", "conv4.2"], TreeOptions(min_leaf=5)
    program = approximate_model(activations, layers=layers, threshold="mean", target="label", options=options)
    return network, activations, images, program


@pytest.mark.parametrize("start", ["conv3.2", "conv4.2"])
def test_images_norms_and_bits_give_what_the_pipeline_gives(extracted, start):
    network, activations, images, program = extracted
    expected = predict_activations(program, activations, start=start).classes[:64]
    outputs = RuleModule(program, network, start=start)(images)
    assert outputs.shape == (64, 10)
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs.sum(dim=1), torch.ones(64))
    assert torch.equal(outputs.argmax(dim=1), expected)
    head = RuleModule(program, start=start)
    norms = activations.norms[start][:64]
    assert torch.equal(head(norms), outputs)
    constants = torch.tensor([atom.constant for atom in program.quantiser.atoms_of_layer(start)])
    assert torch.equal(head(norms > constants), outputs)


def test_feature_maps_are_reduced_with_the_programs_norm(extracted):
    *_, program = extracted
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(50, 64, 3, 3, generator=generator) * torch.rand(50, 64, 1, 1, generator=generator)
    outputs = {}
    for norm in NORMS:
        head = RuleModule(replace(program, quantiser=Quantiser(program.atoms, norm)))
        outputs[norm] = head(maps)
        assert torch.equal(outputs[norm], head(reduce_norm(maps, norm)))
    assert not torch.equal(outputs["max"], outputs["l1"])


def test_a_backbone_is_reduced_with_the_programs_norm(extracted):
    network, _, images, program = extracted
    other = replace(program, quantiser=Quantiser(program.atoms, "max"), fingerprint="")
    assert not torch.equal(RuleModule(other, network)(images), RuleModule(program, network)(images))


def test_a_backbone_may_lack_its_head_and_what_follows_the_start_layer_does_not_run(extracted, caplog):
    network, _, images, program = extracted
    before = RuleModule(program, network)(images)
    assert not caplog.records
    whole, ran = deepcopy(network), []
    for name in ("conv3", "conv4"):
        whole.get_submodule(name)[0].register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    module = RuleModule(program, whole, start="conv3.2")
    module(images)  # the first call traces, and runs everything
    ran.clear()
    module(images)
    assert ran == ["conv3"]
    headless = nn.Sequential(OrderedDict(list(network.named_children())[:-1])).eval()
    assert torch.equal(RuleModule(program, headless)(images), before)
    assert "not the model of the program, or only a part of it" in caplog.text


def test_training_mode_changes_neither_answers_nor_the_backbone(extracted):
    network, _, images, program = extracted
    network = deepcopy(network)
    module = nn.Sequential(RuleModule(program, network))
    before = module(images)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    module.train()
    assert torch.equal(module(images), before)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    network.train()
    with pytest.raises(ModelError, match="training mode"):
        module(images)


def test_training_mode_of_a_part_is_noticed_on_every_call(extracted):
    network, _, images, program = extracted
    network = deepcopy(network)
    module = RuleModule(program, network)
    module(images)
    network.conv1[1].train()
    with pytest.raises(ModelError, match="training mode"):
        module(images)


def test_an_exchanged_part_of_the_backbone_is_used(extracted):
    network, _, images, program = extracted
    network = deepcopy(network)
    module = RuleModule(program, network)
    module(images)
    network.conv1[0] = nn.Conv2d(1, 16, 3, padding=1).eval()
    assert torch.equal(module(images), RuleModule(program, network)(images))


class InPlace(nn.Module):
    """Clamps a map in place, through an operation whose result nobody takes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, bias=False)
        self.clamp = nn.Hardtanh(0.0, 0.1, inplace=True)
        self.second = nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU())

    def forward(self, images):
        maps = self.first(images)
        self.clamp(maps)
        return self.second(maps).mean((2, 3))


@pytest.mark.parametrize("first", [0, 1], ids=["no image", "a black image"])
def test_what_changes_a_map_in_place_runs_whatever_the_first_batch_is(first):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = InPlace().eval()
        images = torch.rand(40, 1, 8, 8)
    program = Program(Quantiser(tuple(InputAtom("second.1", k, ">", 0.05) for k in range(3))), ("a", "b"), ())
    program = replace(program, class_rules=tuple(ClassRule(k % 2, (k,)) for k in range(3)))
    module = RuleModule(program, network)
    module(torch.zeros(first, 1, 8, 8))
    maps = []
    handle = network.second[1].register_forward_hook(lambda _, __, result: maps.append(result))
    with torch.no_grad():
        network(images)
    handle.remove()
    assert torch.equal(module(images), RuleModule(program)(maps[0]))


def test_norms_that_are_not_finite_are_refused(extracted):
    network, _, images, program = extracted
    with pytest.raises(CaptureError, match=r"layer 'f', kernel 1: the norm is nan on image 'number 0 of the batch'"):
        RuleModule(Program(ATOMS, ("a",), ()))(torch.tensor([[0.0, torch.nan, 0.0]]))
    with pytest.raises(CaptureError, match="the norm is nan"):
        RuleModule(program, network)(images * torch.nan)


def test_the_backbones_weights_are_stored_once_and_can_be_exchanged(extracted):
    network, _, images, program = extracted
    module = RuleModule(program, deepcopy(network))
    names = list(module.state_dict())
    before = module(images)
    assert list(module.state_dict()) == names == [f"backbone.{name}" for name in network.state_dict()]
    module.backbone = nn.Sequential(deepcopy(network), nn.Identity()).eval()[0]
    with torch.no_grad():
        module.backbone.conv1[0].weight.zero_()
    assert not torch.equal(module(images), before)


def test_votes_are_sums_and_first_is_one_hot():
    rules = (ClassRule(0, (0,), weight=2, also=((1, -1),)), ClassRule(0, (1,), weight=0.5), ClassRule(1, (2,)))
    bits = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1]], dtype=torch.bool)
    vote = Program(ATOMS, ("a", "b"), rules, decision="vote")
    assert RuleModule(vote)(bits).tolist() == [[2.5, -1], [0, 1], [0, 0], [2, 0]]
    first = Program(ATOMS, ("a", "b"), rules)
    assert RuleModule(first)(bits).tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    assert RuleModule(Program(ATOMS, ("a", "b"), rules, default=1))(bits).tolist()[2] == [0, 1]
    assert RuleModule(Program(ATOMS, ("a", "b"), rules, decision="vote", default=1))(bits).tolist()[2] == [0, 1]


def test_module_sits_in_a_sequence_and_takes_an_empty_batch():
    program = Program(ATOMS, ("a", "b"), (ClassRule(1, (0,)),))
    network = nn.Sequential(nn.ReLU(), RuleModule(program))
    assert network(torch.tensor([[1.0, -1.0, -1.0]])).tolist() == [[0, 1]]
    assert network(torch.zeros(0, 3)).shape == (0, 2)
    assert not list(network.parameters())


def test_what_is_neither_maps_nor_norms_nor_bits_is_refused():
    head = RuleModule(Program(ATOMS, ("a",), ()))
    with pytest.raises(EricError, match="input must be a tensor, not list"):
        head([1.0])
    with pytest.raises(ModelError, match="not int"):
        RuleModule(Program(ATOMS, ("a",), ()), 5)
    for bad in (torch.zeros(2, 2), torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), torch.zeros(2, 4).bool()):
        with pytest.raises(EricError, match="for layer 'f' the input must be maps"):
            head(bad)


def test_a_backbone_without_the_layer_is_refused(extracted):
    network, _, images, _ = extracted
    with pytest.raises(ModelError, match="'f' is not a layer of the model"):
        RuleModule(Program(ATOMS, ("a",), ()), network)(images)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_network_calls_the_rules_as_they_are(backend):
    program = make_shared_program(3)
    n_inputs = count_inputs(program)
    network = torch.nn.Sequential(torch.nn.Linear(n_inputs, n_inputs), torch.nn.ReLU(), RuleModule(program)).eval()
    x = torch.rand(100, n_inputs, generator=torch.Generator().manual_seed(0))
    plain = network(x)
    compiled = torch.compile(network, backend=backend)
    assert torch.equal(compiled(x), plain)
    with torch.inference_mode():
        assert torch.equal(compiled(x), plain)
        assert torch.equal(network(x), plain)
