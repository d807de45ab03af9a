"""A plain mutation fuzzer: `python -m tests.hostile.fuzz SECONDS [PART OF A NAME]` tries hostile tests on new input.

Seeds of what it finds are printed; `--seed N` tries one again.
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
    """The hostile tests whose name holds a text."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        import_module(f"tests.hostile.{file.stem}")
    return {name: case for name, case in CASES.items() if part in name}


def fuzz(case: Callable[[Random], None], seconds: float, first: int) -> tuple[int, dict[str, int]]:
    """Try a test on one seed after the other, for so long; how many there were, and a seed of each kind of failure."""
    found: dict[str, int] = {}
    end, seed = time.monotonic() + seconds, first
    while time.monotonic() < end:
        try:
            case(Random(seed))
        except Exception as error:  # noqa: BLE001  (whatever it is, it is what is looked for)
            last = traceback.extract_tb(error.__traceback__)[-1]
            found.setdefault(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}", seed)
        seed += 1
    return seed - first, found


def main() -> None:
    """Share the time among the tests; exit code 1 if one failed."""
    parser = argparse.ArgumentParser(prog="tests.hostile.fuzz")
    parser.add_argument("seconds", type=float)
    parser.add_argument("part", nargs="?", default="")
    parser.add_argument("--seed", type=int, help="try this one, once")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()  # what is refused is logged too, and nothing else is left to read
    # A changed command line may ask the default catalogue; a proxy that is not there stops it.
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
        print(f"{name}: {tried} tried, {len(found)} kinds of failure", flush=True)
        for kind, seed in found.items():
            print(f"  {kind}, --seed {seed}", flush=True)
    raise SystemExit(failed.total() > 0)


if __name__ == "__main__":
    main()
