"""The documents: their links, the tests and options that they name, and the index of decision records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import cli

ROOT = Path(__file__).parents[1]
RELIABILITY = ROOT / "docs" / "reliability.md"
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_test_named_on_the_reliability_page_exists() -> None:
    text = RELIABILITY.read_text()
    short = dict(re.findall(r"`([A-Z]{2})` is `(tests/[\w/]+\.py)`", text))
    named = re.findall(r"`([A-Z]{2}|tests/[\w/]+\.py)::(test_\w+)`", text)
    assert len(named) > 40
    for file, test in named:
        path = ROOT / short.get(file, file)
        assert re.search(rf"^def {test}\(", path.read_text(), re.MULTILINE), f"{test} is not in {path.name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_path_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    folders = "ardcube|flows|hooks|tasks|tests|benchmarks|scripts|deployments|docs"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text()):
        assert (ROOT / path).exists(), path


def options_on(page: Path) -> Iterator[tuple[str | None, str]]:
    """Yield subcommand and option of each `ardcube` command of a page; None for an option in running text."""
    text = page.read_text()
    for subcommand, arguments in re.findall(r"ardcube ([a-z]+)((?:[^\n`]|\\\n)*)", text.replace("\\\n", " ")):
        for option in re.findall(r"(?<=\s)--[a-z][a-z0-9-]+", arguments):
            yield subcommand, option
    for option in re.findall(r"`(--[a-z][a-z0-9-]+)[^`]*`", text):
        yield None, option


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != DECISIONS], ids=page_id)
def test_every_option_that_a_page_names_exists(page: Path) -> None:
    known = {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in cli.commands.items()
    }
    of_scripts = {"--unit", "--short", "--share", "--ways", "--coefficients", "--estimates", "--continent"}
    for subcommand, option in options_on(page):
        if subcommand is None:
            assert option in {"--help"}.union(of_scripts, *known.values()), option
        elif subcommand in known:
            assert option in known[subcommand] | {"--help"}, f"ardcube {subcommand} {option}"


def test_the_index_lists_every_decision_record() -> None:
    linked = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (DECISIONS / "README.md").read_text())
    assert sorted(linked) == sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))


@pytest.mark.parametrize("record", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_a_decision_record_has_its_four_sections(record: Path) -> None:
    number, sections = int(record.stem[:4]), re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
    assert record.read_text().startswith(f"# {number}. ")
    assert [name for name in sections if name in {"Context", "Decision", "Consequences", "Rejected"}] == [
        "Context", "Decision", "Consequences", "Rejected",
    ]  # fmt: skip
