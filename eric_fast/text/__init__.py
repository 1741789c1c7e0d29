"""Programs as text: one UTF-8 file that a person reads and edits, and that clingo answers as we do."""

from pathlib import Path

from eric_fast.errors import ProgramError
from eric_fast.output import replace_file
from eric_fast.program import Program
from eric_fast.program.printers.c_code import print_c
from eric_fast.program.printers.printer import print_program
from eric_fast.program.printers.prolog import print_prolog
from eric_fast.program.printers.python_code import print_python
from eric_fast.text.parser import parse_program

__all__ = ["load_program", "parse_program", "print_c", "print_program", "print_prolog", "print_python", "save_program"]


def load_program(path: str | Path) -> Program:
    """Read a program's file.

    Raises:
        ProgramError: no such file, not UTF-8, or an error in the text: `path:line:column: what was expected`.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ProgramError(f"{path} can't be read: {error.strerror}; give the path of a program's file") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        raise ProgramError(f"{path}:{line}:{column}: not UTF-8, so not a program's text file") from error
    return parse_program(text, str(path))


def save_program(program: Program, path: str | Path, *, force: bool = False) -> None:
    """Write a program's file, whole or not at all.

    Raises:
        OutputError: `path` exists and `force` is false, or it can't be written.
    """
    with replace_file(Path(path), force=force) as part:
        part.write_text(print_program(program), encoding="utf-8")
