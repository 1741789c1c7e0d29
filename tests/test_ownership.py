"""What may be replaced, and what stays as it is: owners, modes, links, and what others put beside ours."""

import errno
import json
import os
import subprocess
import sys

import pytest

from eric_fast.errors import OutputError
from eric_fast.output import CAPTURE, DEMO, REPORT, check_folder, lock_file, replace_file, replace_folder, write_marker
from eric_fast.output import rename as renaming
from eric_fast.output.kinds import name_shard


def fill(path, text, *, force=True):
    with replace_folder(path, force=force, kind=REPORT) as new:
        (new / "deep").mkdir()
        (new / "deep" / "a.txt").write_text(text)
        write_marker({"figure": 1}, new, REPORT)


def write(path, text, **options):
    with replace_file(path, force=True, **options) as part:
        part.write_text(text)


def list_names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture(params=["in one step", "in two steps"])
def steps(request, monkeypatch):
    """The system's exchange, and the second best where it has none."""
    if request.param == "in two steps":
        monkeypatch.setattr(renaming, "_find_renameat2", lambda: None)
    elif renaming._find_renameat2() is None:
        pytest.skip("no renameat2 here")


@pytest.mark.usefixtures("steps")
def test_a_folder_of_ours_is_replaced_whole(tmp_path):
    fill(tmp_path / "r", "old", force=False)
    (tmp_path / "r").chmod(0o750)
    with pytest.raises(OutputError, match="exists; give --force"):
        fill(tmp_path / "r", "new", force=False)
    with pytest.raises(RuntimeError), replace_folder(tmp_path / "r", force=True, kind=REPORT):
        raise RuntimeError
    assert (tmp_path / "r" / "deep" / "a.txt").read_text() == "old"
    fill(tmp_path / "r", "new")
    assert list_names(tmp_path) == ["r/deep/a.txt", "r/report.json"]
    assert (tmp_path / "r" / "deep" / "a.txt").read_text() == "new"
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o750
    assert json.loads((tmp_path / "r" / "report.json").read_text()) == {
        "made_by": "eric_fast report",
        "figure": 1,
        "files": ["deep/a.txt", "report.json"],
    }


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("strange", ["thesis.txt", "deep/thesis.txt", "thesis/c.txt", "__pycache__/b.cpython-311.pyc"])
def test_a_folder_that_holds_something_else_is_refused_by_its_name(tmp_path, strange):
    fill(tmp_path / "r", "old")
    (tmp_path / "r" / strange).parent.mkdir(exist_ok=True)
    (tmp_path / "r" / strange).write_text("precious")
    with pytest.raises(OutputError, match=f"also holds '{strange.removesuffix('/c.txt')}', which eric_fast didn't"):
        fill(tmp_path / "r", "new")
    assert list_names(tmp_path / "r") == sorted(["deep/a.txt", "report.json", strange])


@pytest.mark.usefixtures("steps")
def test_what_comes_while_the_new_folder_is_made_is_not_removed(tmp_path):
    fill(tmp_path / "r", "old")
    with (
        pytest.raises(OutputError, match="also holds 'late.txt'"),
        replace_folder(tmp_path / "r", force=True, kind=REPORT) as new,
    ):
        write_marker({}, new, REPORT)
        (tmp_path / "r" / "late.txt").write_text("precious")
    assert list_names(tmp_path) == ["r/deep/a.txt", "r/late.txt", "r/report.json"]


def test_a_link_in_the_place_of_a_folder_is_not_ours(tmp_path):
    fill(tmp_path / "r", "old")
    (tmp_path / "r" / "deep" / "a.txt").unlink()
    (tmp_path / "r" / "deep").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "r" / "deep").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="also holds 'deep'"):
        check_folder(tmp_path / "r", force=True, kind=REPORT)


@pytest.mark.parametrize("kind", [CAPTURE, DEMO, REPORT])
@pytest.mark.parametrize(
    "content",
    [
        *("", "{}", "[]", "null", "{" * 3, '{"files": ["thesis.txt"]}', '{"made_by": "eric_fast report", "files": 3}'),
        *('{"made_by": "eric_fast demo", "files": [3]}', '{"format": 2, "shards": [], "n_listed": "1"}', "\udcff"),
        *(
            '{"made_by": "hand", "files": ["thesis.txt"]}',
            '{"format": 2, "shards": [], "n_listed": 1, "shard_size": 0}',
        ),
    ],
)
def test_a_marker_that_says_something_else_makes_no_folder_ours(tmp_path, kind, content):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / kind.marker).write_text(content, errors="surrogateescape")
    (tmp_path / "site" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match=f"is not a {kind.name} of eric_fast"):
        check_folder(tmp_path / "site", force=True, kind=kind)


def test_a_capture_lists_its_shards_even_before_it_is_finished(tmp_path):
    manifest = {"format": 2, "shards": [], "n_listed": 2049, "shard_size": 1024}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for name in (name_shard(0), "shard-00002.json", ".eric-lock"):
        (tmp_path / name).touch()
    check_folder(tmp_path, force=True, kind=CAPTURE)
    (tmp_path / name_shard(3)).touch()
    check_folder(tmp_path, force=True, kind=CAPTURE, keeps_others=True)
    with pytest.raises(OutputError, match="also holds 'shard-00003.safetensors'"):
        check_folder(tmp_path, force=True, kind=CAPTURE)


def test_what_python_compiled_from_ours_is_ours(tmp_path):
    with replace_folder(tmp_path / "d", force=False, kind=DEMO) as new:
        (new / "net.py").touch()
        write_marker({}, new, DEMO)
    (tmp_path / "d" / "__pycache__").mkdir()
    (tmp_path / "d" / "__pycache__" / "net.cpython-311.pyc").touch()
    check_folder(tmp_path / "d", force=True, kind=DEMO)


def test_mode_and_links_of_a_file_stay(tmp_path, caplog):
    path, link, second = tmp_path / "p", tmp_path / "l", tmp_path / "h"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to("p")
    write(link, "through the link")
    assert (link.is_symlink(), path.read_text()) == (True, "through the link")
    assert path.stat().st_mode & 0o777 == 0o640
    assert caplog.messages == []
    os.link(path, second)
    write(path, "to both")
    assert (path.read_text(), second.read_text(), path.stat().st_nlink) == ("to both", "to both", 2)
    assert "more than one name (hard links)" in caplog.messages[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h", "l", "p"]
    (tmp_path / "new").symlink_to("not yet")
    write(tmp_path / "new", "created")
    assert (tmp_path / "not yet").read_text() == "created"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(tmp_path):
    path = tmp_path / "p"
    path.write_text("old")
    os.chown(path, 1234, 1235)
    path.chmod(0o604)
    write(path, "new")
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1234, 1235, 0o604)


def test_a_file_that_another_wrote_first_stays(tmp_path):
    refused = pytest.raises(OutputError, match="was written by another process meanwhile")
    with refused, replace_file(tmp_path / "f", force=False) as part:
        part.write_text("mine")
        (tmp_path / "f").write_text("theirs")
    assert (tmp_path / "f").read_text() == "theirs"
    with refused, replace_folder(tmp_path / "r", force=False, kind=REPORT):
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / "theirs").touch()
    assert list_names(tmp_path) == ["f", "r/theirs"]


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("late", [False, True])
def test_a_change_meanwhile_is_not_lost(tmp_path, monkeypatch, late):
    """`late`: by somebody who knows no lock, between our look and our exchange."""
    path = tmp_path / "p"
    path.write_text("old")
    with lock_file(path) as content:
        if not late:
            path.write_text("theirs")
        elif renaming._find_renameat2() is None:
            return
        else:
            plain = renaming._rename

            def change_first(*names):
                if path.read_text() == "old":
                    path.write_text("theirs")
                return plain(*names)

            monkeypatch.setattr(renaming, "_rename", change_first)
        with pytest.raises(OutputError, match="changed meanwhile"):
            write(path, "mine", expected=content)
    assert path.read_text() == "theirs"


def test_one_lock_at_a_time(tmp_path, monkeypatch):
    path = tmp_path / "p"
    path.write_text("0")
    code = (
        "import sys; from pathlib import Path; from eric_fast.output import lock_file, replace_file\n"
        "path = Path(sys.argv[1])\n"
        "for _ in range(20):\n"
        "    with lock_file(path) as content, replace_file(path, force=True, expected=content) as part:\n"
        "        part.write_text(str(int(content) + 1))\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert path.read_text() == "60"
    monkeypatch.setattr("eric_fast.output.rewrite._SECONDS", 0.0)
    with lock_file(path), pytest.raises(OutputError, match="being changed by another process"), lock_file(path):
        pytest.fail("must not be reached")


def kill_at(function, path, monkeypatch):
    """Fork a child that fills `path` anew and dies where it calls this function of `renaming` or `os` or `Path`."""
    pid = os.fork()
    if pid == 0:
        owner, name = function
        monkeypatch.setattr(owner, name, lambda *_, **__: os._exit(9))
        try:
            if path.is_file():
                write(path, "new")
            with replace_folder(path, force=True, kind=REPORT) as new:
                (new / "deep").mkdir()
                (new / "deep" / "a.txt").write_text("new")
                (new / "report.json").write_bytes((path / "report.json").read_bytes())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.usefixtures("steps")
def test_the_next_run_recovers_what_a_killed_one_left(tmp_path, monkeypatch):
    from eric_fast.output import leftovers, replace

    fill(tmp_path / "r", "old")
    for function in ((replace, "flush_to_disk"), (replace, "rename_to_new"), (leftovers.shutil, "rmtree")):
        if function[1] == "rename_to_new" and renaming._find_renameat2() is not None:
            continue  # one step has no middle
        kill_at(function, tmp_path / "r", monkeypatch)
        assert list(tmp_path.glob(".eric-new-*"))
        with pytest.raises(OutputError, match="r exists"):
            check_folder(tmp_path / "r", force=False, kind=REPORT)
        assert [path.name for path in tmp_path.iterdir()] == ["r"]
        assert (tmp_path / "r" / "deep" / "a.txt").read_text() == ("new" if function[1] == "rmtree" else "old")


def test_a_file_that_is_being_written_over_is_completed(tmp_path, monkeypatch):
    from eric_fast.output import leftovers

    path = tmp_path / "p"
    path.write_text("old")
    os.link(path, tmp_path / "h")
    kill_at((leftovers.os, "write"), path, monkeypatch)
    assert path.read_text() == ""  # the middle
    write(tmp_path / "other", "x")
    assert (path.read_text(), (tmp_path / "h").read_text()) == ("new", "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h", "other", "p"]


def test_a_full_disk_brings_the_old_content_back(tmp_path, monkeypatch):
    from eric_fast.output import leftovers

    path = tmp_path / "p"
    path.write_text("old")
    os.link(path, tmp_path / "h")
    plain, calls = os.write, []

    def fail_first(handle, content):
        calls.append(content)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(handle, content)

    monkeypatch.setattr(leftovers.os, "write", fail_first)
    with pytest.raises(OutputError, match="No space left"):
        write(path, "new")
    assert path.read_text() == "old"


def test_temporary_folders_of_the_living_and_of_others_stay(tmp_path):
    strange = tmp_path / ".eric-new-strange"
    strange.mkdir()
    (strange / "thesis").touch()
    (tmp_path / ".eric-new-link").symlink_to(strange)
    with replace_file(tmp_path / "a", force=False) as part:
        part.write_text("a")
        write(tmp_path / "b", "b")
        assert part.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".eric-new-link", ".eric-new-strange", "a", "b"]


def test_leftovers_name_no_path_outside(tmp_path):
    inner = tmp_path / "inner"
    (inner / ".eric-new-x" / "old").mkdir(parents=True)
    for name in ("../stolen", "/tmp/stolen", "..", "."):
        (inner / ".eric-new-x" / "old").mkdir(parents=True, exist_ok=True)
        (inner / ".eric-new-x" / "name").write_text(name)
        write(inner / "a", "a")
        assert sorted(p.name for p in inner.iterdir()) == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["inner"]
