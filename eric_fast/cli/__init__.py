"""The command line: thin shells over the API, with the same words. torch loads inside the commands, not for --help."""

import multiprocessing
import os
import signal
import sys
from typing import Any, NoReturn

import typer

from eric_fast.cli.commands import app
from eric_fast.errors import EricError
from eric_fast.processes import claim_failure, is_one_of_many, leave_processes, name_process
from eric_fast.show.console import prepare_streams, stderr

__all__ = ["app", "main"]

UsageError: Any = typer.BadParameter.__base__  # typer's own, or click's, by typer's version


class Stopped(BaseException):
    """SIGINT or SIGTERM. No `except Exception` takes it for a failure, and half outputs are removed on its way out."""


def _stop(signal_number: int, frame: object) -> None:
    """A forked worker that decodes images knows how to end on Ctrl-C, and leaves the rest to this process."""
    raise KeyboardInterrupt if multiprocessing.parent_process() else Stopped(signal_number)


def main() -> None:
    """Run the command line; what the user can mend is one line on stderr and exit code 2."""
    prepare_streams()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        code = app(prog_name="eric-fast", standalone_mode=False) or 0
        leave_processes()
        sys.exit(code)
    except EricError as error:
        message = str(error)
    except UsageError as error:
        message = f"{error.format_message()} Try --help."
    except BrokenPipeError:  # whoever read the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        message = f"{error.filename or 'the output'}: {error.strerror}"
    except Stopped as stop:
        _end_if_told(128 + stop.args[0])
        stderr.print("error: interrupted; what was not complete is not written", markup=False, style="red")
        _end(128 + stop.args[0])
    _end_if_told(2)
    stderr.print(f"error: {name_process()}{' '.join(message.split())}", markup=False, style="red")
    _end(2)


def _end_if_told(code: int) -> None:
    """Of many processes that fail, the first says why; all others end without a word."""
    if is_one_of_many():  # torchrun stops those that are left: they end by themselves, a moment later
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not claim_failure():
        _end(code)


def _end(code: int) -> NoReturn:
    """End at once where there are other processes: hanging up in good order would wait for them."""
    if is_one_of_many():
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
