"""`python -m ropewalk.cli` is `ropewalk`."""

from ropewalk.cli import main

main()
