"""Credentials of a run, from a Secret block of the Prefect server into the environment of the run's process."""

import os
import re
from collections.abc import Mapping
from typing import Any

from ardcube.config import RunConfig
from ardcube.errors import InputError

_ALLOWED = re.compile(r"(AWS|AZURE|GOOGLE)_[A-Z0-9_]+")
"""Variables of object stores alone: a block sets no library path, no proxy, and no other Prefect server."""


def take_credentials(run: RunConfig) -> None:
    """Put the variables of the run's block into the environment, where stores and readers look for them.

    A run has a process of its own, so they end with it. They are nowhere else: parameters hold the name of the
    block, and neither the ledger nor an artifact knows of it. Workers in other processes have an environment of
    their own; Coiled sends them credentials by itself.

    Raises
    ------
    InputError
        If there is no such block, or it holds something else. No value is told.
    """
    if run.credentials_block is not None:
        os.environ.update(_variables(run.credentials_block, _load(run.credentials_block)))


def _load(name: str) -> Any:
    from prefect.blocks.system import Secret  # slow to import, and seldom needed

    try:
        block: Any = Secret.load(name, _sync=True)  # type: ignore[call-arg,unused-ignore]
    except ValueError:
        raise InputError(
            f"credentials-block {name} is no Secret block of this Prefect server; make one under Blocks"
        ) from None
    return block.get()


def _variables(name: str, held: Any) -> dict[str, str]:
    example = '{"AWS_ACCESS_KEY_ID": "...", "AWS_SECRET_ACCESS_KEY": "..."}'
    if not isinstance(held, Mapping) or not all(isinstance(value, str) for value in held.values()):
        raise InputError(f"credentials-block {name} holds no JSON object of texts; make it like {example}")
    strange = [variable for variable in held if not _ALLOWED.fullmatch(str(variable))]
    if strange:
        raise InputError(
            f"credentials-block {name} has {len(strange)} entries that are no variables of an object store; "
            f"make it like {example}"
        )
    return dict(held)
