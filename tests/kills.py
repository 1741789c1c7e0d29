"""`python -m tests.kills all|COMMAND,... [N SEED]`: commands that are killed between any two calls that write.

Children are forked from a warm process. Each runs one command whose n-th call of `CALLS` kills it with SIGKILL: a text
is then written by half. What it leaves must be the old output or the new one, whole (of a capture also one that can be
resumed); the same command must then work, give the new output, and leave nothing else. Every call of every command
is tried once, or N of them, drawn with SEED. Then each command runs under a file size limit, in a folder that it may
not write, and twice at once.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from eric_fast.output import rename
from tests.command_fixtures import make_program, run_command

CALLS = ("rename", "replace", "fsync", "write", "ftruncate", "mkdir", "unlink", "rmdir", "link", "chmod")  # of os
SECONDS = 120  # of one command
KILLED, REFUSED = -signal.SIGKILL, 2
NOBODY = 65534


class Case(NamedTuple):
    """A command that writes.

    Attributes:
        arguments: with `{made}`, where its inputs are, and `{here}`, where it writes.
        output: what it writes, in `{here}`.
        before: commands that make the old output; none: there is none.
        forces: whether `--force` replaces an old output.
    """

    arguments: str
    output: str
    before: tuple[str, ...] = ()
    forces: bool = True


NET = "{made}/net.py:build"
PROGRAM = "convert {made}/p.lp -o {here}/"  # an old output of any name
CASES = {
    "capture": Case(f"capture {NET} digits/test -o {{here}}/c --limit 60", "c", forces=False),
    "capture again": Case(
        f"capture {NET} digits/test -o {{here}}/c --limit 60",
        "c",
        (f"capture {NET} digits/test -o {{here}}/c --limit 50",),
    ),
    "pack": Case("pack {made}/test -o {here}/b --threshold mean", "b", forces=False),
    "extract": Case("extract {made}/train -o {here}/p.lp --min-leaf 20", "p.lp", (PROGRAM + "p.lp",)),
    "convert": Case("convert {made}/p.lp -o {here}/p.c --format c", "p.c", (PROGRAM + "p.c",)),
    "predict": Case("predict {made}/p.lp {made}/test -o {here}/t.csv", "t.csv", (PROGRAM + "t.csv",)),
    "label": Case("label {here}/p.lp 1:2=wheel", "p.lp", (PROGRAM + "p.lp",), forces=False),
    "compare": Case(
        "compare {made}/p.lp {made}/p.lp {made}/test --json {here}/d.json",
        "d.json",
        (PROGRAM + "d.json",),
    ),
    "chain": Case(
        "chain {made}/train {made}/test --min-leaf 20 --json {here}/k.json",
        "k.json",
        (PROGRAM + "k.json",),
    ),
    "explain": Case(
        f"explain digits/test:3 --program {{made}}/p.lp --model {NET} --png {{here}}/x.svg",
        "x.svg",
        (PROGRAM + "x.svg",),
    ),
    "report": Case(
        "report {made}/test --program {made}/p.lp -o {here}/r",
        "r",
        ("report {made}/test --program {made}/p.lp -o {here}/r --start 3",),
    ),
    "demo": Case("demo -o {here}/demo", "demo", forces=False),
}
QUICK = ("capture", "pack", "convert", "predict", "label")


def fill_in(text: str, made: Path, here: Path) -> list[str]:
    return [part.format(made=made, here=here) for part in text.split()]


class Sweep:
    """One command, with what it finds and what it makes when nothing disturbs it."""

    def __init__(self, name: str, made: Path, root: Path) -> None:
        self.case, self.made, self.root = CASES[name], made, root
        self.old, self.new = root / "old", root / "new"
        self.old.mkdir(parents=True)
        for command in self.case.before:
            assert run_command(*fill_in(command, made, self.old)) == 0, command
        self.new.mkdir()
        self.reset(self.new)
        assert self.run(self.new) == 0, name  # warms this process up, too
        self.contents = [read_output(folder / self.case.output) for folder in (self.old, self.new)]

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
            finally:
                sys.stdout.flush()  # and stderr, which is the same
                os._exit(code)
        return process

    def kill_at(self, number: int) -> bool:
        """Kill at this call, counted from 1, and check; false if the command ended before."""
        here = self.root / "here"
        self.reset(here)
        code = wait(self.start(here, lambda: kill_at_call(number)))
        where = f"{self.case.arguments}: killed at call {number}"
        if code == 0:
            return False
        assert code == KILLED, (where, code, self.read_said())
        found = read_output(here / self.case.output)
        if not self.case.arguments.startswith(("capture", "pack")):
            assert found in self.contents, f"{where}: neither old nor new"
        code = wait(self.start(here))
        assert code == 0 or (code == REFUSED and found == self.contents[1]), (where, code, self.read_said())
        assert read_output(here / self.case.output) == self.contents[1], f"{where}: the next run gives something else"
        assert [path.name for path in here.rglob(".eric-*")] == [], where
        return True

    def check_file_size(self) -> str:
        """A file that may not grow stands for a full disk."""
        here = self.root / "here"
        self.reset(here)
        code = wait(self.start(here, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))))
        assert code == REFUSED, (code, self.read_said())
        assert "can't be written: File too large" in self.read_said(), self.read_said()
        if not self.case.arguments.startswith("capture"):
            assert read_output(here / self.case.output) == self.contents[0]
        assert wait(self.start(here)) == 0, self.read_said()
        assert read_output(here / self.case.output) == self.contents[1]
        return "file size limit"

    def check_read_only(self) -> str:
        here = self.root / "here"
        self.reset(here)
        for folder in (self.root, here):
            folder.chmod(0o755)
        code = wait(self.start(here, give_up_rights))
        assert code == REFUSED, (code, self.read_said())
        assert "can't be written" in self.read_said(), self.read_said()
        assert read_output(here / self.case.output) == self.contents[0]
        return "read-only folder"

    def check_two(self) -> str:
        here = self.root / "here"
        self.reset(here)
        codes = sorted(map(wait, [self.start(here), self.start(here)]))
        assert codes in ([0, 0], [0, REFUSED]), (codes, self.read_said())
        assert read_output(here / self.case.output) == self.contents[1]
        assert [path.name for path in here.rglob(".eric-*")] == []
        return "two writers"

    def read_said(self) -> str:
        return (self.root / "said").read_text(errors="replace")[-2000:]


def give_up_rights() -> None:
    """Root may write anywhere; nobody may not."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)


def kill_at_call(number: int) -> None:
    """From now on, the call of this number kills this process."""
    n_calls = 0

    def count() -> bool:
        nonlocal n_calls
        n_calls += 1
        return n_calls == number

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(SECONDS)  # until it arrives

    def watch(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if count():
                die()
            return function(*arguments, **options)

        return call

    def write_half(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, content: Any, *arguments: Any, **options: Any) -> Any:
            if count():
                function(path, content[: len(content) // 2], *arguments, **options)
                die()
            return function(path, content, *arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, watch(getattr(os, name)))
    found = rename._find_renameat2()
    exchange = None if found is None else watch(found)
    rename._find_renameat2 = lambda: exchange  # type: ignore[assignment]
    Path.write_text = write_half(Path.write_text)  # type: ignore[method-assign]
    Path.write_bytes = write_half(Path.write_bytes)  # type: ignore[method-assign]


def wait(process: int) -> int:
    """The exit code of a child, negative where a signal killed it."""
    end = time.monotonic() + SECONDS
    while not (found := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            raise AssertionError("a command hangs")
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(found[1])


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


def main() -> None:
    chosen, *numbers = sys.argv[1:]
    names = tuple(CASES) if chosen == "all" else tuple(chosen.split(","))
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
            sweep = Sweep(name, root / "made", root / name.replace(" ", "-"))
            n_calls = 0
            while sweep.kill_at(n_calls + 1):
                n_calls += 1
            others = [sweep.check_file_size(), sweep.check_read_only(), sweep.check_two()] if name != "demo" else []
            n_all += n_calls
            seconds = time.perf_counter() - begin
            print(f"| {name} | {n_calls} kills | {', '.join(others)} | 0 failures | {seconds:.0f} s |", flush=True)
    print(f"{n_all} kills, no failure")


if __name__ == "__main__":
    main()
