"""The reference is made from the docstrings, and leaves nothing out."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

import nanokimi_core
import nanokimi_core.testing
from nanokimi_core import hookspecs
from nanokimi_core.testing import plugin
from testbed.contract_pages import FOLDER, PAGES, home, public, rendered

REMEDY = "run: PYTHONPATH=tests python -m testbed.reference"
PACKAGES = (nanokimi_core, nanokimi_core.testing)


def headings(pages: dict[str, str]) -> Counter[str]:
    """Count the names that have a part of their own."""
    return Counter(name for text in pages.values() for name in re.findall(r"^## `(\w+)`$", text, re.MULTILINE))


def outdated(pages: dict[str, str]) -> list[str]:
    """Name the files that are not as the docstrings would make them, those that are no page included."""
    there = {path.name: path.read_text() for path in FOLDER.iterdir()}
    return sorted(name for name in there.keys() | pages.keys() if there.get(name) != pages.get(name))


def undescribed(text: str) -> list[str]:
    """Name the parts of a page, names and methods alike, in which no word stands after the signature."""
    parts = re.split(r"^##+ (`[\w.]+`)$", text, flags=re.MULTILINE)
    return [name for name, part in zip(parts[1::2], parts[2::2], strict=True) if not _prose(part)]


def _prose(part: str) -> str:
    return re.sub(r"^```.*?^```|^---$", "", part, flags=re.DOTALL | re.MULTILINE).strip()


def test_the_pages_are_up_to_date() -> None:
    assert outdated(rendered()) == [], REMEDY


def test_a_changed_docstring_would_be_noticed() -> None:
    pages = rendered()
    assert outdated({**pages, "errors.md": pages["errors.md"] + "more"}) == ["errors.md"]
    assert outdated({name: text for name, text in pages.items() if name != "auth.md"}) == ["auth.md"]


def test_every_public_name_stands_on_exactly_one_page() -> None:
    names = [name for package in PACKAGES for name in package.__all__]
    counted = headings(rendered())
    assert len(names) > 80
    assert {name: counted[name] for name in names if counted[name] != 1} == {}
    assert sorted(counted.keys() - set(names)) == []


def test_every_public_name_and_method_is_described() -> None:
    assert {name: found for name, text in rendered().items() if (found := undescribed(text))} == {}


def test_a_name_without_a_docstring_would_be_noticed() -> None:
    text = rendered()["auth.md"]
    assert undescribed(text.replace("An account.\n", "")) == ["`Auth`"]


@pytest.mark.parametrize("page", PAGES)
def test_every_field_and_every_raised_error_of_a_public_class_is_on_its_page(page: str) -> None:
    text = rendered()[f"{page}.md"]
    missing = [
        f"{name}.{field}"
        for name, value in public()[page]
        if isinstance(value, type)
        for field in annotated(value)
        if not field.startswith("_") and f"| `{field}` |" not in part_of(text, name)
    ]
    assert missing == []
    errors = re.findall(r"^ {4,}(\w+): ", "\n".join(raised(value) for _, value in public()[page]), re.MULTILINE)
    assert [error for error in errors if f"- `{error}`: " not in text] == []


def annotated(value: type[Any]) -> list[str]:
    """Name the fields of a class, and of those above it that are not public themselves."""
    names = {name for package in PACKAGES for name in package.__all__}
    own = [each for each in value.__mro__ if each is value or each.__name__ not in names]
    ours = [each for each in own if each.__module__.startswith("nanokimi_core")]
    return [field for each in ours for field in vars(each).get("__annotations__", {})]


def part_of(text: str, name: str) -> str:
    return re.split(r"^## ", text.partition(f"## `{name}`\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def raised(value: Any) -> str:
    """Give what stands under ``Raises:`` in the docstrings of a name and of its methods."""
    own = list(vars(value).values()) if isinstance(value, type) else []
    docs = [each.__doc__ or "" for each in (value, *own) if callable(each) and isinstance(each.__doc__, str)]
    return "\n".join(doc.partition("Raises:\n")[2] for doc in docs)


def test_every_hook_is_on_the_page_of_registration_and_in_the_guide() -> None:
    hooks = [name for name in vars(hookspecs.Hooks) if name.startswith("nanokimi_")]
    guide = (FOLDER.parent / "README.md").read_text()
    assert len(hooks) == 3
    assert [hook for hook in hooks if f"| `{hook}" not in rendered()["registration.md"]] == []
    assert [hook for hook in hooks if f"| `{hook}` |" not in guide] == []


def test_a_public_name_without_a_home_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="Nothing is public"):
        home(object(), "Nothing")


def test_every_fixture_that_the_kit_brings_to_pytest_is_told() -> None:
    fixtures = [name for name in vars(plugin) if name.startswith("nanokimi_")]
    assert "nanokimi_bot" in fixtures
    assert [name for name in fixtures if f"| `{name}` |" not in rendered()["testing.md"]] == []
