"""Load a run's credentials from a Secret block into the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ardcube.config import RunConfig
from ardcube.errors import InputError

_ALLOWED = re.compile(r"(AWS|AZURE|GOOGLE|EARTHDATA)_[A-Z0-9_]+")
"""Variables that a block may set: those of archives and stores, but no library path, proxy or Prefect setting."""


def take_credentials(run: RunConfig) -> None:
    """Set the variables of the run's block in the environment.

    They end with the process of the run. Parameters hold only the name of the block; ledger and artifacts do not hold
    it at all. Workers in other processes have a separate environment, and Coiled sends them credentials by itself.

    Raises
    ------
    InputError
        If the block is missing, or holds something else. The message contains no value.
    """
    if run.credentials_block is not None:
        os.environ.update(_variables(run.credentials_block, _load(run.credentials_block)))


@contextmanager
def lend_credentials(run: RunConfig) -> Iterator[None]:
    """Set the variables of the run's block in a block of code, in a process that serves other runs too.

    Raises
    ------
    InputError
        As `take_credentials`.
    """
    before = dict(os.environ)
    take_credentials(run)
    changed = [name for name, value in os.environ.items() if before.get(name) != value]
    try:
        yield
    finally:
        for name in changed:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def _load(name: str) -> Any:
    from prefect.blocks.system import Secret  # slow to import, and rarely needed

    try:
        block: Any = Secret.load(name, _sync=True)  # type: ignore[call-arg,unused-ignore]
    except ValueError:
        raise InputError(
            f"credentials-block {name} is no Secret block of this Prefect server; create one under Blocks"
        ) from None
    return block.get()


def _variables(name: str, held: Any) -> dict[str, str]:
    example = '{"AWS_ACCESS_KEY_ID": "...", "AWS_SECRET_ACCESS_KEY": "..."}'
    if not isinstance(held, Mapping) or not all(isinstance(value, str) for value in held.values()):
        raise InputError(f"credentials-block {name} holds no JSON object of strings; write it like {example}")
    strange = [variable for variable in held if not _ALLOWED.fullmatch(str(variable))]
    if strange:
        raise InputError(
            f"credentials-block {name} has {len(strange)} entries that are not variables of an object store; "
            f"write it like {example}"
        )
    return dict(held)
