"""`RuleModule`: a program as a `torch.nn.Module`, in the place of a network's head."""

import torch
from torch import Tensor, nn

from eric_fast.bits import BitMatrix
from eric_fast.capture import reduce_norm, trace_norms
from eric_fast.errors import EricError
from eric_fast.evaluate import predict_bits
from eric_fast.predictions import NO_RULE
from eric_fast.program import Program
from eric_fast.quantise import pack_layer


class RuleModule(nn.Module):
    """A program from one start layer, on whatever is at hand of that layer.

    With a backbone, `forward` takes the backbone's images, float `[n, channels, height, width]`. Without one, it takes,
    of the start layer: feature maps, float `[n, n_kernels, height, width]`; norms, float `[n, n_kernels]`, of the kind
    that the program was made with; or bits, bool `[n, n_atoms]`, in the order of the program's atoms.

    It returns float32 `[n, n_classes]` on the input's device: under `vote` the summed weights; under `first` one-hot;
    zeros where nothing fires and there is no default class. It has no parameters of its own and no gradient.

    Args:
        program: the program.
        backbone: the network that the program was extracted from, in evaluation mode; its maps are reduced and freed.
        start: the layer to start from; the program's lowest by default.
        engine: see `predict_bits`.

    Raises:
        ProgramError: the program can't start there. ModelError (on the first call): the backbone lacks the layer.
    """

    def __init__(
        self, program: Program, backbone: nn.Module | None = None, *, start: str | None = None, engine: str = "auto"
    ) -> None:
        super().__init__()
        self.program = program
        self.start = program.layer_to_start(start)
        self.engine = engine
        self.backbone = backbone
        self._traced: nn.Module | None = None  # the backbone with norms, made from the first images

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """See the class; raises EricError for a shape or dtype that is none of those."""
        bits = self._bits_of(x)
        predictions = predict_bits(self.program, bits, start=self.start, engine=self.engine, with_scores=True)
        outputs = torch.zeros(len(x), len(self.program.classes), dtype=torch.float32, device=x.device)
        fires = predictions.rules != NO_RULE
        if self.program.decision == "vote" and predictions.scores is not None:
            outputs[fires] = predictions.scores[fires].float()
        decided = predictions.classes != NO_RULE  # under vote: what is left are defaults
        one_hot = decided if self.program.decision == "first" else decided & ~fires
        outputs[one_hot, predictions.classes[one_hot]] = 1.0
        return outputs

    def _bits_of(self, x: Tensor) -> BitMatrix:
        atoms = self.program.quantiser.atoms_of_layer(self.start)
        names = tuple(atom.name for atom in atoms)
        if self.backbone is not None:
            if self._traced is None:
                self._traced = trace_norms(self.backbone, x[:1], [self.start], self.program.quantiser.norm)
            _, norms = self._traced(x)
            return BitMatrix(pack_layer(norms[self.start], atoms), len(x), names)
        if x.dtype == torch.bool and x.shape[1:] == (len(atoms),):
            return BitMatrix.from_bools(x, names)
        n_kernels = 1 + max(atom.column for atom in atoms)
        if x.is_floating_point() and x.ndim in (2, 4) and x.shape[1] >= n_kernels:
            norms = reduce_norm(x, self.program.quantiser.norm) if x.ndim == 4 else x.float()
            return BitMatrix(pack_layer(norms, atoms), len(x), names)
        raise EricError(
            f"expected of layer '{self.start}': maps [n, {n_kernels}, height, width], norms [n, {n_kernels}] or bits, "
            f"bool [n, {len(atoms)}], not {str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
        )
