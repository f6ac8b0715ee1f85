"""`python -m cli` is the command holdfast."""

from cli.commands import main

main()
