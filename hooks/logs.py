"""Forward log lines of `ardcube` to the run in Prefect, without secrets.

Each line names its chunk.

Dask workers print log lines on machines that an operator does not see. Prefect's `PREFECT_LOGGING_EXTRA_LOGGERS` would
forward them too, but must be set on every worker before it starts, and handles neither chunks nor secrets.
"""

import logging
from collections.abc import Sequence
from threading import Lock

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from ardcube.ledger.record import ChunkRecord
from ardcube.redaction import hide_secrets, without_secrets
from ardcube.runtime.log_context import current_chunk
from hooks.closed_output import let_handlers_last

_OURS = "ardcube"
_lock = Lock()
# If Prefect refuses the parameters of a flow run, it logs all of them before any line of the flow is run.
logging.getLogger("prefect.flows").addFilter(hide_secrets)
let_handlers_last()  # Prefect logs the begin of a run before any line of the flow is run


class RunHandler(logging.Handler):
    """Passes log lines to the logger of the flow or task run that logged them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, unless it was logged outside of any run."""
        try:
            run_logger = get_run_logger()
        except MissingContextError:
            return
        try:
            run_logger.log(record.levelno, "%s", line_of(record))
        except Exception:  # noqa: BLE001  (a handler must not raise, since a line must not fail a chunk)
            self.handleError(record)


def line_of(record: logging.LogRecord) -> str:
    """Return the text of a log record with its chunk in front and without secrets."""
    line, chunk = without_secrets(record.getMessage()), current_chunk()
    return line if not chunk or chunk in line else f"{chunk}: {line}"


def forward_logs() -> None:
    """Forward log lines of `ardcube` to the runs of this process, once each."""
    logger = logging.getLogger(_OURS)
    with _lock:
        let_handlers_last()
        if not any(isinstance(handler, RunHandler) for handler in logger.handlers):
            logger.addHandler(RunHandler())


def log_built(records: Sequence[ChunkRecord]) -> None:
    """Log the result of a batch: one line, on its chunk or on all of its chunks.

    A line per chunk would cost the Prefect server more CPU than the chunks cost the workers.
    """
    if len(records) == 1:
        (record,) = records
        seconds = record.attempts[-1].seconds if record.attempts else 0.0
        if "observed_share" not in record.statistics:  # of a level of the pyramid
            get_run_logger().info("%s: %s in %.1f s", record.key, record.status, seconds)
            return
        get_run_logger().info(
            "%s: %s in %.1f s from %d scenes, %.0f %% of its pixels observed",
            record.key, record.status, seconds, len(record.scenes), 100 * record.statistics["observed_share"],
        )  # fmt: skip
        return
    written = sum(record.status == "written" for record in records)
    seconds = sum(record.attempts[-1].seconds for record in records if record.attempts)
    get_run_logger().info(
        "%s..%s: %d chunks, %d written, %d empty, %.1f s of work",
        records[0].key, records[-1].key, len(records), written, len(records) - written, seconds,
    )  # fmt: skip
