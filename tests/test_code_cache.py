"""Compiled code on disk: found by content and CPU, never read from strangers, missed without harm."""

import ast
import os
import shutil
import subprocess
import sys
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from llvmlite import binding
from numba.core import event

from eric_fast.jit import cache as code
from eric_fast.jit import has_code, sources
from eric_fast.jit.levels import LEVELS, describe_target, find_level
from eric_fast.jit.sources import UNCOMPILED, hash_sources, list_sources

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "eric_fast"
# One small function stands for all.
SMALL = """
from eric_fast.jit import cached_njit
from eric_fast.number import NUMBER

@cached_njit
def add(value):
    return value + NUMBER
"""
ASK = """
import sys, warnings
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
    from eric_fast.small import add
    print(add(1), len(compiled.buffer) // 2)
"""


@pytest.fixture
def checkout(tmp_path):
    """A package with the small function; tests change it."""
    folder = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("code", "__pycache__")
    shutil.copytree(PACKAGE / "jit", folder / "eric_fast" / "jit", ignore=left_out)
    (folder / "eric_fast" / "__init__.py").touch()
    (folder / "eric_fast" / "small.py").write_text(SMALL, encoding="utf-8")
    (folder / "eric_fast" / "number.py").write_text("NUMBER = 1\n", encoding="utf-8")
    return folder


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Import the small function from a checkout, call it, and give what it answers and how often it was compiled."""
    monkeypatch.setattr(code.numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(code, "find_level", lambda: None)

    def import_and_call(checkout):
        for kept in (code._list_folders, code._warn_once, sources._read_source):
            kept.cache_clear()
        package = checkout / "eric_fast"
        monkeypatch.setattr(code, "hash_sources", partial(hash_sources, package=package))
        for name in ("number", "small"):
            spec = spec_from_file_location(f"eric_fast.{name}", package / f"{name}.py")
            monkeypatch.setitem(sys.modules, spec.name, module_from_spec(spec))
            exec(compile((package / f"{name}.py").read_text(), spec.origin, "exec"), vars(sys.modules[spec.name]))
        with event.install_recorder("numba:compile") as compiled:
            answer = sys.modules["eric_fast.small"].add(1)
        return answer, len(compiled.buffer) // 2

    yield import_and_call
    for kept in (code._list_folders, code._warn_once, sources._read_source):
        kept.cache_clear()


def start(checkout, tmp_path, **settings):
    """The same in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "ERIC_FAST_", "XDG_"))}
    environment = {**kept, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": str(tmp_path / "cache"), **settings}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", ASK], env=environment, cwd=tmp_path, text=True, **pipes)


def finish(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert err == ""
    return tuple(map(int, out.split()))


def test_code_is_found_by_content(checkout, tmp_path, ask):
    """In another checkout, too, and at another time; not once a source has changed, but once it is as it was."""
    assert ask(checkout) == (2, 1)
    moved = checkout.rename(tmp_path / "moved")
    source = moved / "eric_fast" / "number.py"
    os.utime(source, (1, 1))
    assert ask(moved) == (2, 0)
    source.write_text("NUMBER = 2\n", encoding="utf-8")  # an upgrade
    assert ask(moved) == (3, 1)
    source.write_text("NUMBER = 1\n", encoding="utf-8")
    assert ask(moved) == (2, 0)
    assert not list(moved.rglob("*.nb?"))  # the package is only read


def test_two_processes_compile_at_once(checkout, tmp_path):
    both = [start(checkout, tmp_path) for _ in range(2)]
    assert [finish(one)[0] for one in both] == [2, 2]
    files = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [name.partition("-")[0] for name in files] == ["small.add"]


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"])
def test_where_nothing_can_be_kept_it_works_and_is_said_once(checkout, tmp_path, ask, monkeypatch, variable):
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "cache")
    monkeypatch.setattr(code.numba.config, "CACHE_DIR", place if variable == "NUMBA_CACHE_DIR" else "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, place)
    with pytest.warns(RuntimeWarning, match=f"can't be kept in {place}.*Not a directory.*as NUMBA_CACHE_DIR") as told:
        assert (ask(checkout), sys.modules["eric_fast.small"].add(1.0)) == ((2, 1), 2.0)
    assert len(told) == 1


def test_without_a_home_nothing_is_kept(checkout, ask, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(code.numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(code.os.path, "expanduser", lambda path: path)  # as it does where nobody knows the user
    with pytest.warns(RuntimeWarning, match="no home directory to keep compiled code in; name a folder") as told:
        assert ask(checkout) == (2, 1)
    assert len(told) == 1


@pytest.mark.parametrize("where", ["folder", "file"])
def test_code_that_others_may_write_to_is_not_read(checkout, tmp_path, ask, where):
    assert ask(checkout) == (2, 1)
    (path,) = (tmp_path / "cache").rglob("*small.add*")
    path.write_bytes(f"cos\nsystem\n(S'touch {tmp_path}/harmed'\ntR.".encode())  # a pickle that runs a command
    (path.parent if where == "folder" else path).chmod(0o777)
    with pytest.warns(RuntimeWarning, match="others may write to it, so it isn't used; remove it") as told:
        assert ask(checkout) == (2, 1)
    assert len(told) == 1
    assert not (tmp_path / "harmed").exists()


def test_code_is_kept_where_a_group_may_write_to_new_files(checkout, ask):
    before = os.umask(0o002)
    try:
        assert ask(checkout) == (2, 1)
    finally:
        os.umask(before)
    assert ask(checkout) == (2, 0)


def test_code_isnt_kept_once_its_sources_were_edited(checkout, ask, monkeypatch):
    """A module that is imported after an edit would give its code to the content before."""
    source = checkout / "eric_fast" / "number.py"
    forget = code.forget_sources
    with monkeypatch.context() as patch:
        patch.setattr(code, "forget_sources", lambda: (source.write_text("NUMBER = 2\n", encoding="utf-8"), forget()))
        assert ask(checkout) == (2, 1)
    source.write_text("NUMBER = 1\n", encoding="utf-8")
    assert ask(checkout) == (2, 1)
    assert ask(checkout) == (2, 0)


def test_code_with_other_settings_is_other_code(checkout, ask, monkeypatch):
    """Whoever looks for an access out of bounds wants no code without checks; and nobody else wants code with them."""
    assert ask(checkout) == (2, 1)
    with monkeypatch.context() as patch:
        patch.setattr(code.numba.config, "BOUNDSCHECK", 1)
        assert ask(checkout) == (2, 1)
        assert ask(checkout) == (2, 0)
    assert ask(checkout) == (2, 0)


def test_a_folder_that_cannot_be_entered_holds_no_code(checkout, tmp_path, ask, monkeypatch):
    monkeypatch.setattr(code.numba.config, "CACHE_DIR", str(tmp_path / ("x" * 300)))  # root may enter any other
    with pytest.warns(RuntimeWarning, match="can't be kept.*File name too long"):
        assert ask(checkout) == (2, 1)
    assert not has_code(sys.modules["eric_fast.small"].add, 1.0)


def test_code_that_another_owns_is_not_read(tmp_path):
    (tmp_path / "a.nbc").write_bytes(b"")
    owner = tmp_path.stat().st_uid
    assert code._CodeFolder(tmp_path, {owner}, 0).is_trusted("a.nbc")
    code._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="isn't used"):
        assert not code._CodeFolder(tmp_path, {owner + 1}, 0).is_trusted("a.nbc")


def test_code_that_was_cut_off_is_compiled_again(checkout, tmp_path, ask):
    assert ask(checkout) == (2, 1)
    (path,) = (tmp_path / "cache").rglob("*small.add*")
    for content in (b"", path.read_bytes()[:2000]):
        path.write_bytes(content)
        assert ask(checkout) == (2, 1)
    assert ask(checkout) == (2, 0)


def test_old_code_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "_MOST_FILES", 3)
    for age in range(4):
        (tmp_path / f"{age}.nbc").touch()
        os.utime(tmp_path / f"{age}.nbc", (1000 - age, 1000 - age))
    code._drop_oldest(code._CodeFolder(tmp_path, set(), 0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.nbc", "1.nbc"]


@pytest.mark.parametrize("level", LEVELS)
def test_carried_code_is_read_on_its_level_alone(checkout, tmp_path, level):
    """Code for a level is made anywhere, and read where `find_level` says so: not on a CPU that the user names."""
    folder = checkout / "eric_fast" / "jit" / "code" / level / code.CODE_TAG
    carry = {code.CARRY_SETTING: str(folder), **describe_target(level)}
    assert finish(start(checkout, tmp_path, **carry)) == (2, 1)
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["small.add"]
    assert not (tmp_path / "cache").exists()
    for settings in ({}, {"NUMBA_CPU_NAME": level}):
        is_carried = find_level() == level and not settings
        assert finish(start(checkout, tmp_path, **settings)) == (2, 0 if is_carried else 1)
        assert (tmp_path / "cache").exists() != is_carried


def test_levels_ask_for_all_that_their_code_uses(monkeypatch):
    """A wrong level is an illegal instruction. Code that was compiled for one isn't mixed with code that asks anew."""
    for name in ("CPU_NAME", "CPU_FEATURES"):
        monkeypatch.setattr(code.numba.config, name, None)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    def find(*features):
        monkeypatch.setattr(binding, "get_host_cpu_features", lambda: dict.fromkeys(features, True))
        find_level.cache_clear()
        return find_level()

    v3, v4 = LEVELS["x86-64-v3"], LEVELS["x86-64-v4"]
    assert find(*v4) == find(*v4, "avx512vbmi") == "x86-64-v4"
    assert find(*v3) == "x86-64-v3"
    assert all(find(*(one for one in v3 if one != lacking)) is None for lacking in v3)
    assert all(find(*(one for one in v4 if one != lacking)) is None for lacking in v4 if lacking != "avx512f")
    assert find() is None
    for name, value in (("CPU_NAME", "haswell"), ("CPU_FEATURES", "")):
        with monkeypatch.context() as patch:
            patch.setattr(code.numba.config, name, value)
            assert find(*v4) is None
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert find(*v4) is None
    find_level.cache_clear()


def test_sources_are_followed_through_all_forms_of_import(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "__init__.py").write_text("")
    (tmp_path / "a" / "b.py").write_text("from eric_fast.c import (\n    one,\n    two,\n)\n")
    (tmp_path / "c.py").write_text("def f():\n    import eric_fast.d as d\n")
    (tmp_path / "d.py").write_text("from eric_fast.errors import EricError\n")
    (tmp_path / "errors.py").write_text("")
    (tmp_path / "top.py").write_text("from eric_fast.a import b as other\n")
    top = str(tmp_path / "top.py")
    assert list_sources(top, tmp_path) == ["a/__init__.py", "a/b.py", "c.py", "d.py", "top.py"]
    other = tmp_path.parent / f"{tmp_path.name}-other"
    shutil.copytree(tmp_path, other)
    assert hash_sources(str(other / "top.py"), other) == hash_sources(top, tmp_path)
    changed = tmp_path.parent / f"{tmp_path.name}-changed"
    shutil.copytree(tmp_path, changed)
    (changed / "d.py").write_text("from eric_fast.errors import EricError  # changed\n")
    assert hash_sources(str(changed / "top.py"), changed) != hash_sources(top, tmp_path)


def test_what_is_left_out_of_sources_is_there():
    package = Path(sources.__file__).parents[1]
    assert [name for name in UNCOMPILED if not any((package / f"{name}{end}").exists() for end in ("", ".py"))] == []


def test_what_is_left_out_of_sources_holds_no_numbers():
    """Compiled code takes in values of global names; what it imports from these rooms has none; the rest is found."""
    files = [path for path in PACKAGE.rglob("*.py") if is_compiled(path)] + [
        path for path in (ROOT / "kernels").rglob("*.py") if is_compiled(path)
    ]
    assert len(files) > 40
    names = {name for path in files for name in list_sources(str(path))}
    for name in names:
        text = (PACKAGE / name).read_text(encoding="utf-8")
        found = {module for groups in sources._IMPORT.findall(text) for module in groups[::2] if module}
        imported = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported.update(taken.name for taken in node.names)
            if isinstance(node, ast.ImportFrom):
                assert not node.level, name
                imported.add(node.module)
                rooms = node.module.split(".")
                if rooms[:1] == ["eric_fast"] and rooms[1:] and rooms[1] in UNCOMPILED:
                    assert not [taken.name for taken in node.names if taken.name.isupper()], name
        assert {module for module in imported if module.split(".")[0] == "eric_fast"} == found, name


def is_compiled(path):
    text = path.read_text(encoding="utf-8")
    return "jit" not in path.parts and ("cached_njit" in text or "numba" in text)


def test_no_function_is_kept_by_numba_alone():
    """Numba's own cache would give old code after an edit of another file."""
    paths = [*PACKAGE.rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    assert [path for path in paths if "cache=True" in path.read_text(encoding="utf-8")] == []
