"""python -m benchmarks._tenant: the simulator's own command, with one tenant of any size.

Prints what `python -m simulator` prints. One user has a mailbox, with every oddity of mail; one has
a drive of ordinary files; one has a drive for whatever the benchmark puts there.
"""

from __future__ import annotations

import argparse
import sys

from simulator import contoso
from simulator.__main__ import main as simulate
from simulator.contoso import Cast, Profile

NAME = "benchmark"
READER, CLERK, KEEPER = "Adele Vance", "Jörg Müller", "Build Service"
LATER_FROM = 20_000  # messages of larger mailboxes are made when they are asked for


def main(arguments: list[str]) -> int:
    """Adds the tenant to the simulator's profiles and hands over to its command."""
    parser = argparse.ArgumentParser(prog="benchmarks._tenant", description=__doc__)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--files", type=int, required=True)
    parser.add_argument("--file-bytes", type=int, required=True, help="mean of ordinary files")
    options, others = parser.parse_known_args(arguments)
    contoso.PROFILES[NAME] = Profile(
        (
            Cast(READER, options.messages, -1, special=True),
            Cast(CLERK, -1, options.files),
            Cast(KEEPER, -1, 0),
        ),
        mean_file_bytes=options.file_bytes,
        big_mail=True,
        later=options.messages >= LATER_FROM,
    )
    sys.argv = ["simulator", "--profile", NAME, *others]
    return simulate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
