"""Tables of any size through a program's packed bits, a chunk of rows at a time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eric_fast import kernels
from eric_fast.table import as_table
from eric_fast.table.values import check_values

if TYPE_CHECKING:
    from eric_fast.table.model import RuleModel


def evaluate_table(model: "RuleModel", data: Any, wanted: Mapping[str, Any]) -> kernels.Outcome:
    """See `RuleModel.evaluate`: beside data and results it takes little memory."""
    plan, table, columns = model.evaluator.plan, as_table(data), model.program.table_quantiser.columns
    wanted = {"classes": False, "rules": False, **wanted}
    truths = wanted.pop("truths", None)

    def run(first: int, last: int) -> kernels.Outcome:
        checked = check_values(table.take_rows(first, last), columns, model.values, named=model.named)
        readings = model.packer.read(as_table(checked), engine=model.engine)
        return kernels.evaluate_packed(
            plan,
            readings.pack,
            last - first,
            device=readings.device.type,
            engine=model.engine,
            truths=None if truths is None else truths[:, first:last],
            **wanted,
        )

    engine = kernels.choose_engine(model.engine, table.device.type, in_chunks=True)
    sample_bytes = kernels.count_bytes(plan, engine) + 16 * len(columns)  # numbers as they come, and as compared
    return kernels.evaluate_chunks(run, table.n_rows, sample_bytes, engine)
