"""The scripts in `examples/`, and the notebooks that are made from them: the same cells, and the same outputs."""

import shutil

import pytest

from docs import make_notebooks
from tests import page_outputs

SCRIPTS = make_notebooks.list_scripts()
NAMES = [script.stem for script in SCRIPTS]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_script(script, *, masked):
    """Run a script's cells; what each prints is what the notebook holds."""
    cells, printed = make_notebooks.read_notebook(make_notebooks.NOTEBOOKS / f"{script.stem}.ipynb")
    shown = []
    for cell, wanted, outputs in zip(cells, printed, make_notebooks.run_cells(cells, str(script)), strict=True):
        found = "".join(out["text"] for out in outputs if out["output_type"] == "stream")
        difference = page_outputs.find_difference(wanted, found, masked=masked)
        assert not difference, f"{script.name}: {cell.source}\n{difference}"
        shown += [kind for out in outputs for kind in out.get("data", {})]
    return shown


def test_each_example_is_a_notebook_on_the_site():
    assert NAMES == ["cifar10", "digits", "forest", "rules"]
    page = (make_notebooks.NOTEBOOKS / "index.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        assert f"\n{script.stem}\n" in page
        cells, _ = make_notebooks.read_notebook(make_notebooks.NOTEBOOKS / f"{script.stem}.ipynb")
        assert cells == make_notebooks.read_cells(script), f"{script.name} was changed: run `make notebooks`"


@pytest.mark.slow
def test_digits(folder):
    assert run_script(make_notebooks.EXAMPLES / "digits.py", masked=True) == ["text/plain", "image/png"]
    assert (folder / "digits.lp").read_text(encoding="utf-8").count("fires(X,") > 10


@pytest.mark.parametrize("name", ["forest", "rules"])
def test_tables(name, folder):
    run_script(make_notebooks.EXAMPLES / f"{name}.py", masked=False)


def test_cifar10(cifar, shared, make_once, folder):
    """With fewer images than the notebook was made from, so that numbers differ."""
    data = make_once("cifar", lambda _: None)
    (folder / "cifar10").symlink_to(data)
    for path in (shared / "models").glob("cifar10_vgg.*"):
        shutil.copy(path, folder)
    run_script(make_notebooks.EXAMPLES / "cifar10.py", masked=True)


def test_an_example_without_its_data_says_what_it_needs(folder):
    cells = make_notebooks.read_cells(make_notebooks.EXAMPLES / "cifar10.py")
    with pytest.raises(SystemExit, match="needs cifar10/train"):
        list(make_notebooks.run_cells(cells, "cifar10.py"))
