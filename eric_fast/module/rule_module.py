"""`RuleModule`: a program as a `torch.nn.Module`, for use in place of a network's head."""

import logging
from typing import Any, Self

import torch
from torch import Tensor, nn

from eric_fast.capture import fingerprint_model, trace_norms
from eric_fast.errors import EricError, ModelError, ProgramError
from eric_fast.module.head import RuleHead
from eric_fast.module.operator import evaluate_rules, register_head
from eric_fast.program import Program
from eric_fast.tensors import read_plain

logger = logging.getLogger(__name__)


def _suggest_single(program: Program) -> str:
    """`, such as 'cat'`: the lowest layer that is a start by itself; empty if there is none."""
    single = next((cut[0] for cut in program.graph.list_cuts() if len(cut) == 1), None)
    return "" if single is None else f", such as '{single}'"


class RuleModule(nn.Module):
    """A program as a module that takes images, or the output of its start layer.

    With a backbone, `forward` takes the backbone's images, float `[n, channels, height, width]`. Without one, it takes
    one of these for the start layer: feature maps, float `[n, n_kernels, height, width]`; norms, float
    `[n, n_kernels]`, of the program's kind, or `[n, n_kernels * n_regions]` if it compares quarters of maps, as
    `reduce_regions` gives them; or bits, bool `[n, n_atoms]`, in the order of the program's atoms.

    It returns float32 `[n, n_classes]` on the input's device: under `vote` the summed weights, under `first` one-hot
    rows. A row is zero if no rule fires and there is no default class. The module has no parameters of its own and
    gives no gradient.

    On a GPU, calls after the first neither wait for the device nor copy to it: a norm that is NaN or infinite makes its
    row of the output NaN there, where the CPU raises an error. `torch.compile(fullgraph=True)` and `torch.export` take
    the module, with its kernels, as the operator `eric_fast::evaluate_rules`; call a module with a backbone, or a copy
    of one, once before. A process that loads an exported network needs `import eric_fast.module`, and nothing else.
    What is captured in a CUDA graph needs the module for as long as it is replayed.

    Args:
        program: a program over the kernels of a network.
        backbone: the network that the program was extracted from, in evaluation mode, with or without its head; layers
            after the start layer don't run. A different fingerprint, which a backbone without its head has, is logged.
        start: the layer to start from; the lowest by default.
        engine: see `Evaluator`.
        generate: see `compile_program`.

    Raises:
        ProgramError: the program can't start there, or this takes the bits of several layers.
        ModelError: the backbone is no module or, on a call, lacks the layer or is in training mode.
        CaptureError: on a call on the CPU, a norm is NaN or infinite.
        EricError: `generate`, for a program that adds up votes; on a call, the input is none of the above.

    Examples:
        >>> module = ef.RuleModule(ef.parse_program(PETS))
        >>> module(torch.tensor([[True, False], [True, True], [False, False]]))
        tensor([[1., 0.],
                [0., 1.],
                [0., 0.]])
    """

    def __init__(
        self,
        program: Program,
        backbone: nn.Module | None = None,
        *,
        start: str | None = None,
        engine: str = "auto",
        generate: bool = False,
    ) -> None:
        super().__init__()
        self.program = program
        cut = program.graph.find_start(start)
        if len(cut) > 1:
            raise ProgramError(
                f"a module takes the output of one layer, but this start has {len(cut)}: {', '.join(cut)}; start at a "
                f"layer that every path crosses{_suggest_single(program)}"
            )
        self.start = program.layer_to_start(start)
        self._head = RuleHead(program, self.start, engine, generate=generate)
        self.evaluator = self._head.evaluator
        self._key, text = register_head(self._head)
        self.register_buffer("_text", text, persistent=False)  # which an exported network takes along
        if backbone is not None and not isinstance(backbone, nn.Module):
            raise ModelError(f"the backbone must be a torch.nn.Module, not {type(backbone).__name__}")
        self.backbone = backbone
        # The backbone's modules, and a module that computes its norms: traced on the first images, with the backbone's
        # parameters. It is kept in a tuple so that it doesn't become a submodule, with a second set of weights.
        self._traced: tuple[list[nn.Module], nn.Module] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is copied or goes to another process: all but what the first call traces."""
        return {**self.__dict__, "_traced": None}

    def train(self, mode: bool = True) -> Self:
        """Keep the backbone in evaluation mode, as its batch norms would change the bits otherwise."""
        super().train(mode)
        if self.backbone is not None:
            self.backbone.eval()
        return self

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the program; see the class."""
        if torch.compiler.is_compiling():  # and exporting
            norms = x if self.backbone is None else self._trace_norms(x)
            engine, generate = self.evaluator.engine, self.evaluator.plan.generate
            n_classes = len(self.program.classes)
            outputs: Tensor = evaluate_rules(norms, self._text, self._key, self.start, engine, generate, n_classes)
            return outputs
        if not isinstance(x, Tensor):
            raise EricError(f"the input must be a tensor, not {type(x).__name__}")
        x = read_plain(x, "the input")
        if self.backbone is not None:
            self._prepare_tracer(self.backbone, x)
            x = self._trace_norms(x)
        return self._head.evaluate(x)

    def _trace_norms(self, images: Tensor) -> Tensor:
        """The backbone's norms at the start layer: float32 `[n, n_norms]`."""
        if self._traced is None:
            raise ModelError("call a RuleModule with a backbone once, on images, before it is compiled or exported")
        norms: Tensor = self._traced[1](images)[1][self.start]
        return norms

    def _prepare_tracer(self, backbone: nn.Module, images: Tensor) -> None:
        """Trace the backbone, unless that was done and its modules are the same."""
        modules = list(backbone.modules())
        if any(module.training for module in modules):
            raise ModelError("the backbone is in training mode; call its eval() first")
        if self._traced is None or self._traced[0] != modules:
            if self.program.fingerprint not in ("", fingerprint_model(backbone)):
                logger.warning("the backbone is not the model of the program, or only a part of it")
            quantiser = self.program.network_quantiser
            tracer = trace_norms(
                backbone, images[:1], [self.start], quantiser.norm, grid=quantiser.grid, with_head=False
            )
            self._traced = (modules, tracer)
