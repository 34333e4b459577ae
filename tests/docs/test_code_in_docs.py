"""Every example in the README, the docs and the docstrings is run, or is a piece of a file that tests run."""

from __future__ import annotations

import ast
import doctest
import inspect
import io
import json
import re
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import nanokimi_core
import nanokimi_core.testing
from nanokimi_core.cli.commands import BUILT_IN
from nanokimi_core.cli.guard import run
from testbed.contract_pages import FOLDER as REFERENCE
from testbed.reference import commands, plugin_commands

ROOT = Path(__file__).parent.parent.parent
GUIDE = ROOT / "docs" / "plugins"
READMES = [ROOT / "README.md", *sorted(ROOT.glob("plugins/*/README.md")), *sorted(ROOT.glob("examples/*/README.md"))]
PAGES = [page for page in (*READMES, *sorted((ROOT / "docs").rglob("*.md"))) if page.parent != REFERENCE]
SOURCES = sorted(
    {*(ROOT / "src").rglob("*.py"), *ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("examples/*/src/**/*.py")}
)
EXAMPLES = sorted(GUIDE.glob("*/*.py"))


def blocks(text: str, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


# --------------------------------------------------------------------- Python in pages
def pieces(block: str) -> list[str]:
    """Take a block apart where blank lines part the names that it was made of."""
    return [piece for piece in re.split(r"\n{2,}", block.strip("\n")) if piece.strip()]


def strays(text: str) -> list[str]:
    """Name pieces of Python that stand in no file of the guide's examples."""
    files = [_flush(path.read_text()) for path in EXAMPLES]
    given = [piece for block in blocks(text, "python", "py") for piece in pieces(block)]
    return [piece for piece in given if not any(_flush(piece) in file for file in files)]


def _flush(code: str) -> str:
    """Take the indentation away: a page shows a method from the left margin."""
    return "\n".join(line.lstrip() for line in code.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_all_python_in_the_docs_stands_in_files_that_tests_run(page: Path) -> None:
    assert strays(page.read_text()) == []


def test_python_of_the_page_alone_would_be_noticed() -> None:
    assert strays("```python\nprint('never run')\n```\n") == ["print('never run')"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(GUIDE)))
def test_every_file_of_an_example_is_a_test_or_is_imported_by_one(path: Path) -> None:
    tests = [test.read_text() for test in path.parent.glob("test_*.py")]
    through = [rig.read_text() for rig in path.parent.glob("*_rig.py")]
    words = re.compile(rf"^(import|from) {path.stem}\b", re.MULTILINE)
    assert path.stem.startswith("test_") or any(map(words.search, [*tests, *through]))


def test_the_readmes_transport_is_the_guides_first_one() -> None:
    assert blocks((ROOT / "README.md").read_text(), "python") == [(GUIDE / "line" / "nanokimi_line.py").read_text()]


# --------------------------------------------------------------------- command lines
def command_lines(text: str) -> Iterator[list[str]]:
    """Give the words after ``nanokimi`` of every command line of a page, in blocks and in the prose."""
    lines = [
        line.partition("#")[0] for block in blocks(text, "sh", "bash", "text", "console") for line in block.splitlines()
    ]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    for line in [*lines, *spans]:
        if found := re.match(r"^\s*(?:\$ )?nanokimi ([^|>&;…]+)", line):
            yield found[1].split()


def unknown(words: list[str]) -> str:
    """Say what is wrong with a command line; nothing where its command and its options exist."""
    while words and words[0] == "--config":
        words = words[2:]
    if not words or words[0].startswith("-") or not words[0].islower():
        return ""
    inner = {" ".join(words[:2])} & set(known())
    name = inner.pop() if inner else words[0]
    groups = {each.split()[0] for each in known() if " " in each}
    if name not in BUILT_IN and name not in groups and " " not in name:
        return f"there is no command {name}"
    if name in groups and len(words) > 1 and words[1].isalpha() and words[1].islower():
        return f"{name} has no command {words[1]}"
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    return next((f"{name} has no {option}" for option in sorted(options) if option not in help_of(name)), "")


@cache
def known() -> tuple[str, ...]:
    return (*commands(), *plugin_commands())


@cache
def help_of(name: str) -> str:
    with redirect_stdout(io.StringIO()) as said:
        assert run([*name.split(), "--help"]) == 0
    return said.getvalue()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_in_the_docs_exists_with_its_options(page: Path) -> None:
    assert sorted({wrong for words in command_lines(page.read_text()) if (wrong := unknown(words))}) == []


def test_a_command_line_that_there_is_not_would_be_noticed() -> None:
    page = "```sh\nnanokimi chat --once hello\nnanokimi chad\nnanokimi auth loggin\n```\n and `nanokimi run --louder`\n"
    found = [wrong for words in command_lines(page) if (wrong := unknown(words))]
    assert found == ["there is no command chad", "auth has no command loggin", "run has no --louder"]


# --------------------------------------------------------------------- JSON
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_all_json_in_the_docs_can_be_read(page: Path) -> None:
    for block in blocks(page.read_text(), "json"):
        json.loads(block)


# --------------------------------------------------------------------- docstrings
@cache
def docstrings(path: Path) -> list[tuple[str, str]]:
    """Give the docstrings of a file, each with where it stands."""
    return list(_docstrings(path))


def _docstrings(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if text := ast.get_docstring(node):
            yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'the module')}", text


def python_in(text: str) -> list[str]:
    """Give the indented blocks of a docstring that are Python: more than words, or with a word that only Python has."""
    prose = re.split(r"^(?:Args|Attributes|Raises|Returns|Yields):$", text, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"(?:^ {4,}.*\n|^\s*\n)+", prose + "\n", flags=re.MULTILINE)
    given = [textwrap.dedent(block).strip("\n") for block in found]
    return [block for block in given if block.strip() and _is_python(block)]


def loose_python_in(text: str) -> list[str]:
    """Give lines of code that stand among the words, where nobody would take them out and run them."""
    return re.findall(r"^(?:import \w+|from \S+ import .+|(?:async )?with \w+\(.+|await \w+\(.+)$", text, re.MULTILINE)


def _is_python(block: str) -> bool:
    try:
        tree = ast.parse(block)
    except SyntaxError:
        return bool(re.search(r"^(import|from|def|async def|class|with|async with) ", block, re.MULTILINE))
    return any(not isinstance(each, ast.Expr) or isinstance(each.value, ast.Call | ast.Await) for each in tree.body)


def examples() -> list[tuple[str, str]]:
    """Give every example in a docstring, with where it stands."""
    return [(where, block) for path in SOURCES for where, text in docstrings(path) for block in python_in(text)]


def given_names() -> dict[str, Any]:
    """Give what the examples may use without importing it: what plugins may import, and the guide's first rig."""
    from nanokimi_line_rig import LineRig

    names = {name: getattr(package, name) for package in PACKAGES for name in package.__all__}
    return names | {"PostRig": LineRig}


PACKAGES = (nanokimi_core, nanokimi_core.testing)


def test_every_example_in_a_docstring_runs() -> None:
    found = examples()
    assert found
    for where, block in found:
        names = given_names()
        code = compile(block, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        assert not code.co_flags & inspect.CO_COROUTINE, f"{where}: an example that awaits needs a test of its own"
        exec(code, names)  # noqa: S102
        made = [value for name, value in names.items() if name.startswith("Test") and hasattr(value, "checks")]
        assert all(suite.rig is names["PostRig"] for suite in made)


def test_no_code_stands_in_a_docstring_as_words() -> None:
    told = [(where, found) for path in SOURCES for where, text in docstrings(path) if (found := loose_python_in(text))]
    assert told == []
    assert loose_python_in("Use it.\n\nasync with bot() as it: …") == ["async with bot() as it: …"]


def test_every_dialogue_in_a_docstring_is_true() -> None:
    parser, failed = doctest.DocTestParser(), []
    for path in SOURCES:
        for where, text in docstrings(path):
            if ">>>" in text:
                test = parser.get_doctest(text, given_names(), where, str(path), 0)
                failed += [where] * doctest.DocTestRunner(verbose=False).run(test).failed
    assert failed == []


def test_python_in_a_docstring_is_told_from_other_indented_text() -> None:
    assert python_in("Do it.\n\n    class A(B):\n        c = D\n\nAnd so on.") == ["class A(B):\n    c = D"]
    assert python_in("Broken.\n\n    def f(:\n") == ["def f(:"]
    assert python_in("A tree.\n\n    Error        one sentence\n    ├── Other    another\n") == []
    assert python_in("Words.\n\nArgs:\n    name: What it is called.\n") == []
