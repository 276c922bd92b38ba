"""`python -m ropewalk` is `ropewalk`, for launchers that start modules: torchrun, accelerate."""

from ropewalk.cli import main

main()
