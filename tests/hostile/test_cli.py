"""Mutated command lines: exit code 0, 1 or 2, one line of error, and nothing written."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random
from unittest.mock import patch

from flows.command import main
from tests.hostile.cubes import built_cube
from tests.hostile.mutation import TEXTS, changed_text
from tests.hostile.promise import hostile

PLAN = {
    "--start-date": "2023-05-01", "--end-date": "2023-06-30", "--bbox": "15.0 46.0 15.4 46.2", "--resolution": "0.01",
    "--chunk-size": "16", "--shard": "1", "--bands": "red", "--cloud-mask": "scl", "--cloud-mask-option": "closing=3",
    "--varname": "median", "--resampling": "bilinear", "--time-frequency-months": "1", "--collection": "",
    "--storage-option": "", "--retries": "", "--threads": "2", "--max-chunks": "", "--geometry-file": "",
    "--asset-access": "", "--asset-endpoint-url": "", "--asset-region": "",
    "--scheduler-address": "", "--limit": "", "--price-per-core-hour": "", "--price-per-gb": "",
    "--price-per-1000-requests": "", "--reader": "", "--calibrate": "", "--like-cube": "",
}  # fmt: skip


@hostile(30)
def test_a_command_line_is_executed_or_refused_in_one_line(random: Random) -> None:
    with built_cube() as built:
        command = random.choice(("plan", "plan", "status", "quicklook", "report", "retry", "build"))
        if command in ("plan", "build"):
            given = {**PLAN, "--stac-url": str(built.catalogue)}
            for _ in range(random.choice((1, 1, 2, 4))):
                option = random.choice([*given])
                given[option] = random.choice((random.choice(TEXTS), changed_text(given[option] or "1", random)))
            words = [part for name, text in given.items() if text for part in (name, *text.split(" "))]
            # A valid build would start a server, so only dry runs and refusals are tested here.
            words += ["--fsspec-uri", str(built.store), *(("--dry-run",) if command == "build" else ())]
        else:
            words = [random.choice((str(built.store), changed_text(str(built.store), random), *TEXTS))]
            output = ["--output", str(built.store / "pictures")]
            words += output if command in ("quicklook", "report") else ["--retries", "x"]
        if random.random() < 0.2:
            words.insert(random.randrange(len(words) + 1), random.choice(TEXTS))
        before = sorted(built.files())
        code, errors = run_command([command, *words])
        assert code in (0, 1, 2), (code, errors)
        if code:
            assert len(errors.splitlines()) == 1, errors
            assert errors.startswith("ardcube: ")
            assert "Traceback" not in errors
            assert all(letter.isprintable() for letter in errors.rstrip("\n")), errors
        if command not in ("quicklook", "report"):
            assert sorted(built.files()) == before


def run_command(words: list[str]) -> tuple[int, str]:
    """Run the command in this process; return its exit code and its error output."""
    errors = StringIO()
    with patch.object(sys, "argv", ["ardcube", *words]), redirect_stderr(errors), redirect_stdout(StringIO()):
        try:
            main()
        except SystemExit as end:
            return int(str(end.code)), errors.getvalue()
    raise AssertionError("the command did not exit")


def test_control_characters_of_a_catalogue_are_not_printed(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text('{"type": "Feature", "id": "\\u001b[2J\\u0007x", "assets": 3}')
    words = ["plan", "--start-date", "2023-05-01", "--end-date", "2023-05-31", "--bbox", "1", "1", "2", "2"]
    code, errors = run_command([*words, "--stac-url", str(tmp_path / "item\x1b[2J.json")])
    assert code == 2
    assert "\x1b" not in errors
