"""Count how the code hangs together, from its imports alone: `python -m tests.structure [ROOT]`.

A *room* is a folder of product code with everything in it, or a module beside the folders. An *arrow* means that one
room imports another, however many times. Imports inside functions and by `importlib` count. A *circle* is a set of
modules that all import one another, directly or not. An arrow runs *upward* if rooms stand in floors only without it.
"""

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

PACKAGE = "eric_fast"
PRODUCT = ("eric_fast", "kernels", "bench")  # the folders that are looked at
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
LOADERS = ("import_module", "__import__", "find_spec")


@dataclass(frozen=True)
class Import:
    """One module that imports another, and the line on which it does."""

    module: str
    imported: str
    line: int


def list_modules(root: Path) -> dict[str, Path]:
    """Module name -> file, of all product code; `kernels` is a part of the package."""
    modules = {}
    for top in PRODUCT:
        prefix = [PACKAGE, top] if top == "kernels" else [top]
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root / top).with_suffix("").parts
            if top == PACKAGE and parts[0] == "kernels":
                continue  # a link to the folder beside the package
            modules[".".join([*prefix, *parts]).removesuffix(".__init__")] = path
    return modules


def room_of(module: str) -> str:
    """The folder of the package that a module lies in, with all folders in it, or the module where that is the top.

    The command of a folder belongs to the package's own.
    """
    if module.startswith(PACKAGE) and module.endswith(".__main__"):
        return f"{PACKAGE}.__main__"
    return ".".join(module.split(".")[: 2 if module.startswith(PACKAGE) else 1])


def list_imports(modules: Mapping[str, Path]) -> list[Import]:
    """All imports of one product module by another; a name that a package re-exports counts as its own module's."""
    faces = {name: dict(_list_names(name, path)) for name, path in modules.items() if path.name == "__init__.py"}
    found = []
    for module, path in modules.items():
        for imported, line in _read_imports(ast.parse(path.read_text(encoding="utf-8")), module, path, modules):
            target = _resolve(imported, modules, faces)
            if target is not None and target != module:
                found.append(Import(module, target, line))
    return found


def find_circles(arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The sets of names that reach one another, each sorted: Tarjan's strongly connected components of two or more."""
    after: dict[str, set[str]] = {}
    for tail, head in arrows:
        after.setdefault(tail, set()).add(head)
        after.setdefault(head, set())
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(after[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            circle = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(circle) > 1:
                circles.append(sorted(circle))

    for name in sorted(after):
        if name not in index:
            visit(name)
    return circles


def find_upward(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """A smallest set of arrows without which there is no circle, by trying all sets; circles of rooms are small."""
    upward: set[tuple[str, str]] = set()
    for circle in find_circles(arrows):
        inside = sorted((tail, head) for tail, head in arrows if tail in circle and head in circle)
        for n in range(1, len(inside) + 1):
            fits = (set(some) for some in combinations(inside, n) if not find_circles(set(inside) - set(some)))
            if (some := next(fits, None)) is not None:
                upward |= some
                break
    return upward


def list_public_names(modules: Mapping[str, Path]) -> dict[str, list[str]]:
    """Name -> the modules that define it at their top, but for names with an underscore in front."""
    found: dict[str, list[str]] = {}
    for module, path in modules.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name in _list_defined(node):
                if not name.startswith("_"):
                    found.setdefault(name, []).append(module)
    return found


def count_code_lines(path: Path) -> int:
    """Lines of a file without blank lines, comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                docstrings |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


def _list_defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    parts = (part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target]))
    return [part.id for part in parts if isinstance(part, ast.Name)]


def _list_names(module: str, path: Path) -> Iterator[tuple[str, str]]:
    """What a package's face imports: name -> where it comes from."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{_absolute(node, module, path)}.{alias.name}"


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def _read_imports(tree: ast.AST, module: str, path: Path, modules: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, down to the name taken from a module, and the lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{_absolute(node, module, path)}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in LOADERS:
                yield from ((name, node.lineno) for name in _list_named(node.args[0], modules))


def _list_named(node: ast.expr, modules: Mapping[str, Path]) -> list[str]:
    """The modules that a text can name: a value in an f-string may be any word."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
    texts = (part.value if isinstance(part, ast.Constant) else None for part in parts)
    pattern = "".join(re.escape(text) if isinstance(text, str) else r"\w+" for text in texts)
    return [name for name in modules if re.fullmatch(pattern, name)]


def _resolve(name: str, modules: Mapping[str, Path], faces: Mapping[str, Mapping[str, str]]) -> str | None:
    """The product module that a dotted name is of, through the faces of packages; None for others' modules."""
    while True:
        if name in modules:
            return name
        parent, _, last = name.rpartition(".")
        if parent in faces and last in faces[parent] and faces[parent][last] != name:
            name = faces[parent][last]
        elif not parent:
            return None
        else:
            name = parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    modules = list_modules(parser.parse_args().root)
    imports = list_imports(modules)
    rooms = {room_of(module) for module in modules}
    arrows = {(room_of(i.module), room_of(i.imported)) for i in imports}
    arrows = {(tail, head) for tail, head in arrows if tail != head}
    circles = find_circles({(i.module, i.imported) for i in imports})
    upward = find_upward(arrows)
    print(f"{len(modules)} modules in {len(rooms)} rooms; {len(arrows)} arrows, {len(upward)} of them upward")
    for tail, head in sorted(upward):
        print(f"  upward: {tail} -> {head}")
    n_lines = sum(count_code_lines(path) for name, path in modules.items() if name.startswith(PACKAGE))
    print(f"{n_lines:,} lines of code in {PACKAGE}, without blank lines, comments and docstrings")
    print(f"{len(circles)} circles of modules")
    for circle in circles:
        print(f"  {', '.join(circle)}")


if __name__ == "__main__":
    main()
