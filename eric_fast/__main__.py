"""`python -m eric_fast`: the command line."""

from eric_fast.cli import main

main()
