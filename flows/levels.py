"""The levels of a pyramid as parts of a flow run: each is mapped as the chunks below it were."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ardcube.prepare.levels import level_builds
from ardcube.prepare.pending import PendingBuild
from flows.progress import ProgressReceiver
from flows.run_context import RunContext


class LevelProgress(ProgressReceiver):
    """Receives the progress of a level, which is short and therefore not shown.

    Parameters
    ----------
    check : callable
        Raises if the run must stop. Called when a batch has ended.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def batch_ended(self) -> None:
        """Call `check`."""
        self._check()


def level_contexts(context: RunContext) -> Iterator[RunContext]:
    """Yield the context of each level, which is planned when the one before it has been built.

    Neither the number of chunks nor their memory is limited: a chunk of a level takes less memory than one of scenes.
    """
    base = context.pending
    run = context.run.model_copy(update={"limit": None, "memory_limit": None})
    for level in level_builds(base.plan.spec, base.ledger):
        plan = replace(base.plan, spec=level.spec)
        pending = PendingBuild(plan, base.place, level.ledger, level.jobs, level.chunks, level.records)
        yield replace(context, run=run, pending=pending)
