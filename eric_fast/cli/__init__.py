"""The command line: thin shells over the API, with the same words. torch loads inside the commands, not for --help."""

import os
import signal
import sys
from typing import Any

import typer

from eric_fast.cli.commands import app
from eric_fast.console import prepare_streams, stderr
from eric_fast.errors import EricError

__all__ = ["app", "main"]

UsageError: Any = typer.BadParameter.__base__  # typer's own, or click's, by typer's version


def main() -> None:
    """Run the command line; what the user can mend is one line on stderr and exit code 2."""
    prepare_streams()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that half outputs are removed
    try:
        sys.exit(app(prog_name="eric-fast", standalone_mode=False) or 0)
    except EricError as error:
        message = str(error)
    except UsageError as error:
        message = f"{error.format_message()} Try --help."
    except BrokenPipeError:  # whoever read the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        message = f"{error.filename or 'the output'}: {error.strerror}"
    except (KeyboardInterrupt, typer.Abort):
        message = "interrupted; what was not complete is not written"
        stderr.print(f"error: {message}", markup=False, style="red")
        sys.exit(130)
    stderr.print(f"error: {' '.join(message.split())}", markup=False, style="red")
    sys.exit(2)
