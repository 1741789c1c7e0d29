"""`python -m tests.kills all|COMMAND,... [N SEED]`: commands that are killed between any two calls that write.

Children are forked from a warm process. Each runs one command whose n-th call of `CALLS` kills it with SIGKILL: a text
is then written by half. What it leaves must be the old output or the new one, whole (of a capture also one that can be
resumed); the same command must then work, give the new output, and leave nothing else. Every call of every command
is tried once, or N of them, drawn with SEED. Then each command runs under a file size limit, on a full disk, in a
folder that it may not write, twice at once, and while the clock jumps. Results go into `tests/fault_results.json`.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eric_fast.demo.run
from tests.command_fixtures import make_program, run_command
from tests.disturb import (
    age_files,
    fill_disk,
    give_up_rights,
    jump_clock,
    keep_answers,
    kill_at_call,
    limit_file_size,
    mount,
    wait_for,
)
from tests.fault_table import record
from tests.kill_cases import CASES

KILLED, REFUSED = -signal.SIGKILL, 2


def fill_in(text: str, made: Path, here: Path) -> list[str]:
    return [part.format(made=made, here=here) for part in text.split()]


class Sweep:
    """One command, with what it finds and what it makes when nothing disturbs it."""

    def __init__(self, name: str, made: Path, root: Path) -> None:
        self.case, self.made, self.root = CASES[name], made, root
        for place in self.case.kept:
            keep_answers(place)
        self.old, here = root / "old", root / "here"
        self.old.mkdir(parents=True)
        for command in self.case.before:
            assert run_command(*fill_in(command, made, self.old)) == 0, command
        self.reset(here)
        assert self.run(here) == 0, name  # warms this process up, too; paths may be in what is written
        self.contents = [read_output(folder / self.case.output) for folder in (self.old, here)]

    def list_arguments(self, here: Path) -> list[str]:
        forced = ["--force"] if self.case.forces and self.case.before else []
        return [*fill_in(self.case.arguments, self.made, here), *forced]

    def reset(self, here: Path) -> None:
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(self.old, here)

    def run(self, here: Path) -> int:
        return run_command(*self.list_arguments(here))

    def start(self, here: Path, prepare: Callable[[], Any] = lambda: None) -> int:
        """Run the command in a child, after `prepare`; gives its process."""
        process = os.fork()
        if process == 0:
            code = 99
            try:
                silence = os.open(self.root / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
                os.dup2(silence, 1), os.dup2(silence, 2)
                sys.stdout = sys.stderr = os.fdopen(silence, "w")
                prepare()
                code = self.run(here)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                sys.stdout.flush()  # and stderr, which is the same
                os._exit(code)
        return process

    def kill_at(self, number: int) -> bool:
        """Kill at this call, counted from 1, and check; false if the command ended before."""
        here = self.root / "here"
        self.reset(here)
        code = wait_for(self.start(here, lambda: kill_at_call(number)))
        where = f"{self.case.arguments}: killed at call {number}"
        if code == 0:
            return False
        assert code == KILLED, (where, code, self.read_said())
        found = read_output(here / self.case.output)
        if not self.case.arguments.startswith(("capture", "pack")):
            assert found in self.contents, f"{where}: neither old nor new"
        code = wait_for(self.start(here))
        assert code == 0 or (code == REFUSED and found == self.contents[1]), (where, code, self.read_said())
        assert read_output(here / self.case.output) == self.contents[1], f"{where}: the next run gives something else"
        assert [path.name for path in here.rglob(".eric-*")] == [], where
        return True

    def check_file_size(self) -> int:
        """No file may grow past a few bytes."""
        here = self.root / "here"
        self.reset(here)
        code = wait_for(self.start(here, limit_file_size))
        assert code == REFUSED, (code, self.read_said())
        assert "can't be written: File too large" in self.read_said(), self.read_said()
        self.check_refused(here)
        return 1

    def check_full_disk(self) -> int:
        """A disk with room for no page, one, two, four and so on, until there is enough."""
        here = self.root / "here"
        for n_tries in range(1, 20):
            shutil.rmtree(here)
            with mount(here, "size=64m") as mounted:
                if not mounted:
                    return 0
                shutil.copytree(self.old, here, dirs_exist_ok=True)
                fill_disk(self.root / "here" / "other", int(2 ** (n_tries - 2)))
                code = wait_for(self.start(here))
                if code:
                    assert code == REFUSED, (code, self.read_said())
                    assert any(words in self.read_said() for words in ("No space left", "on disk, but only"))
                (here / "other").unlink()
                if code:
                    self.check_refused(here)
                assert read_output(here / self.case.output) == self.contents[1]
            here.mkdir(exist_ok=True)
            if not code:
                return n_tries
        raise AssertionError("64 MB are not enough")

    def check_refused(self, here: Path) -> None:
        """What a refused command left: the old output, and no obstacle."""
        if not self.case.arguments.startswith(("capture", "pack")):  # these can be resumed
            assert read_output(here / self.case.output) == self.contents[0]
        assert wait_for(self.start(here)) == 0, self.read_said()
        assert read_output(here / self.case.output) == self.contents[1]

    def check_read_only(self) -> int:
        here = self.root / "here"
        self.reset(here)
        for folder in (self.root, here):
            folder.chmod(0o755)
        code = wait_for(self.start(here, give_up_rights))
        assert code == REFUSED, (code, self.read_said())
        assert "can't be written" in self.read_said(), self.read_said()
        assert read_output(here / self.case.output) == self.contents[0]
        return 1

    def check_two(self) -> int:
        here = self.root / "here"
        self.reset(here)
        codes = sorted(map(wait_for, [self.start(here), self.start(here)]))
        assert codes in ([0, 0], [0, REFUSED]), (codes, self.read_said())
        assert read_output(here / self.case.output) == self.contents[1]
        assert [path.name for path in here.rglob(".eric-*")] == []
        return 1

    def check_clock(self) -> int:
        """A clock that jumps by ten years, and files of 1970 and 2100: the same bytes."""
        here = self.root / "here"
        self.reset(here)
        age_files(self.made)
        age_files(here)
        assert wait_for(self.start(here, jump_clock)) == 0, self.read_said()
        assert read_output(here / self.case.output) == self.contents[1]
        return 1

    def read_said(self) -> str:
        return (self.root / "said").read_text(errors="replace")[-2000:]


def read_output(path: Path) -> Any:
    """What a file or a folder holds, without times; None where it is not there."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and ".eric-" not in str(file))
        return {str(file.relative_to(path)): read_output(file) for file in files}
    if not path.exists():
        return None
    content = path.read_bytes()
    if path.name in ("metrics.json", "k.json") and content.startswith(b"{"):
        return list(json.loads(content))  # times differ
    return content


def draw_kills(names: tuple[str, ...], made: Path, root: Path, n_kills: int, seed: int) -> Iterator[str]:
    """So many kills of these commands, at calls that a seed draws."""
    rng = random.Random(seed)
    sweeps = [Sweep(name, made, root / name.replace(" ", "-")) for name in names]
    for _ in range(n_kills):
        sweep, number = rng.choice(sweeps), rng.randint(1, 20)
        if not sweep.kill_at(number):
            assert sweep.kill_at(1 + number % 5), sweep.case
        yield f"{sweep.case.arguments} at call {number}"


def sweep_command(sweep: Sweep) -> dict[str, int]:
    """Kill it at each call, then disturb it in every other way; how often each was done."""
    n_calls = 0
    while sweep.kill_at(n_calls + 1):
        n_calls += 1
    return {
        "kills": n_calls,
        "file size limit": sweep.check_file_size(),
        "full disk": sweep.check_full_disk(),
        "read-only folder": sweep.check_read_only(),
        "two writers": sweep.check_two(),
        "clock": sweep.check_clock(),
    }


def main() -> None:
    chosen, *numbers = sys.argv[1:]
    names = tuple(CASES) if chosen == "all" else tuple(chosen.split(","))
    eric_fast.demo.run.N_EPOCHS = 1  # how well it is trained doesn't matter
    n_all = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "made").mkdir()
        make_program(root / "made")
        if numbers:
            print(f"{len(list(draw_kills(names, root / 'made', root, *map(int, numbers))))} kills, no failure")
            return
        for name in names:
            begin = time.perf_counter()
            tries = sweep_command(Sweep(name, root / "made", root / name.replace(" ", "-")))
            n_all += tries["kills"]
            record("commands", name, tries)
            told = ", ".join(f"{kind} {n}" for kind, n in tries.items())
            print(f"{name}: {told}; 0 failures; {time.perf_counter() - begin:.0f} s", flush=True)
    print(f"{n_all} kills, no failure")


if __name__ == "__main__":
    main()
