"""Secrets of a run are not in its output, the Prefect server, the ledger, the store or the image."""

from __future__ import annotations

import io
import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow
import pytest
from prefect.exceptions import ParameterTypeError
from pyarrow import parquet

from flows.build_cube import build_cube
from tests.flows.jobs import SAMPLE, run
from tests.flows.remote import QUICK_RETRIES, Remote
from tests.servers.processes import ROOT, S3, PrefectServer
from tests.servers.range_server import RangeServer
from tests.wait_for import until

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAQ7Z3VX5K9TWJ2RHN",
    "AWS_SECRET_ACCESS_KEY": "k8VqTz0rWmYx4cJp7uGd2sLhN6fEb9QaR3oXiZtU",
    "AWS_SESSION_TOKEN": "W5nPzYt8kRq3vJx0mCg7bLd2hFs9aEu4iTo6XwQj",
    "PREFECT_API_AUTH_STRING": "uQ4xVn8Z:tJ7mKc2Wb9Rf5YpLs3Hd",
    "PREFECT_API_KEY": "pnu_Xk5Vz8Qw2Rt7Yb4Nc9Mj6Lp3Hg",
    "SOME_OTHER_TOKEN": "Zr6Tq1Wy9Vb3Xn8Kc5Jm2Lf7Pd4Gs",
}
SIGNATURE = "Hy3Kt9Rw6Zq2Vx8Nb5Jc7Mp4Ld1Fg"
"""Signature in the query of every asset's address."""
BASIC = b64encode(SECRETS["PREFECT_API_AUTH_STRING"].encode()).decode()
"""Value of the Authorization header that the client sends."""
EVERY = (*SECRETS.values(), SIGNATURE, BASIC)


def found(content: bytes) -> list[str]:
    return [secret for secret in EVERY if secret.encode() in content]


def found_in(files: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Return the files that contain a secret; of compressed tables, the columns."""
    held = []
    for name, content in files:
        if name.endswith(".parquet"):
            table = parquet.read_table(pyarrow.BufferReader(content))
            parts = {f"{name}:{column}": str(table[column].to_pylist()).encode() for column in table.column_names}
        else:
            parts = {name: content}
        held += [(part, secret) for part, bytes_ in parts.items() for secret in found(bytes_)]
    return held


def data_of_the_server(server: PrefectServer, catalogue: Path) -> Iterator[tuple[str, Any]]:
    """Yield the data that the server returns about a run: parameters, states, logs, artifacts."""

    def query(kind: str, **body: object) -> Any:
        return server.ask(f"{kind}/filter", {"limit": 200, **body})

    ended = {"state": {"type": {"any_": ["FAILED"]}}}
    runs = query("flow_runs", flow_runs=ended, sort="END_TIME_DESC")
    (this,) = (one for one in runs if str(catalogue) in json.dumps(one))
    of_it = {"flow_run_id": {"any_": [this["id"]]}}
    yield "flow run", this
    yield (
        "task runs",
        until(lambda: query("task_runs", flow_runs={"id": {"any_": [this["id"]]}}), "task runs at the server"),
    )
    yield "logs", query("logs", logs=of_it)
    yield "artifacts", query("artifacts", artifacts=of_it)


def test_a_run_with_failures_reveals_no_secret(
    prefect_server: PrefectServer,
    sample_archive: Path,
    range_server: Callable[[Path], RangeServer],
    moto_s3: S3,
    tmp_path: Path,
) -> None:
    served = range_server(sample_archive)
    remote = Remote.of(sample_archive, served)
    for item in remote.items:
        for asset in item["assets"].values():
            asset["href"] += f"?sv=2021&sig={SIGNATURE}"
    catalogue = remote.write(tmp_path / "catalogue")
    fault = served.fail("*/B04.tif", times=None, status=403)
    uri = moto_s3.uri("cube")
    options = {**SAMPLE, "end_date": "2023-05-31", "chunk_size": 96, "bbox": " ".join(map(str, SAMPLE["bbox"]))}
    words = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", *str(value).split())]
    words += ["--stac-url", str(catalogue), "--fsspec-uri", uri, "--retries", "0", "--debug"]
    ended = run(
        ["build", *words],
        {**moto_s3.environment, **SECRETS, **QUICK_RETRIES, "PREFECT_LOGGING_TO_API_ENABLED": "true"},
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said[-2000:]
    assert fault.fired > 0
    assert "403" in said
    assert "botocore" in said, "loggers of libraries that send credentials are active"
    assert [line for line in said.splitlines() if found(line.encode())][:5] == []

    answered = {kind: json.dumps(data).encode() for kind, data in data_of_the_server(prefect_server, catalogue)}
    # Both artifacts have the reason. (Prefect drops logs that the server has not received when a run ends.)
    reasons = [
        one["description"] if one["type"] == "progress" else one["data"] for one in json.loads(answered["artifacts"])
    ]
    assert len(reasons) == 2
    assert all("access is refused (HTTP 403)" in reason for reason in reasons)
    assert found_in(answered.items()) == []
    home = [(file.name, file.read_bytes()) for file in prefect_server.home.rglob("*") if file.is_file()]
    assert "prefect.db" in dict(home)
    assert found_in(home) == []
    assert found(prefect_server.log.read_bytes()) == []

    store = fsspec.filesystem("s3", **moto_s3.storage_options)
    written = {name: store.cat_file(name) for name in store.find(moto_s3.bucket)}
    assert any(name.endswith("zarr.json") for name in written)
    assert any("/cube.ardcube/chunks/" in name for name in written)
    # Workers need the addresses as the catalogue returned them; see SECURITY.md.
    held = found_in(written.items())
    in_manifests = [
        name for name, secret in held
        if secret == SIGNATURE and re.fullmatch(r".*/cube\.ardcube/items/2023-05-\w+\.parquet:bands", name)
    ]  # fmt: skip
    assert in_manifests, "manifests have no signatures any more: update SECURITY.md"
    assert [name for name, _ in held] == in_manifests


def test_a_flow_run_whose_parameters_are_refused_repeats_no_secret() -> None:
    """Prefect stores the error in the state of the run, and logs it with all parameters."""
    logger, lines = logging.getLogger("prefect.flows"), io.StringIO()
    handler = logging.StreamHandler(lines)
    logger.addHandler(handler)
    key = SECRETS["AWS_SECRET_ACCESS_KEY"]
    cube = {"start_date": "2023-05-01", "end_date": "2023-05-31", "stac_url": f"https://me:{key}@127.0.0.1:1/v1"}
    options = {"secret": key, "endpoint_url": f"http://me:{key}@h"}
    wrong = {"cube": cube, "run": {"fsspec_uri": f"s3://bucket/cube?sig={key}", "storage_options": options}}
    try:
        with pytest.raises(ParameterTypeError) as refused:
            build_cube.validate_parameters(wrong)
    finally:
        logger.removeHandler(handler)
    assert "put credentials into the environment" in str(refused.value)
    assert "Parameter validation failed" in lines.getvalue()
    assert found((str(refused.value) + lines.getvalue()).encode()) == []


def test_the_image_contains_only_named_folders() -> None:
    """Files that may contain secrets are not in the build context, and the image has no variable with a secret."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert [line for line in ignored if not line.startswith(("#", "!"))].count("*") == 1
    image = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"^(ADD|ARG)\b|--mount=type=secret|COPY (--from=\S+ )?\.\s", image, re.MULTILINE)
    assert not re.search(r"(?i)(secret|token|passw|credential|_key)\w*=", image)
    for package in ("ardcube", "flows", "hooks", "tasks", "requirements"):
        names = {path.name for path in (ROOT / package).rglob("*") if path.is_file()}
        assert not {name for name in names if re.search(r"(^\.env|\.pem$|\.key$|credentials$|\.netrc$|id_rsa)", name)}
