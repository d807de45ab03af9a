"""Retire workers that joined during a run and cannot build its chunks.

The preflight asks the workers that exist when the run begins. Workers that join later, and those that Coiled starts,
are asked when a batch failed before it recorded anything. A worker with another version of this package fails each
batch by itself, so that it writes no pixel.
"""

from typing import Any

from prefect.logging import get_run_logger

from ardcube.errors import InputError, RunStopsError
from flows.ask_workers import ask_for_client, first_problem, seen_by_flow
from flows.progress import current_progress
from flows.run_context import RunContext


class LateWorkers:
    """Workers of a run's cluster, each of which is asked once.

    Parameters
    ----------
    context : RunContext
        The run.
    """

    def __init__(self, context: RunContext) -> None:
        self._run = context.run
        self._place = context.pending.place
        self._asked: set[str] = set()

    def retire_wrong(self, client: Any) -> None:
        """Report and retire the workers that cannot build chunks.

        Parameters
        ----------
        client : distributed.Client
            Client of the cluster.

        Raises
        ------
        RunStopsError
            If no other worker is left.
        """
        new = [worker for worker in client.nthreads() if worker not in self._asked]
        if self._run.serverless_backend == "local" or not new:
            return
        self._asked.update(new)
        try:
            with seen_by_flow(self._run, self._place, ()) as seen:
                answers = ask_for_client(client, seen, new)
        except (InputError, OSError) as error:  # the store is unreachable for the flow too, or a worker does not answer
            get_run_logger().warning("workers were not checked: %r", error)
            return
        present = client.nthreads()
        answers = {worker: answer for worker, answer in answers.items() if worker in present}
        wrong = [worker for worker, problem in answers.items() if problem is not None]
        if len(wrong) == len(present):
            raise RunStopsError(first_problem(answers))
        for worker in wrong:
            line = f"worker {worker}: {answers[worker]}; the run goes on without it"
            get_run_logger().error(line)
            current_progress().warned(line)
        if wrong:
            client.retire_workers(wrong)
