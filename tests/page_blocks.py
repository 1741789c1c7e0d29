"""The code of README and docs, run: each block's output must be the one that the page prints.

A page's blocks run in order, in one folder that holds the demo (`eric-demo`) and, for all pages alike, nothing else.

- `console`: lines that start with `$ ` are commands, what follows is what they print.
- `python`: the blocks of a page are one program. A `text` block that follows is what it prints.
- `prolog` with a fact `format(`: a whole program, which is parsed; other `prolog` blocks are parts of one.
- `sh`: commands with words such as FILE in the place of values, which are not run.

A line `...` stands for any lines, and ` ...` at the end of a line for the rest of it. Times, rates and sizes are not
compared. Another CPU trains another network: of blocks that depend on the demo's, numbers, rules and rows of tables are
not compared, but written anew.

A comment `<!-- kept -->` before a block says that it takes too long for a test. `make outputs` runs these blocks, with
the data of ../shared; the tests look whether the options that they mention exist.

`python -m tests.page_blocks` runs all pages and writes new outputs into them; `--kept` does so with the long ones.
"""

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.command_fixtures import make_demo, run_command
from tests.page_outputs import find_difference, renew_output

ROOT = Path(__file__).resolve().parents[1]
RUN, NOT_RUN = ("console", "python"), ("sh", "prolog", "text", "bibtex", "toml", "html", "csv", "ebnf")
_BLOCK = re.compile(
    r"(?P<kept><!-- kept -->\n)?^(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_DEPENDS_ON_TRAINING = re.compile(r"eric-demo|digits")
_PROGRESS = re.compile(
    r"^[\w.\- ]+: [\d,]+ of [\d,]+(?: in [\d.]+ s|, .*)\n", re.MULTILINE
)  # where a terminal shows bars
_NOT_RUN_HERE = ("make", "pip", "git", "torchrun", "conda", "docker", "cd")


@dataclass
class Block:
    """A block of code of a page.

    Attributes:
        language: of the fence.
        code: what is in it.
        span: where that stands in the page.
        is_kept: whether it takes too long for a test.
        output: of Python, the block with what it prints.
        is_masked: whether numbers depend on a network that was trained here.
    """

    page: Path
    language: str
    code: str
    span: tuple[int, int]
    is_kept: bool = False
    output: "Block | None" = None
    is_masked: bool = False

    @property
    def line(self) -> int:
        return self.page.read_text(encoding="utf-8").count("\n", 0, self.span[0]) + 1


def list_pages() -> list[Path]:
    """README and all pages of the site that are written by hand."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def find_blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order; directives of the site (`{grid}`) are none."""
    blocks: list[Block] = []
    masked = False
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        language = match["language"].strip()
        if language.startswith("{"):
            continue
        if not language:
            raise AssertionError(f"{page}: a block without a language: {match['code'][:60]}")
        block = Block(page, language, match["code"], match.span("code"), match["kept"] is not None)
        own = _DEPENDS_ON_TRAINING.search(block.code) is not None
        masked |= own and language == "python"
        block.is_masked = own or (masked and language == "python")
        last = blocks[-1] if blocks else None
        if language == "text" and last is not None and last.language == "python":
            last.output = block
        else:
            blocks.append(block)
    return blocks


def split_console(code: str) -> list[tuple[str, str]]:
    """Pairs (command, what it prints); a command goes on after a line that ends with a backslash."""
    pairs: list[tuple[str, str]] = []
    lines = iter(code.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).strip()
            pairs.append((command, ""))
        else:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + line + "\n")
    return pairs


@contextlib.contextmanager
def open_folder(demo: Path) -> Iterator[Path]:
    """Work in a new folder that holds a copy of the demo."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(demo, Path(name) / "eric-demo")
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


class Run(NamedTuple):
    """A block that was run.

    Attributes:
        block: as it is in its page.
        fresh: what the page is to print; None if it does so already.
        difference: between page and run; empty if they agree.
    """

    block: Block
    fresh: str | None
    difference: str


def run_blocks(blocks: list[Block], demo_log: str) -> Iterator[Run]:
    """Run a page's blocks in order."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        if block.language == "python":
            found = run_python(block.code, names, str(block.page))
            wanted = block.output.code if block.output else ""
            fresh = renew_output(wanted, found, masked=block.is_masked)
            difference = find_difference(wanted, found, masked=block.is_masked)
            yield Run(block, None if fresh == wanted else fresh, difference)
        elif block.language == "console":
            texts, differences, is_stale = [], [], False
            for command, wanted in split_console(block.code):
                printed = run_shell(command, demo_log)
                fresh = wanted
                if printed is not None:
                    fresh = renew_output(wanted, printed, masked=block.is_masked)
                    differences.append(find_difference(wanted, printed, masked=block.is_masked))
                texts.append(f"$ {command}\n{fresh}")
                is_stale |= fresh != wanted
            yield Run(block, "".join(texts) if is_stale else None, "\n".join(filter(None, differences)))


def run_python(code: str, names: dict[str, object], source: str) -> str:
    """Run a block in these names; gives what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, source, "exec", dont_inherit=True), names)
    return printed.getvalue()


def run_shell(command: str, demo_log: str) -> str | None:
    """What a command prints on both streams; None if it isn't run here."""
    words = shlex.split(command, comments=True)
    if words == ["make", "demo"] or words[:2] == ["eric-fast", "demo"]:
        return demo_log
    if words[0] in _NOT_RUN_HERE or words[:3] == ["python", "-m", "bench"]:
        return None
    if words[0] != "eric-fast":
        line = f"{shlex.quote(sys.executable)} -m {command}" if words[0] == "clingo" else command
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        run_command(*words[1:])
    return _PROGRESS.sub("", printed.getvalue())


def write_outputs(page: Path, found: list[tuple[Block, str]]) -> None:
    """Put what blocks print into their page."""
    text = page.read_text(encoding="utf-8")
    for block, output in sorted(found, key=lambda pair: pair[0].span, reverse=True):
        clean = "".join(f"{line.rstrip()}\n" for line in output.strip("\n").splitlines())
        if block.language == "console":
            start, end = block.span
            text = text[:start] + clean + text[end:]
        elif block.output:
            start, end = block.output.span
            text = text[:start] + clean + text[end:]
        elif clean:
            at = block.span[1] + len("```")
            text = f"{text[:at]}\n\n```text\n{clean}```{text[at:]}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.page_blocks", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="pages; by default all")
    parser.add_argument("--kept", action="store_true", help="run the blocks that take too long for a test")
    parser.add_argument("--demo", type=Path, help="a folder that holds eric-demo and demo.log, in place of a new one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made = (arguments.demo or Path(name)).resolve()
        if not arguments.demo:
            make_demo(made)
        log = (made / "demo.log").read_text(encoding="utf-8")
        for page in [path.resolve() for path in arguments.pages] or list_pages():
            blocks = [block for block in find_blocks(page) if block.is_kept == arguments.kept]
            with open_folder(made / "eric-demo") as folder:
                if arguments.kept:
                    prepare_cifar(folder)
                changed = [(run.block, run.fresh) for run in run_blocks(blocks, log) if run.fresh is not None]
            write_outputs(page, changed)
            print(f"{page.relative_to(ROOT)}: {len(blocks)} blocks, {len(changed)} outputs changed", flush=True)


def prepare_cifar(folder: Path) -> None:
    """CIFAR-10 and its network, from ../shared, as pages call them."""
    from bench.harness import SHARED, unpack_shared

    (folder / "cifar10").symlink_to(unpack_shared("cifar10.tar.gz", "cifar10"))
    for path in (SHARED / "models").glob("cifar10_vgg.*"):
        shutil.copy(path, folder)


if __name__ == "__main__":
    main()
