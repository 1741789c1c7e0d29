"""`RuleHead`: a program that takes the output of its start layer as a tensor, and gives one."""

from functools import cached_property

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import pack_bits
from eric_fast.capture import Reduction, reduce_regions
from eric_fast.errors import EricError
from eric_fast.evaluator import Evaluator
from eric_fast.kernels import Comparisons, Packed, expect
from eric_fast.program import Program
from eric_fast.program.atoms import InputAtom, count_regions
from eric_fast.quantise import list_norm_comparisons
from eric_fast.store.activations import check_finite


class RuleHead:
    """A program from a start layer on, ready for tensors; see `RuleModule` for what it takes and gives.

    What a device needs of it is sent there on the first call; later calls on a GPU don't wait for it.
    """

    def __init__(self, program: Program, start: str, engine: str, *, generate: bool = False) -> None:
        self.program = program
        self.start = start
        self.evaluator = Evaluator(program, start, engine=engine, generate=generate)

    @torch.no_grad()
    def evaluate(self, x: Tensor) -> Tensor:
        """float32 `[n, n_classes]` for maps, norms or bits of the start layer."""
        words, norms = self._pack(x)
        on_host = runs_on_host(x)
        if norms is not None and on_host and not norms.isfinite().all():
            check_finite(self.start, norms, [f"number {i} of the batch" for i in range(len(norms))])
        adds = self.program.decision.adds_weights
        plan, engine = self.evaluator.plan, self.evaluator.engine
        found = kernels.evaluate(plan, words, len(x), engine=engine, rules=False, scores=adds, covered=adds)
        numbers = torch.arange(len(self.program.classes), dtype=torch.int32, device=x.device)
        outputs = (expect(found.classes)[:, None] == numbers).float()
        if adds and not self.program.decision.gives_class:
            outputs = expect(found.scores).float()
        elif adds:  # where no rule fires, the default class stays
            outputs = torch.where(expect(found.covered)[:, None], expect(found.scores).float(), outputs)
        if norms is not None and not on_host:
            outputs.masked_fill_(~norms.isfinite().all(dim=1, keepdim=True), torch.nan)
        return outputs

    @cached_property
    def _comparisons(self) -> Comparisons:
        """Of the start layer's atoms with norms."""
        cpu = torch.device("cpu")
        return Comparisons(torch.tensor(self._places, dtype=torch.int64), *list_norm_comparisons(self._atoms, cpu))

    @cached_property
    def _atoms(self) -> tuple[InputAtom, ...]:
        return self.program.network_quantiser.atoms_of_layer(self.start)

    @cached_property
    def _places(self) -> list[int]:
        return [atom.find_place(self.program.network_quantiser.grid) for atom in self._atoms]

    @cached_property
    def _n_kernels(self) -> int:
        return 1 + max(atom.column for atom in self._atoms)

    def _pack(self, x: Tensor) -> Packed:
        """Pack the bits of the start layer on the input's device, with the norms that they come from, if they do."""
        quantiser, engine = self.program.network_quantiser, self.evaluator.engine
        n_atoms, n_kernels = len(self._atoms), self._n_kernels
        if x.dtype == torch.bool and x.shape[1:] == (n_atoms,):
            return Packed(pack_bits(x), None)
        n_norms = n_kernels * count_regions(quantiser.grid)
        if x.is_floating_point() and x.ndim in (2, 4) and x.shape[1] >= (n_norms if x.ndim == 2 else n_kernels):
            with torch.inference_mode(False):  # changes of its tensors aren't counted, so each call would read a range
                sent = self._comparisons.send(x.device)
            is_whole = quantiser.grid == 1 and self._places == list(range(x.shape[1]))  # a comparison for each map
            if x.ndim == 4 and x.dtype != torch.float64 and is_whole:
                norm = quantiser.norm
                return kernels.pack_maps(x, *sent[1:3], norm=norm, with_norms=True, engine=engine)
            norms = x.float() if x.ndim == 2 else reduce_regions(x, Reduction(quantiser.norm, quantiser.grid))
            return Packed(kernels.pack_comparisons(norms, self._comparisons, engine=engine), norms)
        raise EricError(
            f"for layer '{self.start}' the input must be maps [n, {n_kernels}, height, width], norms [n, {n_norms}] "
            f"or bits, bool [n, {n_atoms}], not {str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
        )


def runs_on_host(x: Tensor) -> bool:
    """Whether values can be read without waiting for a device."""
    return x.device.type == "cpu"
