"""The wheel, installed where nothing else is ours: what works without packages that not all need, and what is said."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests import make_dist

BLOCKED = (
    "triton",
    "matplotlib",
    "jinja2",
    "pandas",
    "catboost",
    "xgboost",
    "lightgbm",
    "treelite",
    "onnx",
    "datasets",
)
# These aren't found, as where they aren't installed, and torch finds no GPU.
BLOCK = f"""
import os, sys
from importlib.machinery import PathFinder
os.environ["CUDA_VISIBLE_DEVICES"] = ""
find_spec = PathFinder.find_spec
def find_other_spec(name, *rest):
    return None if name.split(".")[0] in {BLOCKED} else find_spec(name, *rest)
PathFinder.find_spec = staticmethod(find_other_spec)
"""
WORK = """
import numpy as np, torch
import eric_fast as ef
for name in ef.__all__:
    getattr(ef, name)
from sklearn.tree import DecisionTreeClassifier
from pathlib import Path
x = np.random.default_rng(0).normal(size=(80, 3))
tree = DecisionTreeClassifier(max_depth=2).fit(x, x[:, 0] > 0)
model = ef.load(tree)
assert (model.predict(x) == tree.predict(x)).all()
ef.save_program(model.program, Path("tree.lp"))
from eric_fast.cli import main
sys.argv = ["eric-fast", "show", "tree.lp"]
try:
    main()
except SystemExit as left:
    assert not left.code
print(ef.__file__)
for needs in (draw, gpu, page):
    try:
        needs()
    except ef.EricError as error:
        print(error)
assert not [name for name in sys.modules if name.split(".")[0] in BLOCKED]
"""
NEEDS = """
def draw():
    from eric_fast.show.plots import draw_chain
    draw_chain([])
def gpu():
    from eric_fast.kernels.engines import find_operation
    find_operation("gpu", "count")
def page():
    from eric_fast.show.page.render import render_page
    render_page({}, [], {})
"""


@pytest.mark.slow
def test_the_wheel_works_without_packages_that_not_all_need(tmp_path):
    sources = tmp_path / "sources"
    make_dist.copy_sources(sources)
    wheel = make_dist.build(sources, tmp_path / "dist", "wheel")
    names = set(zipfile.ZipFile(wheel).namelist())
    packed = {str(path.relative_to(sources)) for path in (sources / "eric_fast").rglob("*.py*")}
    packed |= {f"eric_fast/{path.relative_to(sources)}" for path in (sources / "kernels").rglob("*.py")}
    assert packed <= names
    assert {name.split("/")[0] for name in names - packed} == {"eric_fast", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    code = f"{BLOCK}\nBLOCKED = {BLOCKED}\n{NEEDS}\n{WORK}"
    command = [make_dist.install_wheel(wheel, tmp_path), "-c", code]
    settings = make_dist.leave_out_settings()
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, place, drawing, gpu, page = done.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path)
    assert drawing == "drawing a picture needs the package 'matplotlib': pip install matplotlib"
    assert gpu == "engine 'gpu' needs the package 'triton': pip install triton"
    assert page == "the report needs the package 'jinja2': pip install jinja2"
