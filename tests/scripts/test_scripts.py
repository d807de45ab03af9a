"""The scripts: `creds` writes secrets to a private file, `start` and `build` call an engine, `setup` reports errors.

Each test runs the real script, in a bare copy of the tree; the container engine is an executable on PATH that
records what it was asked.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "wJalr$(touch never) `x` \"quoted\" 'k' = #EXAMPLE"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": "token==",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
}


@pytest.fixture
def tree(tmp_path):
    """Return a folder that holds the scripts and what setup reads, under a name with a space."""
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copytree(ROOT / "requirements", root / "requirements")
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.fixture
def run(tree, tmp_path):
    """Return a function that runs a script from another folder, in a bare environment."""

    def run_script(name, *arguments, script=None, **environment):
        return subprocess.run(
            [str(script or tree / "scripts" / name), *arguments],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_script


@pytest.fixture
def engine(tmp_path):
    """Return a folder for PATH with `docker` and `podman` that record their arguments, and the record."""
    folder = tmp_path / "bin"
    folder.mkdir()
    record = tmp_path / "calls.jsonl"
    for name in ("docker", "podman"):
        program = folder / name
        program.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys\n"
            f"with open({str(record)!r}, 'a') as record:\n"
            "    print(json.dumps({'argv': sys.argv[1:], 'cwd': os.getcwd()}), file=record)\n"
            "if sys.argv[1:3] == ['image', 'inspect']:\n"
            "    sys.exit(int(os.environ.get('INSPECT_STATUS', '0')))\n"
            "sys.exit(int(os.environ.get('RUN_STATUS', '0')))\n"
        )
        program.chmod(0o755)

    def calls():
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    return f"{folder}:/usr/bin:/bin", calls


def _one_line(result, code, *words):
    assert result.returncode == code, result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


class TestCreds:
    def test_writes_every_variable_unchanged(self, run, tree):
        assert run("creds", **CREDENTIALS).returncode == 0
        lines = (tree / ".creds.env").read_text().splitlines()
        assert dict(line.split("=", 1) for line in lines) == CREDENTIALS
        assert not list(tree.rglob("never"))

    def test_the_file_is_private_for_any_umask_and_any_old_file(self, run, tree):
        (tree / ".creds.env").write_text("OLD=1\n")
        (tree / ".creds.env").chmod(0o644)
        before = os.umask(0)
        try:
            run("creds", **CREDENTIALS)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tree / ".creds.env").stat().st_mode) == 0o600
        assert "OLD" not in (tree / ".creds.env").read_text()

    def test_shows_names_but_no_value(self, run):
        result = run("creds", **CREDENTIALS)
        shown = result.stdout + result.stderr
        assert "AWS_SECRET_ACCESS_KEY" in shown
        assert not [value for value in CREDENTIALS.values() if value in shown]

    def test_shows_no_value_under_sh_x(self, tree, tmp_path):
        traced = subprocess.run(
            ["sh", "-x", str(tree / "scripts" / "creds")],
            env={"PATH": "/usr/bin:/bin", **CREDENTIALS},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not [value for value in CREDENTIALS.values() if value in traced.stdout + traced.stderr]

    def test_leaves_out_unset_variables(self, run, tree):
        run("creds", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="", HOME_OF_ALL="b")
        assert (tree / ".creds.env").read_text() == "AWS_ACCESS_KEY_ID=a\n"

    def test_without_variables_it_refuses_and_keeps_the_old_file(self, run, tree):
        (tree / ".creds.env").write_text("OLD=1\n")
        _one_line(run("creds"), 2, "no AWS variable", "export")
        assert (tree / ".creds.env").read_text() == "OLD=1\n"
        assert [path.name for path in tree.glob(".creds*")] == [".creds.env"]

    def test_line_break_in_a_value_is_refused(self, run, tree):
        result = run("creds", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b\nLD_PRELOAD=/evil.so")
        _one_line(result, 2, "AWS_SECRET_ACCESS_KEY", "line break")
        assert "evil" not in result.stderr
        assert not list(tree.glob(".creds*"))

    @pytest.mark.parametrize("name", [".creds.env", ".creds.env.a1B2c3"])
    def test_git_ignores_the_file_and_its_drafts(self, name):
        patterns = (ROOT / ".gitignore").read_text().splitlines()
        assert any(Path(name).match(pattern) for pattern in patterns if pattern and pattern[0] != "#")


class TestStart:
    def _arguments(self, run, engine, *arguments, **environment):
        path, calls = engine
        result = run("start", *arguments, PATH=path, **environment)
        assert result.returncode == 0, result.stderr
        (argv,) = [call["argv"] for call in calls() if call["argv"][0] == "run"]
        cut = argv.index("ard-process:latest")
        return argv[:cut], argv[cut + 1 :]

    def test_options_alone_mean_build_and_are_passed_unchanged(self, run, engine):
        flags = [
            "--initialize",
            "--geometry-file",
            "/app/data/ok test.gpkg",
            "--varname",
            "$HOME *",
            "--bbox",
            "-1",
        ]
        assert self._arguments(run, engine, *flags)[1] == ["build", *flags]

    @pytest.mark.parametrize(
        ("given", "passed"),
        [
            (["--help"], ["build", "--help"]),
            (["--version"], ["--version"]),
            (["plan", "--bbox", "1"], ["plan", "--bbox", "1"]),
            (["build", "--debug"], ["build", "--debug"]),
            (["status", "/app/output/a", "--json"], ["status", "/app/output/a", "--json"]),
            ([], []),
        ],
    )
    def test_subcommands(self, run, engine, given, passed):
        assert self._arguments(run, engine, *given)[1] == passed

    def test_mounts_data_and_output_of_the_checkout_and_creates_them(self, run, engine, tree):
        options, _ = self._arguments(run, engine, "--help")
        mounts = [options[at + 1] for at, option in enumerate(options) if option == "--mount"]
        assert mounts == [
            f"type=bind,source={tree}/data,target=/app/data",
            f"type=bind,source={tree}/output,target=/app/output",
        ]
        assert (tree / "data").is_dir()
        assert (tree / "output").is_dir()

    def test_runs_as_the_caller_and_pulls_nothing(self, run, engine):
        options, _ = self._arguments(run, engine, "--help")
        assert options[options.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
        assert options[options.index("--pull") + 1] == "never"
        assert "--rm" in options
        assert "--tty" not in options

    def test_passes_credentials_as_a_file_and_prefect_by_name(self, run, engine, tree):
        (tree / ".creds.env").write_text("AWS_ACCESS_KEY_ID=a\n")
        options, _ = self._arguments(run, engine, "--help", PREFECT_API_URL="http://x/api", PREFECT_API_KEY="pnu_s")
        assert options[options.index("--env-file") + 1] == ".creds.env"
        assert {options[at + 1] for at, option in enumerate(options) if option == "--env"} == {
            "PREFECT_API_URL",
            "PREFECT_API_KEY",
        }
        assert not [option for option in options if "pnu_s" in option]

    def test_passes_neither_when_there_is_none(self, run, engine):
        options, _ = self._arguments(run, engine, "--help")
        assert "--env-file" not in options
        assert "--env" not in options

    def test_podman_keeps_the_callers_id(self, run, engine):
        options, _ = self._arguments(run, engine, "--help", CONTAINER_ENGINE="podman")
        assert options[options.index("--userns") + 1] == "keep-id"

    def test_exit_code_is_the_containers(self, run, engine):
        path, _ = engine
        assert run("start", "--help", PATH=path, RUN_STATUS="7").returncode == 7

    def test_without_engine(self, run, tree):
        _one_line(run("start", "--help", CONTAINER_ENGINE="no-such-engine"), 2, "no-such-engine", "install")
        assert not (tree / "output").exists()

    def test_without_image(self, run, engine):
        path, calls = engine
        _one_line(run("start", "--help", PATH=path, INSPECT_STATUS="1"), 2, "ard-process:latest", "scripts/build")
        assert [call["argv"][0] for call in calls()] == ["image"]

    def test_works_through_a_symbolic_link(self, run, engine, tree, tmp_path):
        link = tmp_path / "ard"
        link.symlink_to(tree / "scripts" / "start")
        path, calls = engine
        assert run("start", "--debug", script=link, PATH=path).returncode == 0
        assert calls()[-1]["argv"][-2:] == ["build", "--debug"]
        assert calls()[-1]["cwd"] == str(tree)


class TestBuild:
    def test_builds_the_image_from_the_checkout(self, run, engine, tree):
        path, calls = engine
        assert run("build", PATH=path).returncode == 0
        assert calls() == [{"argv": ["build", "--tag", "ard-process:latest", "."], "cwd": str(tree)}]

    def test_forwards_options_of_the_engine(self, run, engine):
        path, calls = engine
        run("build", "--no-cache", PATH=path, CONTAINER_ENGINE="podman")
        assert calls()[0]["argv"] == ["build", "--tag", "ard-process:latest", "--no-cache", "."]

    def test_without_engine(self, run):
        _one_line(run("build", CONTAINER_ENGINE="no-such-engine"), 2, "no-such-engine", "CONTAINER_ENGINE")


class TestSetup:
    def test_python_that_is_missing(self, run, tree):
        _one_line(run("setup", PYTHON="no-such-python"), 2, "no-such-python", "3.11")
        assert not (tree / ".venv").exists()

    def test_python_that_is_too_old(self, run, tree, tmp_path):
        old = tmp_path / "python3.10"
        old.write_text(
            f'#!/bin/sh\n[ "$1" != -V ] || {{ echo Python 3.10.9; exit; }}\n'
            'echo \'import sys; sys.version_info = (3, 10, 9)\' >"$0.py"; cat >>"$0.py"\n'
            f"exec '{sys.executable}' \"$0.py\"\n"
        )
        old.chmod(0o755)
        _one_line(run("setup", PYTHON=str(old)), 2, "Python 3.10.9", "3.11 or newer")
        assert not (tree / ".venv").exists()

    def test_a_venv_that_is_no_environment_is_left_alone(self, run, tree):
        (tree / ".venv").mkdir()
        (tree / ".venv" / "mine").write_text("kept")
        _one_line(run("setup", PYTHON=sys.executable), 2, ".venv", "move it")
        assert (tree / ".venv" / "mine").read_text() == "kept"

    def test_finished_environment_is_not_touched_again(self, run, tree):
        environment = tree / ".venv"
        (environment / "bin").mkdir(parents=True)
        (environment / "pyvenv.cfg").touch()
        # An installer that fails when it is called: a run that does anything at all shows.
        for program in ("ardcube", "pip", "uv"):
            (environment / "bin" / program).write_text("#!/bin/sh\nexit 9\n")
            (environment / "bin" / program).chmod(0o755)
        stamp = subprocess.run(
            [sys.executable, "-c", _stamp_program(tree)],
            cwd=tree,
            env={"ROOT": str(tree)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        (environment / ".ardcube-setup").write_text(stamp)
        result = run("setup", PYTHON=sys.executable)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

        with (tree / "requirements" / "run.txt").open("a") as requirements:
            requirements.write("# changed\n")
        assert run("setup", PYTHON=sys.executable).returncode == 9


def _stamp_program(tree):
    """Return the program with which scripts/setup describes the required environment."""
    text = (tree / "scripts" / "setup").read_text()
    return text.split("<<'PYTHON'\n")[1].split("\nPYTHON\n")[0]
