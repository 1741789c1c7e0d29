"""`RuleModule`: a program as a `torch.nn.Module`, in the place of a network's head."""

import logging
from typing import Self

import torch
from torch import Tensor, nn

from eric_fast import kernels
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.capture import fingerprint_model, reduce_norm, trace_norms
from eric_fast.errors import EricError, ModelError
from eric_fast.evaluator import NO_RULE, Evaluator
from eric_fast.program import Program
from eric_fast.quantise import list_comparisons, pack_layer
from eric_fast.store.activations import check_finite

logger = logging.getLogger(__name__)


class RuleModule(nn.Module):
    """A program from one start layer, on whatever is at hand of that layer.

    With a backbone, `forward` takes the backbone's images, float `[n, channels, height, width]`. Without one, it takes,
    of the start layer: feature maps, float `[n, n_kernels, height, width]`; norms, float `[n, n_kernels]`, of the kind
    that the program was made with; or bits, bool `[n, n_atoms]`, in the order of the program's atoms.

    It returns float32 `[n, n_classes]` on the input's device: under `vote` the summed weights; under `first` one-hot;
    zeros where nothing fires and there is no default class. It has no parameters of its own and no gradient.

    Args:
        program: the program.
        backbone: the network that the program was extracted from, in evaluation mode, with its head or without; what
            stands after the start layer doesn't run. A backbone with another fingerprint (one without its head has
            another) is logged.
        start: the layer to start from; the program's lowest by default.
        engine: see `predict_bits`.

    Raises:
        ProgramError: the program can't start there.
        ModelError (on a call): the backbone lacks the layer, or a part of it is in training mode.
        CaptureError (on a call): a norm is NaN or infinite.
    """

    def __init__(
        self, program: Program, backbone: nn.Module | None = None, *, start: str | None = None, engine: str = "auto"
    ) -> None:
        super().__init__()
        self.program = program
        self.start = program.layer_to_start(start)
        self.evaluator = Evaluator(program, self.start, engine=engine)
        if backbone is not None and not isinstance(backbone, nn.Module):
            raise ModelError(f"a backbone is a torch.nn.Module, not {type(backbone).__name__}")
        self.backbone = backbone
        # The backbone's modules, and what gives its norms: made from the first images, sharing its parameters, and in
        # a tuple so that it is no second submodule with a second set of weights.
        self._traced: tuple[list[nn.Module], nn.Module] | None = None

    def train(self, mode: bool = True) -> Self:
        """A program isn't trained: the backbone stays in evaluation mode, or its batch norms would change the bits."""
        super().train(mode)
        if self.backbone is not None:
            self.backbone.eval()
        return self

    # Rules are no graph of tensor operations: a compiled network calls them as they are.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """See the class; raises EricError for what is none of those."""
        if not isinstance(x, Tensor):
            raise EricError(f"a tensor is needed, not {type(x).__name__}")
        bits = BitMatrix(self._pack(x), len(x), self.evaluator.inputs)
        found = self.evaluator.predict(bits, with_scores=self.program.decision.adds_weights)
        outputs = torch.zeros(len(x), len(self.program.classes), dtype=torch.float32, device=x.device)
        one_hot = found.classes != NO_RULE
        if found.scores is not None:
            fires = found.rules != NO_RULE
            outputs[fires] = found.scores[fires].float()
            one_hot &= ~fires  # what is left are defaults
        outputs[one_hot, found.classes[one_hot]] = 1.0
        return outputs

    def _pack(self, x: Tensor) -> Tensor:
        """The plan's inputs on the input's device: int32 words `[n_atoms, n_words]`."""
        atoms = self.program.network_quantiser.atoms_of_layer(self.start)
        if self.backbone is not None:
            modules = list(self.backbone.modules())
            if any(module.training for module in modules):
                raise ModelError("the backbone is in training mode; call its eval() first")
            if self._traced is None or self._traced[0] != modules:
                if self.program.fingerprint not in ("", fingerprint_model(self.backbone)):
                    logger.warning("the backbone is not, or not the whole of, the model of the program")
                norm = self.program.network_quantiser.norm
                tracer = trace_norms(self.backbone, x[:1], [self.start], norm, with_head=False)
                self._traced = (modules, tracer)
            _, norms = self._traced[1](x)
            return self._pack_norms(norms[self.start])
        if x.dtype == torch.bool and x.shape[1:] == (len(atoms),):
            return pack_bits(x)
        n_kernels = 1 + max(atom.column for atom in atoms)
        if x.is_floating_point() and x.ndim in (2, 4) and x.shape[1] >= n_kernels:
            if x.ndim == 2:
                return self._pack_norms(x.float())
            if x.dtype == torch.float64 or [atom.column for atom in atoms] != list(range(x.shape[1])):
                return self._pack_norms(reduce_norm(x, self.program.network_quantiser.norm))
            comparisons = list_comparisons(atoms, x.device)
            norm = self.program.network_quantiser.norm
            packed = kernels.pack_maps(x, *comparisons, norm=norm, with_norms=True, engine=self.evaluator.engine)
            self._check_finite(packed.norms)
            return packed.words
        raise EricError(
            f"expected of layer '{self.start}': maps [n, {n_kernels}, height, width], norms [n, {n_kernels}] or bits, "
            f"bool [n, {len(atoms)}], not {str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
        )

    def _pack_norms(self, norms: Tensor) -> Tensor:
        """float32 `[n, n_kernels]` -> the plan's inputs."""
        self._check_finite(norms)
        return pack_layer(norms, self.program.network_quantiser.atoms_of_layer(self.start), self.evaluator.engine)

    def _check_finite(self, norms: Tensor | None) -> None:
        """float32 `[n, n_kernels]`; raises CaptureError where one is NaN or infinite."""
        if norms is not None and not bool(torch.isfinite(norms).all()):
            check_finite(self.start, norms, [f"number {i} of the batch" for i in range(len(norms))])
