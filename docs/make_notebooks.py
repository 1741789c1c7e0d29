"""The notebooks of the site, from the scripts in `examples/`: `python -m docs.make_notebooks`.

A script's cells begin with `# %%`, those of text with `# %% [markdown]`; a script without cells is no notebook. A
comment `# notebook: NAME` at the end of a cell is `NAME` in the notebook, which shows that object.
"""

import ast
import base64
import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, NOTEBOOKS = ROOT / "examples", ROOT / "docs" / "notebooks"
_CELL = re.compile(r"^# %%(?P<text> \[markdown\])?\n(?P<source>.*?)(?=^# %%|\Z)", re.MULTILINE | re.DOTALL)


class Cell(NamedTuple):
    """A cell of a notebook: text, or code and the name of what it shows."""

    is_text: bool
    source: str


def list_scripts() -> list[Path]:
    """The scripts that have cells."""
    return [script for script in sorted(EXAMPLES.glob("*.py")) if read_cells(script)]


def read_cells(script: Path) -> list[Cell]:
    """The cells of a script."""
    cells = []
    for match in _CELL.finditer(script.read_text(encoding="utf-8")):
        source = match["source"].strip("\n")
        if match["text"]:
            source = "\n".join(line.removeprefix("#").removeprefix(" ") for line in source.splitlines())
        cells.append(Cell(match["text"] is not None, re.sub(r"^# notebook: ", "", source, flags=re.MULTILINE)))
    return cells


def run_cells(cells: Sequence[Cell], name: str) -> Iterator[list[dict[str, Any]]]:
    """Run a notebook's code, in this process and folder: the outputs of each cell, as a notebook holds them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell.is_text:
            yield []
            continue
        body = ast.parse(cell.source, name)
        last = _find_shown(body)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(body, name, "exec"), names)
        outputs: list[dict[str, Any]] = []
        if printed.getvalue():
            outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
        if last is not None:
            outputs.append({"output_type": "display_data", "metadata": {}, "data": _show(names[last])})
        yield outputs


def _find_shown(body: ast.Module) -> str | None:
    """The name that is a cell's last line."""
    last = body.body[-1]
    return last.value.id if isinstance(last, ast.Expr) and isinstance(last.value, ast.Name) else None


def _show(value: Any) -> dict[str, str]:
    """What a notebook shows of an object, by type of content."""
    if hasattr(value, "savefig"):
        buffer = io.BytesIO()
        value.savefig(buffer, format="png", dpi=72, metadata={"Software": None})
        return {"text/plain": "<Figure>", "image/png": base64.b64encode(buffer.getvalue()).decode()}
    html = getattr(value, "_repr_html_", None)
    return {"text/plain": repr(value), **({} if html is None else {"text/html": html()})}


def write_notebook(cells: Sequence[Cell], outputs: Sequence[list[dict[str, Any]]], path: Path) -> None:
    """Write a notebook of format 4.5, the same bytes for the same cells and outputs."""
    written: list[dict[str, Any]] = []
    for number, (cell, shown) in enumerate(zip(cells, outputs, strict=True)):
        own: dict[str, Any] = {
            "cell_type": "markdown" if cell.is_text else "code",
            "id": f"cell-{number}",
            "metadata": {},
        }
        own["source"] = cell.source.splitlines(keepends=True)
        if not cell.is_text:
            own |= {"execution_count": None, "outputs": shown}
        written.append(own)
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    kernel["language_info"] = {"name": "python"}
    notebook = {"cells": written, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_notebook(path: Path) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook, and what each printed."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    cells = [Cell(cell["cell_type"] == "markdown", "".join(cell["source"])) for cell in found]
    printed = [
        "".join(out["text"] for out in cell.get("outputs", []) if out["output_type"] == "stream") for cell in found
    ]
    return cells, printed


def main() -> None:
    from tests.page_blocks import prepare_cifar

    NOTEBOOKS.mkdir(exist_ok=True)
    before = Path.cwd()
    for script in list_scripts():
        cells = read_cells(script)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                if script.stem == "cifar10":
                    prepare_cifar(Path(folder))
                outputs = list(run_cells(cells, str(script)))
            finally:
                os.chdir(before)
        write_notebook(cells, outputs, NOTEBOOKS / f"{script.stem}.ipynb")
        print(f"wrote {NOTEBOOKS / script.stem}.ipynb", flush=True)


if __name__ == "__main__":
    main()
