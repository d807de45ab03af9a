"""The `ardcube` command that reports an outage after a second: `python -m tests.flows.quick_silence build ...`."""

from ardcube.runtime import outages
from flows.command import main

if __name__ == "__main__":
    outages.SILENCE_SECONDS = 1.0
    main()
