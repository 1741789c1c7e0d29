import os
import subprocess
import sys
from pathlib import Path

import pytest

from eric_fast.errors import OutputError
from eric_fast.output import REPORT, check_file, check_folder, replace_file, replace_folder, write_json


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "out.txt"
    with pytest.raises(RuntimeError), replace_file(path, force=False) as part:
        part.write_text("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    with replace_file(path, force=False) as part:
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_what_exists_is_kept_without_force_and_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match="exists; give --force"), replace_file(path, force=False):
        pytest.fail("must not be reached")
    with pytest.raises(RuntimeError), replace_file(path, force=True) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    write_json({"a": "é"}, path, force=True)
    assert path.read_text(encoding="utf-8") == '{\n  "a": "é"\n}\n'


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is not a folder"):
        check_file(tmp_path / "file" / "out", force=False)
    for path in (tmp_path / ("a" * 300), tmp_path / ("a" * 300) / "out"):
        with pytest.raises(OutputError, match="can't be written: File name too long"):
            check_file(path, force=False)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a regular file"):
        check_file(tmp_path / "pipe", force=True)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="is a link"):
        check_folder(tmp_path / "link", force=True, kind=REPORT)
    for path in (Path(), Path("/"), Path("..") / Path.cwd().name):
        with pytest.raises(OutputError):
            check_folder(path, force=True, kind=REPORT)


def test_the_longest_legal_name_can_be_written(tmp_path):
    write_json(1, tmp_path / ("a" * 255), force=False)
    with replace_folder(tmp_path / ("b" * 255), force=False, kind=REPORT):
        pass
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_without_permission_is_one_line():
    code = (
        "import os; from pathlib import Path; from eric_fast.output import REPORT, check_file\n"
        "os.geteuid() or os.setuid(65534)  # root may write anywhere\n"
        "check_file(Path('/proc/out'), force=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "OutputError: /proc/out can't be written: no permission in /proc" in done.stderr
