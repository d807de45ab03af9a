"""The language of code and documents: no word that a reader has to translate."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("ardcube", "benchmarks", "flows", "hooks", "tasks", "tests")
TEXTS = (
    "*.md",
    "*.toml",
    "*.yaml",
    "Dockerfile",
    ".ci/run",
    "scripts/*",
    "docs/**/*.md",
    "docs/**/*.ipynb",
    "deployments/**/*.yaml",
)

INSTEAD = {
    r"anew": "again",
    r"as \w+ has it": "by the specification of X",
    r"as (?:it was|they were)": "unchanged",
    r"at sea": "in flight",
    r"at work": "running",
    r"bad moments?": "transient error",
    r"be there": "exist",
    r"beside": "next to",
    r"buried": "the noun",
    r"die[ds]? of|dies": "end, be killed by",
    r"for good": "permanent",
    r"for now": "transient, temporary",
    r"(?:is|are|was|were|be|been) gone": "missing, deleted",
    r"in hand": "in flight",
    r"let(?:s|ting)? go": "release",
    r"lies|lay": "exists, is",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"of (?:its own|theirs|ours|yours)": "the name of the owner",
    r"stands?|stood": "exists, is",
    r"such as it is": "unchanged",
    r"tells?|told|telling": "report, log, return",
    r"wants?": "needs, requests",
    r"what (?:is|was)": "the noun",
    r"whoever": "the name of the person or program",
}
"""Regular expression of a word to avoid -> the word to write."""
FIRST_WORDS = {"what", "who", "whoever"}
"""First words that a docstring must not have; it begins with a verb or with the noun of the thing."""
AVOIDED = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)

Line = tuple[int, str]


def words_of(text: str) -> str:
    """Return a text with identifiers split at underscores, capitals and line breaks."""
    return re.sub(r"[_\s]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text))


def paragraphs(text: str, first: int = 1) -> Iterator[Line]:
    """Yield the paragraphs of a text, each with the number of its first line."""
    start, lines = first, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], first):
        if line.strip():
            lines.append(re.sub(r"^\s*#+", "", line))
        else:
            if lines:
                yield start, " ".join(lines)
            start, lines = number + 1, []


def code_texts(source: str) -> Iterator[Line]:
    """Yield comments, strings (docstrings and messages included) and defined names of a module."""
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT
    ]
    for token in comments:
        yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)):
                yield from paragraphs(text, node.lineno)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def findings(path: Path) -> Iterator[str]:
    """Yield the words to avoid in a file, with place and substitute."""
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text())  # pictures of a notebook are letters by chance
    for line, part in code_texts(text) if path.suffix == ".py" else paragraphs(text):
        for found in AVOIDED.finditer(words_of(part)):
            instead = next(instead for word, instead in INSTEAD.items() if re.fullmatch(word, found[0], re.IGNORECASE))
            yield f"{path.relative_to(ROOT)}:{line}: write {instead!r} instead of {found[0]!r}"


def docstrings(path: Path) -> Iterator[Line]:
    """Yield the docstrings of a module, its classes and its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def files() -> list[Path]:
    code = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    texts = [path for pattern in TEXTS for path in ROOT.glob(pattern)]
    return sorted(path for path in {*code, *texts} if path.is_file() and path != Path(__file__).resolve())


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_uses_plain_technical_english(path: Path) -> None:
    assert list(findings(path)) == []


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in files()
        if path.suffix == ".py"
        for line, text in docstrings(path)
        if text.split()[0].lower() in FIRST_WORDS
    ]
    assert found == []
