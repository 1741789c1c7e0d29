"""`TableModel`: the evaluation of a program on tables, by walking trees or on packed bits."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from eric_fast import kernels
from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator
from eric_fast.program import Decision
from eric_fast.table.allowed_values import check_values
from eric_fast.table.model_fields import ModelFields
from eric_fast.table.packer import PackableTable, TablePacker
from eric_fast.table.row_answers import RowAnswers
from eric_fast.table.table import Table, as_table

if TYPE_CHECKING:
    from eric_fast.table.row_rules import RowRules
    from eric_fast.table.tree_walk import Walker


class TableModel(ModelFields):
    """What the program itself answers for the rows of a table, before scores become the source's answers."""

    @cached_property
    def evaluator(self) -> Evaluator:
        """The program, compiled when it is first used."""
        return Evaluator(self.program, engine=self.engine)

    @cached_property
    def packer(self) -> TablePacker:
        return TablePacker(
            self.program.table_quantiser,
            named=self.named,
            categories=self.categories,
            optional=self.optional,
            odd=self.odd_texts,
        )

    @property
    def odd_texts(self) -> str:
        """What becomes of texts that spell no number, where numbers are compared; see `Table.read_numbers`.

        Rules of which the first decides compare values of any type, as FOLD-RM and Prolog do.
        """
        return "warn" if self.program.decision is Decision.FIRST else "refuse"

    @cached_property
    def walker(self) -> "Walker | None":
        """Evaluates a few rows at a time; None if the program is not made of trees."""
        from eric_fast.table.tree_walk import make_walker  # Numba loads when it is needed

        return make_walker(self.program, self.evaluator.plan, self.values) if self.engine in ("auto", "cpu") else None

    @cached_property
    def row_rules(self) -> "RowRules | None":
        """Finds the classes of a few rows; None if the program is no decision list of the kind that it takes."""
        from eric_fast.table.row_rules import make_row_rules  # is loaded where it is needed

        if self.engine not in ("auto", "cpu"):
            return None
        return make_row_rules(
            self.program, named=self.named, values=self.values, categories=self.categories, optional=self.optional
        )

    def evaluate(self, data: Any, **wanted: Any) -> kernels.Outcome:
        """What the program itself answers, as tensors on the data's device.

        Rows are evaluated in chunks, so besides data and results this takes little memory.

        Args:
            data: see `predict`.
            wanted: the fields of `kernels.Request`.
        """
        data = data if isinstance(data, np.ndarray) else as_table(data)
        few = self.walker.evaluate(self._take_matrix(data), wanted) if self.walker else None
        return self._evaluate_chunks(data, wanted) if few is None else few

    def answer(self, data: Any, **wanted: bool) -> RowAnswers:
        """Those of its fields that are wanted, perhaps others; a few rows take microseconds."""
        data = data if isinstance(data, np.ndarray) else as_table(data)
        few = self.walker.walk(self._take_matrix(data), leaves=wanted.get("leaves", False)) if self.walker else None
        if few is not None:
            return few
        outcome = self._evaluate_chunks(data, wanted)
        parts = (outcome.classes, outcome.scores, outcome.leaves)
        return RowAnswers(*(None if part is None else part.cpu().numpy() for part in parts))

    def pack(self, data: Any) -> BitMatrix:
        """Pack the bits of a table for `evaluator`, on the data's device; see `predict` for the data and errors."""
        table = as_table(data)
        return BitMatrix(self._read(table).pack(0, table.n_rows), table.n_rows, self.evaluator.inputs)

    def _read(self, table: Table) -> PackableTable:
        checked = check_values(table, self.program.table_quantiser.columns, self.values, named=self.named)
        return self.packer.read(as_table(checked), engine=self.engine)

    def _take_matrix(self, data: Any) -> Any:
        """The numbers of a table whose columns stand as the program's do; None for others."""
        if not isinstance(data, Table):
            return data
        names = [column.name for column in self.program.table_quantiser.columns]
        if data.matrix is None or data.device.type != "cpu":
            return None
        in_order = not self.named or data.names is None or list(data.names) == names
        return data.matrix.numpy() if in_order and data.matrix.dtype.is_floating_point else None

    def _evaluate_chunks(self, data: Any, wanted: Mapping[str, Any]) -> kernels.Outcome:
        plan, table = self.evaluator.plan, as_table(data)
        wanted = {"classes": False, "rules": False, **wanted}
        truths = wanted.pop("truths", None)

        def run(first: int, last: int) -> kernels.Outcome:
            packable = self._read(table.take_rows(first, last))
            return kernels.evaluate_packed(
                plan,
                packable.pack,
                last - first,
                device=packable.device.type,
                engine=self.engine,
                truths=None if truths is None else truths[:, first:last],
                **wanted,
            )

        engine = kernels.choose_engine(self.engine, table.device.type, in_chunks=True)
        # Of a sample: its bits, and its numbers as given and as compared
        sample_bytes = kernels.count_sample_bytes(plan, engine) + 16 * len(self.program.table_quantiser.columns)
        return kernels.evaluate_chunks(run, table.n_rows, sample_bytes, engine)
