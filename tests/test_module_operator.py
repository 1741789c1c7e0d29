"""`RuleModule` compiled, exported, and on a device that nothing may wait for."""

import copy
import io
import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn

from eric_fast import kernels
from eric_fast.kernels.gpu import evaluate as gpu
from eric_fast.kernels.gpu import pack_columns as gpu_columns
from eric_fast.module import RuleModule, head, operator
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from tests.no_waits import NoWaits

RULES = (ClassRule(0, (0,), weight=2, also=((1, -1),)), ClassRule(0, (1, ~2), weight=0.5), ClassRule(1, (2,)))
VOTE = Program(Quantiser(tuple(InputAtom("a.1", k, ">", 0.5) for k in range(3))), ("a", "b"), RULES, decision="vote")
NORMS = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())

    def forward(self, x):
        return self.a(x).mean((2, 3))


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    """PyTorch compiles one function, here `forward`, for at most eight modules of a process."""
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def with_backbone():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network().eval()
        images = torch.rand(10, 1, 8, 8)
    constants = (0.05, 0.1, 0.2)
    atoms = tuple(replace(atom, constant=c) for atom, c in zip(VOTE.quantiser.atoms, constants, strict=True))
    return RuleModule(replace(VOTE, quantiser=Quantiser(atoms)), network), images


def test_one_graph_compiles_with_and_without_a_backbone(with_backbone):
    module, images = with_backbone
    with pytest.raises(Exception, match="call a RuleModule with a backbone once"):
        torch.compile(RuleModule(module.program, module.backbone), backend="eager", fullgraph=True)(images)
    for rules, x in ((module, images), (RuleModule(VOTE), NORMS)):
        plain = rules(x)
        compiled = torch.compile(rules, backend="aot_eager", fullgraph=True)
        assert torch.equal(compiled(x), plain)
        assert len(plain.unique(dim=0)) > 1


def test_an_exported_network_takes_its_program_along(with_backbone, monkeypatch):
    module, images = with_backbone
    expected = module(images)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(module, (images,), dynamic_shapes=({0: batch},))
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    monkeypatch.setattr(operator, "_heads", {})  # as in a process that never saw the module
    monkeypatch.setattr(operator, "_read", {})
    loaded = torch.export.load(file).module()
    assert torch.equal(loaded(images[:7]), expected[:7])
    assert [found.program for found in operator._read.values()] == [module.program]
    assert not [name for name in module.state_dict() if "backbone" not in name]


def test_the_operator_says_its_shape_without_running():
    registered = operator.register_head(RuleModule(VOTE)._head)
    arguments = (NORMS, registered.text, registered.key, "a.1", "auto", False, 2)
    torch.library.opcheck(operator.evaluate_rules, arguments, test_utils=("test_schema", "test_faketensor"))


def test_a_process_that_never_saw_the_module_generates_its_kernel_too(monkeypatch):
    monkeypatch.setattr(operator, "_read", {})
    module = RuleModule(replace(VOTE, decision="first", default=1), generate=True)
    text, key = module._text, module._key
    expected = module(NORMS)
    monkeypatch.setattr(operator, "_heads", {})
    assert torch.equal(operator.evaluate_rules(NORMS, text, key, "a.1", "auto", True, 2), expected)
    assert operator._read[key].evaluator.plan.generate


def test_a_second_call_on_a_gpu_neither_waits_nor_copies(monkeypatch):
    """Tensors of the CPU stand for those of a GPU; launches do nothing."""

    class Launch:
        def __getitem__(self, grid):
            return lambda *_, **__: None

    monkeypatch.setattr(kernels, "choose_engine", lambda *_, **__: "gpu")
    monkeypatch.setattr(kernels, "_evaluate", lambda _, *arguments: gpu.evaluate(*arguments))
    monkeypatch.setattr(head, "runs_on_host", lambda x: False)
    monkeypatch.setattr(gpu, "evaluate_kernel", Launch())
    monkeypatch.setattr(gpu_columns, "pack_columns_kernel", Launch())
    for program in (VOTE, replace(VOTE, decision="first", default=1), replace(VOTE, decision="labels")):
        module = RuleModule(program)
        norms = NORMS.clone()
        norms[3, 1] = torch.nan
        module(norms)
        with NoWaits() as mode:
            outputs = module(norms)
        assert outputs[3].isnan().all()
        assert not outputs[4].isnan().any() or program.decision != "first"
        assert {"isfinite", "masked_fill_"} & set(mode.names)


def test_a_module_that_was_called_goes_to_another_process(with_backbone):
    module, images = with_backbone
    expected = module(images)
    for copied in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert torch.equal(copied(images), expected)
        assert copied.backbone is not module.backbone
        assert torch.equal(torch.compile(copied, backend="eager", fullgraph=True)(images), expected)


def test_compiled_rules_take_any_number_of_samples():
    rules = RuleModule(VOTE)
    compiled = torch.compile(rules, backend="eager", fullgraph=True, dynamic=True)
    for n in (40, 7, 0):
        assert torch.equal(compiled(NORMS[:n]), rules(NORMS[:n]))


def test_what_a_first_call_in_inference_mode_keeps_is_read_once():
    module = RuleModule(VOTE)
    with torch.inference_mode():
        expected = module(NORMS)
    (sent,) = module._head._comparisons._sent.values()
    assert not sent.operators.is_inference()  # else `find_range` reads it on each call
    assert torch.equal(module(NORMS), expected)


def test_a_module_keeps_no_other_alive():
    key = RuleModule(replace(VOTE, default=0))._key
    assert key not in operator._heads


@pytest.mark.gpu
def test_kernels_serve_compiled_exported_and_captured(with_backbone):
    module, images = with_backbone
    module, images = module.cuda(), images.cuda()
    expected = module(images)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert module(images).shape == expected.shape
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(torch.export.export(module, (images,)).module()(images), expected)
    assert torch.equal(torch.compile(module, backend="aot_eager", fullgraph=True)(images), expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = module(images)
    graph.replay()
    assert torch.equal(found, expected)
