"""How the code hangs together: nothing imports upward or in a circle, and importing costs nothing."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests import structure

ROOT = Path(__file__).resolve().parents[1]
# From the bottom up. A room imports only rooms of lower floors; the modules of one room import each other.
FLOORS = (
    ("version", "visible"),
    ("errors", "progress", "jit"),
    ("processes", "results"),
    ("tensors",),
    ("bits", "output", "plan"),
    ("program",),
    ("compile", "kernels", "store", "text"),
    ("quantise",),
    ("evaluator",),
    ("capture", "extract", "label_score", "score"),
    ("class_groups", "training"),
    ("analyse", "explain", "module", "runs"),
    ("chains", "compare", "table"),
    ("frontends", "show"),
    ("demo", "warm_up"),
    ("cli",),
    ("__main__",),
)


@pytest.fixture(scope="module")
def modules():
    return structure.list_modules(ROOT)


@pytest.fixture(scope="module")
def imports(modules):
    found = structure.list_imports(modules)
    assert len(found) > 1000
    return found


def floor_of(room):
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_nothing_imports_upward(imports):
    for found in imports:
        importer, imported = (
            structure.room_of(name).removeprefix("eric_fast.") for name in (found.module, found.imported)
        )
        if importer not in (imported, "bench"):
            assert floor_of(imported) < floor_of(importer), f"{found.module}:{found.line} imports {found.imported}"


def test_every_room_has_a_floor(modules):
    rooms = {structure.room_of(name).removeprefix("eric_fast.") for name in modules} - {"eric_fast", "bench"}
    assert rooms == {room for rooms in FLOORS for room in rooms}


def test_no_circles_between_modules(imports):
    assert structure.find_circles({(found.module, found.imported) for found in imports}) == []


def test_the_reading_of_imports_sees_what_it_should(tmp_path):
    package = tmp_path / "eric_fast"
    package.mkdir()
    (tmp_path / "kernels").mkdir()
    (tmp_path / "bench").mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    from eric_fast import b\n")
    (package / "b.py").write_text("import importlib\nimportlib.import_module('eric_fast.a')\n")
    (package / "c.py").write_text(
        "from importlib import import_module\nname = 'b'\nimport_module(f'eric_fast.{name}')\n"
    )
    (tmp_path / "kernels" / "__init__.py").write_text("from eric_fast.a import f\n")
    found = structure.list_imports(structure.list_modules(tmp_path))
    assert {(i.module, i.imported, i.line) for i in found} == {
        ("eric_fast.a", "eric_fast.b", 2),
        ("eric_fast.b", "eric_fast.a", 2),
        *(("eric_fast.c", f"eric_fast.{name}", 3) for name in ("a", "b", "kernels")),
        ("eric_fast.kernels", "eric_fast.a", 1),
    }
    assert structure.find_circles({(i.module, i.imported) for i in found}) == [["eric_fast.a", "eric_fast.b"]]


def test_every_name_is_defined_once(modules):
    """Engines define the same operations, and share other words; `evaluate` is a command, too."""

    def place_of(module):
        match module.removeprefix("eric_fast.").split("."):
            case ["kernels", *folders]:
                return f"kernels.{folders[0]}" if folders and folders[0] in ("cpu", "gpu", "reference") else "kernels"
        return module

    found = structure.list_public_names({name: path for name, path in modules.items() if name.startswith("eric_fast")})
    usual = {"logger", "main", "evaluate", "load"}
    twice = {name: where for name, where in found.items() if len(where) > 1 and name not in usual}
    engines = {name: {place_of(module) for module in where} for name, where in twice.items()}
    assert {name: places for name, places in engines.items() if not all("kernels" in place for place in places)} == {}
    for name, where in twice.items():
        modules_of_gpu = [module for module in where if module.startswith("eric_fast.kernels.gpu")]
        n_wrapped = len(modules_of_gpu) - 1 if "eric_fast.kernels.gpu.lines" in modules_of_gpu else 0  # for Triton
        assert len(where) - n_wrapped == len(engines[name]), (name, where)


def list_undescribed(modules):
    """Arguments of jitted functions whose type no signature says and no docstring: of the module, or what it names."""
    trees = [(name, ast.parse(path.read_text(encoding="utf-8"))) for name, path in modules.items()]
    docstrings = defaultdict(str)
    for node in (node for _, tree in trees for node in tree.body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            docstrings[node.name] += ast.get_docstring(node) or ""
    for module, tree in trees:
        for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
            marks = [ast.unparse(mark).partition("(")[0] for mark in function.decorator_list]
            if not {"cached_njit", "njit", "triton.jit"}.intersection(marks):
                continue
            text = f"{ast.get_docstring(tree)} {ast.get_docstring(function)}"
            text += " ".join(docstrings[name] for name in re.findall(r"`(?:\w+\.)?(\w+)`", text))
            for name, kind in ((arg.arg, arg.annotation and ast.unparse(arg.annotation)) for arg in function.args.args):
                # Triton's have no type: pointers, tiles, masks and offsets are known by what their names begin with.
                is_vague = kind.startswith(("Any", "NDArray")) if kind else name[:2] in ("p_", "b_", "m_", "o_")
                if is_vague and not re.search(rf"\b({name}|{name.removeprefix('p_')})\b", text):
                    yield f"{module}.{function.name}: {name}"


def test_jitted_functions_say_what_their_arguments_are(modules):
    jitted = {name: path for name, path in modules.items() if re.match(r"eric_fast\.(compile|kernels)\b", name)}
    assert list(list_undescribed(jitted)) == []


def test_an_argument_that_is_not_described_is_found(tmp_path):
    code = "@cached_njit\ndef f(x: Any, n: int, y: Any):\n    'As `g`.'\ndef g():\n    'y: int8 `[n]`.'\n"
    (tmp_path / "a.py").write_text(code)
    assert list(list_undescribed({"a": tmp_path / "a.py"})) == ["a.f: x"]


def test_the_architecture_page_names_what_is_there():
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.pyi?)?)`", page))
    assert len(paths) > 20
    missing = [path for path in paths if not any((root / path).exists() for root in (ROOT, ROOT / "eric_fast"))]
    assert missing == []


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_no_torch_and_no_compiler():
    code = "import sys, eric_fast, eric_fast.cli; print([m for m in ('torch', 'numba', 'triton') if m in sys.modules])"
    assert run_python(code) == "[]"


def test_importing_everything_touches_no_gpu_and_loads_no_compiler_and_no_other_tool():
    code = (
        "import sys, eric_fast, eric_fast.frontends.registry\n"
        "for name in eric_fast.__all__: getattr(eric_fast, name)\n"
        "names = ('numba', 'xgboost', 'lightgbm', 'catboost', 'onnx', 'treelite', 'imodels', 'torchlogix')\n"
        "import torch; print(torch.cuda.is_initialized(), [name for name in names if name in sys.modules])"
    )
    assert run_python(code) == "False []"


@pytest.mark.parametrize("name", ["eric_fast", "eric_fast.kernels"])
def test_kernels_belong_to_the_package(name):
    code = f"import importlib, importlib.util as u; importlib.import_module('{name}'); print(u.find_spec('kernels'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "None"


def test_every_public_name_has_a_docstring():
    import eric_fast

    for name in eric_fast.__all__:
        assert getattr(eric_fast, name).__doc__, name
