"""Measure against the peers: python -m benchmarks [NAME …] [--quick]"""

from __future__ import annotations

import argparse
import importlib
import sys

# name → modules
NAMES = {"rendering": "rendering", "dataset": "data", "score": "score scoring_ways", "memory": "memory"}
NAMES |= {"finetune": "finetune training_ways", "serve": "serve", "explain": "explain", "explore": "explore"}
NAMES |= {"inception-time": "inception_time", "large": "large", "predict": "predict", "startup": "startup"}


def main(argv: list[str]) -> int:
    """Run the benchmarks named, or all, and print a table each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="few cases and rounds: shows that it runs, no figures")
    given = parser.parse_args(argv)
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")

    from benchmarks.timing import machine
    from vlm_tsc.manifest import commit

    print(f"{machine()}\ncommit {commit()[:16]}{', QUICK: no figures' if given.quick else ''}\n", flush=True)
    for name in given.names or NAMES:
        for module in NAMES[name].split():
            print(importlib.import_module(f"benchmarks.{module}").run(given.quick), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
