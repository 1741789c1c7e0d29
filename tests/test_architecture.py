"""How the code hangs together: nothing imports upward, and importing costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Lower layers first; a module may import from its own layer only where it is the same package.
LAYERS = (
    ("errors", "progress"),
    ("processes",),
    ("output", "memory"),
    ("activations", "bits", "quantiser", "rules", "validate", "program", "plan", "predictions"),
    ("kernels",),
    ("store",),
    (
        *("capture", "quantise", "extract", "simplify", "trim", "compile", "evaluate"),
        *("text", "tables", "labels", "plotting"),
    ),
    ("upward", "frontends"),
    ("pipeline", "record", "module", "report", "heat", "digits_cnn"),
    ("estimator", "streams", "chains", "analyse"),
    ("explain", "compare", "page"),
    ("demo",),
    ("console",),
    ("cli",),
    ("__main__",),
)
TYPES = LAYERS[3]


def layer_of(module):
    return next(i for i, names in enumerate(LAYERS) if module in names)


def list_imports():
    """(module, imported module) of eric_fast, each by the name of its file or package."""
    for path in sorted((ROOT / "eric_fast").rglob("*.py")):
        parts = path.relative_to(ROOT / "eric_fast").with_suffix("").parts
        if parts == ("__init__",):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
            for name in names:
                head, *rest = name.split(".")
                if head == "eric_fast" and rest:
                    yield parts[0], rest[0]


def test_no_module_imports_upward():
    imports = set(list_imports())
    assert ("capture", "activations") in imports
    for module, imported in imports:
        if module != imported:
            lower, upper = layer_of(imported), layer_of(module)
            same_is_fine = module in TYPES
            assert lower < upper or (same_is_fine and lower == upper), f"{module} imports {imported}"


def test_every_module_has_a_layer():
    found = {path.stem for path in (ROOT / "eric_fast").iterdir() if not path.name.startswith("__")}
    assert found - {"py", "__pycache__"} == {name for names in LAYERS for name in names} - {"__main__"}


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_no_torch_and_no_compiler():
    code = "import sys, eric_fast, eric_fast.cli; print([m for m in ('torch', 'numba', 'triton') if m in sys.modules])"
    assert run_python(code) == "[]"


def test_importing_everything_touches_no_gpu_and_loads_no_compiler():
    code = (
        "import sys, eric_fast\n"
        "for name in eric_fast.__all__: getattr(eric_fast, name)\n"
        "import torch; print(torch.cuda.is_initialized(), 'numba' in sys.modules)"
    )
    assert run_python(code) == "False False"


@pytest.mark.parametrize("name", ["eric_fast", "eric_fast.kernels"])
def test_kernels_belong_to_the_package(name):
    code = f"import importlib, importlib.util as u; importlib.import_module('{name}'); print(u.find_spec('kernels'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "None"


def test_every_public_name_has_a_docstring():
    import eric_fast

    for name in eric_fast.__all__:
        assert getattr(eric_fast, name).__doc__, name
