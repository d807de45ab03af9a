"""Mutation fuzzer: `python -m tests.hostile.fuzz SECONDS [PART OF A NAME]` runs hostile tests on new input.

It prints the seeds of failures; `--seed N` repeats one.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random

from tests.hostile.promise import CASES


def load(part: str = "") -> dict[str, Callable[[Random], None]]:
    """Return the hostile tests whose name contains a text."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        import_module(f"tests.hostile.{file.stem}")
    return {name: case for name, case in CASES.items() if part in name}


def fuzz(case: Callable[[Random], None], seconds: float, first: int) -> tuple[int, dict[str, int]]:
    """Run a test with new seeds for some seconds; return the number of seeds, and a seed per kind of failure."""
    found: dict[str, int] = {}
    end, seed = time.monotonic() + seconds, first
    while time.monotonic() < end:
        try:
            case(Random(seed))
        except Exception as error:  # noqa: BLE001  (any exception is a finding)
            last = traceback.extract_tb(error.__traceback__)[-1]
            found.setdefault(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}", seed)
        seed += 1
    return seed - first, found


def main() -> None:
    """Divide the time among the tests; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(prog="tests.hostile.fuzz")
    parser.add_argument("seconds", type=float)
    parser.add_argument("part", nargs="?", default="")
    parser.add_argument("--seed", type=int, help="run this seed once")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()  # refusals are logged, which would hide the findings
    # A mutated command line may use the default catalogue; the proxy address without a server prevents requests.
    os.environ |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    os.environ |= {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
    cases = load(given.part)
    if given.seed is not None:
        for case in cases.values():
            case(Random(given.seed))
        return
    failed = Counter[str]()
    for name, case in cases.items():
        tried, found = fuzz(case, given.seconds / len(cases), time.time_ns() % 2**40)
        failed[name] = len(found)
        print(f"{name}: {tried} inputs, {len(found)} kinds of failure", flush=True)
        for kind, seed in found.items():
            print(f"  {kind}, --seed {seed}", flush=True)
    raise SystemExit(failed.total() > 0)


if __name__ == "__main__":
    main()
