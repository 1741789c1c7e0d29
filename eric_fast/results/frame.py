"""The data frame that results become. Importing this imports pandas."""

from typing import Any, Self

import pandas

from eric_fast.visible import make_cell


class Frame(pandas.DataFrame):
    """A data frame whose CSV is safe to open in a spreadsheet; in all else it is a `pandas.DataFrame`."""

    @property
    def _constructor(self) -> type[Self]:
        return type(self)

    def to_csv(self, *args: Any, **options: Any) -> str | None:
        """As pandas writes it, but texts that a spreadsheet would take for formulas get an apostrophe in front.

        That goes for cells, column names and the index alike. For the texts as they are, use
        `pandas.DataFrame(frame).to_csv()`.
        """
        safe = pandas.DataFrame(self.map(make_cell))
        safe.columns = safe.columns.map(make_cell)
        safe.index = safe.index.map(make_cell)
        text: str | None = safe.to_csv(*args, **options)
        return text
