"""The `ardcube` command with a lease of a few seconds: `python -m tests.flows.quick_lease build ...`."""

from functools import partial

import flows.build_cube
from ardcube.lease.acquire import holding
from flows.command import main

EXPIRES_SECONDS = 3.0

if __name__ == "__main__":
    flows.build_cube.holding = partial(holding, expires_seconds=EXPIRES_SECONDS)
    main()
