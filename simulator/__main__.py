"""python -m simulator: serves a seeded tenant and prints one JSON line when it is ready."""

import argparse
import contextlib
import json
import sys
import threading
from pathlib import Path

from simulator import contoso, quirks
from simulator.serving import Prepared, prepare


def main() -> int:
    """Parse the command line, build the tenant, serve it until interrupted."""
    options = _options()
    tenant = contoso.build(options.profile, options.seed)
    if options.hostile:
        tenant.quirks = quirks.hostile()
        tenant.faults.hostile()
    elif options.calm:
        tenant.quirks = quirks.calm()
        tenant.faults.calm()
    prepared = prepare(
        tenant, port=options.port, ca_out=options.ca_out, control_token=options.control_token
    )
    threading.Thread(target=_announce, args=(prepared, options.json), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        prepared.run()
    return 0


def _announce(prepared: Prepared, as_json: bool) -> None:
    prepared.wait_until_started()
    facts = prepared.running.facts()
    print(json.dumps(facts) if as_json or not sys.stdout.isatty() else _readable(facts), flush=True)


def _readable(facts: dict[str, object]) -> str:
    return json.dumps(facts, indent=2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--profile", default="tiny", choices=sorted(contoso.PROFILES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ca-out", type=Path)
    parser.add_argument("--control-token", help="a token of your own instead of a random one")
    parser.add_argument("--json", action="store_true", help="JSON on one line, also on a terminal")
    mood = parser.add_mutually_exclusive_group()
    mood.add_argument("--hostile", action="store_true", help="all oddities and chance faults")
    mood.add_argument("--calm", action="store_true", help="no oddities, no faults")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
