"""`python -m docs.installs`: what each way of installing weighs, and which test files run there: `start/install.md`.

Sizes are those of the files that the packages of this environment installed. A test file runs where everything is
installed that it imports, or skips itself without.
"""

import ast
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "start" / "install.md"
START, END = "<!-- installs -->\n", "<!-- end -->"
RUNNER = ("pytest", "pytest-xdist", "hypothesis", "packaging")  # of tests
ON_GPU = ("nvidia-", "cuda-", "triton")
TOOLS = ("xgboost-cpu", "lightgbm", "catboost", "treelite", "imodels", "onnx", "torchlogix", "datasets")
EVERYTHING = (
    *(*TOOLS, "clingo", "pandas", "polars", "onnxruntime", "skl2onnx", "webdataset", "playwright", "mypy", "ruff"),
    *("sphinx", "myst-nb", "pydata-sphinx-theme", "sphinx-copybutton", "sphinx-design", "ipykernel"),
)


def list_closure(names: Iterable[str], without: tuple[str, ...] = ()) -> dict[str, Distribution]:
    """The packages of these names and all that they need, by name."""
    found: dict[str, Distribution] = {}
    todo = list(names)
    while todo:
        name = normalise(todo.pop())
        if name in found or name.startswith(without or ("no package",)):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return found


def normalise(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


@cache
def measure_package(name: str) -> int:
    """Bytes of the files that a package installed."""
    files = distribution(name).files or ()
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())


@cache
def list_imports(path: Path) -> set[str]:
    """The packages that a test file can't run without: those that it imports, or asks for, when it is loaded."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        for call in ast.walk(node) if isinstance(node, ast.Assign | ast.Expr) else ():
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "import_optional":
                names |= {str(part.value) for part in call.args if isinstance(part, ast.Constant)}
    return {name.partition(".")[0] for name in names} - {"tests", "eric_fast", "bench", "docs"}


@cache
def list_shared(path: Path) -> set[Path]:
    """The files of tests that a test file imports when it is loaded."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tests":
            parts = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {p for part in parts if (p := ROOT / (part.replace(".", "/") + ".py")).is_file()}
    return found


def list_needed(path: Path) -> set[str]:
    """As `list_imports`, through what tests share."""
    todo, seen, needed = [path], set(), set()
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            needed |= list_imports(file)
            todo += list_shared(file)
    return needed


def count_tests(packages: Iterable[str]) -> tuple[int, int]:
    """How many test files can run where these packages are, and how many there are."""
    there = {normalise(name) for name in packages}
    provided = packages_distributions()
    files = sorted((ROOT / "tests").glob("test_*.py"))
    n_run = 0
    for file in files:
        missing = {
            name
            for name in list_needed(file) - sys.stdlib_module_names
            if not there.intersection(map(normalise, provided.get(name, ["missing"])))
        }
        n_run += not missing
    return n_run, len(files)


def print_table() -> str:
    own = ("eric-fast",)
    ways: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
        ("`pip install .`", own, ()),
        ("the same, PyTorch's CPU build first", own, ON_GPU),
        *((f"and `pip install {tool}`", (*own, tool), ON_GPU) for tool in TOOLS),
        ("`make`: everything that tests and documentation need", (*own, *EVERYTHING), ()),
    ]
    lines = ["| way of installing | GB | packages | test files that run |", "|---|---|---|---|"]
    for way, names, without in ways:
        packages = list_closure(names, without)
        size = sum(map(measure_package, packages)) / 1e9
        n_run, n_all = count_tests({*packages, *list_closure(RUNNER)})
        lines.append(f"| {way} | {size:.2f} | {len(packages)} | {n_run} of {n_all} |")
    return "\n".join(lines)


def main() -> None:
    before, start, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    PAGE.write_text(f"{before}{start}{print_table()}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
