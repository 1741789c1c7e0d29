"""Programs as text: one UTF-8 file that a person reads and edits, and that clingo answers as we do."""

from pathlib import Path

from eric_fast.output import replace_file
from eric_fast.program import Program
from eric_fast.program.printers.c_code import print_c
from eric_fast.program.printers.printer import print_program
from eric_fast.program.printers.prolog import print_prolog
from eric_fast.program.printers.python_code import print_python
from eric_fast.text.files import decode_text, read_file
from eric_fast.text.parser import parse_program

__all__ = ["load_program", "parse_program", "print_c", "print_program", "print_prolog", "print_python", "save_program"]


def load_program(path: str | Path) -> Program:
    """Read a program's file.

    Raises:
        ProgramError: no such file, not UTF-8, or an error in the text: `path:line:column: what was expected`.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> program.classes[:3], program.layers
        (('0', '1', '2'), ('conv1.2', 'conv2.2', 'conv3.2', 'conv4.2'))
    """
    return parse_program(decode_text(read_file(path), str(path)), str(path))


def save_program(program: Program, path: str | Path, *, force: bool = False, expected: bytes | None = None) -> None:
    """Write a program's file, whole or not at all.

    Args:
        program: any program.
        path: the file.
        force: replace a file that is there.
        expected: what such a file must still hold: nobody else's change is lost. See `lock_file`.

    Raises:
        OutputError: `path` exists and `force` is false, it can't be written, or it was changed.

    Examples:
        >>> program = ef.parse_program(PETS)
        >>> ef.save_program(program, "pets.lp")
        >>> ef.load_program("pets.lp") == program
        True
    """
    with replace_file(Path(path), force=force, expected=expected) as part:
        part.write_text(print_program(program), encoding="utf-8")
