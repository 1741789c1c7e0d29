"""`RuleModule`: a program as a `torch.nn.Module`, for use in place of a network's head."""

import logging
from typing import Self

import torch
from torch import Tensor, nn

from eric_fast import kernels
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.capture import Reduction, fingerprint_model, reduce_regions, trace_norms
from eric_fast.errors import EricError, ModelError
from eric_fast.evaluator import NO_RULE, Evaluator
from eric_fast.program import Program
from eric_fast.program.atoms import count_regions
from eric_fast.quantise import list_norm_comparisons, pack_layer
from eric_fast.store.activations import check_finite
from eric_fast.tensors import read_plain

logger = logging.getLogger(__name__)


class RuleModule(nn.Module):
    """A program as a module that takes images, or the output of its start layer.

    With a backbone, `forward` takes the backbone's images, float `[n, channels, height, width]`. Without one, it takes
    one of these for the start layer: feature maps, float `[n, n_kernels, height, width]`; norms, float
    `[n, n_kernels]`, of the program's kind, or `[n, n_kernels * n_regions]` if it compares quarters of maps, as
    `reduce_regions` gives them; or bits, bool `[n, n_atoms]`, in the order of the program's atoms.

    It returns float32 `[n, n_classes]` on the input's device: under `vote` the summed weights, under `first` one-hot
    rows. A row is zero if no rule fires and there is no default class. The module has no parameters of its own and
    gives no gradient.

    Args:
        program: a program over the kernels of a network.
        backbone: the network that the program was extracted from, in evaluation mode, with or without its head; layers
            after the start layer don't run. A different fingerprint, which a backbone without its head has, is logged.
        start: the layer to start from; the lowest by default.
        engine: see `Evaluator`.

    Raises:
        ProgramError: the program can't start there.
        ModelError: the backbone is no module or, on a call, lacks the layer or is in training mode.
        CaptureError: on a call, a norm is NaN or infinite.
        EricError: on a call, the input is none of the above.
    """

    def __init__(
        self, program: Program, backbone: nn.Module | None = None, *, start: str | None = None, engine: str = "auto"
    ) -> None:
        super().__init__()
        self.program = program
        self.start = program.layer_to_start(start)
        self.evaluator = Evaluator(program, self.start, engine=engine)
        if backbone is not None and not isinstance(backbone, nn.Module):
            raise ModelError(f"the backbone must be a torch.nn.Module, not {type(backbone).__name__}")
        self.backbone = backbone
        # The backbone's modules, and a module that computes its norms: traced on the first images, with the backbone's
        # parameters. It is kept in a tuple so that it doesn't become a submodule, with a second set of weights.
        self._traced: tuple[list[nn.Module], nn.Module] | None = None

    def train(self, mode: bool = True) -> Self:
        """Keep the backbone in evaluation mode, as its batch norms would change the bits otherwise."""
        super().train(mode)
        if self.backbone is not None:
            self.backbone.eval()
        return self

    # A compiled network calls this as it is: rules are not a graph of tensor operations.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the program; see the class."""
        if not isinstance(x, Tensor):
            raise EricError(f"the input must be a tensor, not {type(x).__name__}")
        x = read_plain(x, "the input")
        bits = BitMatrix(self._pack(x), len(x), self.evaluator.inputs)
        found = self.evaluator.predict(bits, with_scores=self.program.decision.adds_weights)
        outputs = torch.zeros(len(x), len(self.program.classes), dtype=torch.float32, device=x.device)
        one_hot = found.classes != NO_RULE
        if found.scores is not None:
            fires = found.rules != NO_RULE
            outputs[fires] = found.scores[fires].float()
            one_hot &= ~fires  # the rest are default classes
        outputs[one_hot, found.classes[one_hot]] = 1.0
        return outputs

    def _pack(self, x: Tensor) -> Tensor:
        """Pack the bits of the start layer on the input's device: int32 words `[n_atoms, n_words]`."""
        atoms = self.program.network_quantiser.atoms_of_layer(self.start)
        if self.backbone is not None:
            modules = list(self.backbone.modules())
            if any(module.training for module in modules):
                raise ModelError("the backbone is in training mode; call its eval() first")
            if self._traced is None or self._traced[0] != modules:
                if self.program.fingerprint not in ("", fingerprint_model(self.backbone)):
                    logger.warning("the backbone is not the model of the program, or only a part of it")
                quantiser = self.program.network_quantiser
                tracer = trace_norms(
                    self.backbone, x[:1], [self.start], quantiser.norm, grid=quantiser.grid, with_head=False
                )
                self._traced = (modules, tracer)
            _, norms = self._traced[1](x)
            return self._pack_norms(norms[self.start])
        if x.dtype == torch.bool and x.shape[1:] == (len(atoms),):
            return pack_bits(x)
        grid = self.program.network_quantiser.grid
        n_kernels = 1 + max(atom.column for atom in atoms)
        n_norms = n_kernels * count_regions(grid)
        if x.is_floating_point() and x.ndim in (2, 4) and x.shape[1] >= (n_norms if x.ndim == 2 else n_kernels):
            if x.ndim == 2:
                return self._pack_norms(x.float())
            if x.dtype == torch.float64 or [atom.find_place(grid) for atom in atoms] != list(range(x.shape[1])):
                return self._pack_norms(reduce_regions(x, Reduction(self.program.network_quantiser.norm, grid)))
            comparisons = list_norm_comparisons(atoms, x.device)
            norm = self.program.network_quantiser.norm
            packed = kernels.pack_maps(x, *comparisons, norm=norm, with_norms=True, engine=self.evaluator.engine)
            self._check_finite(packed.norms)
            return packed.words
        raise EricError(
            f"for layer '{self.start}' the input must be maps [n, {n_kernels}, height, width], norms [n, {n_norms}] "
            f"or bits, bool [n, {len(atoms)}], not {str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
        )

    def _pack_norms(self, norms: Tensor) -> Tensor:
        """Pack norms, float32 `[n, n_kernels]`."""
        self._check_finite(norms)
        quantiser = self.program.network_quantiser
        atoms = quantiser.atoms_of_layer(self.start)
        return pack_layer(norms, atoms, self.evaluator.engine, grid=quantiser.grid)

    def _check_finite(self, norms: Tensor | None) -> None:
        """Raise CaptureError if a norm, float32 `[n, n_kernels]`, is NaN or infinite."""
        if norms is not None and not bool(torch.isfinite(norms).all()):
            check_finite(self.start, norms, [f"number {i} of the batch" for i in range(len(norms))])
