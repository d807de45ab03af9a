"""The `ardcube` command with a lease that expires after seconds: `python -m tests.flows.quick_lease build ...`."""

from functools import partial

import flows.build_cube
from ardcube.lease.acquire import holding
from ardcube.lease.lease import Timing
from flows.cli import main

TIMING = Timing(expires_seconds=3.0, renew_seconds=0.5)

if __name__ == "__main__":
    flows.build_cube.holding = partial(holding, timing=TIMING)
    main()
