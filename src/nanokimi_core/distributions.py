"""What installed distributions say of themselves: which forgot their entry point, which want another core."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

from nanokimi_core.errors import PluginError

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

CORE = "nanokimi"
_GROUP = "nanokimi"
_OTHER_GROUPS = ("nanokimi.rigs",)
_KINDS = ("transport-", "backend-", "auth-")
_OF_CORE = re.compile(rf"{CORE}(?![\w.-])", re.IGNORECASE)
_NOT_THERE = re.compile(
    r"cannot import name '(?P<name>\w+)' from '(?P<from>nanokimi_core[\w.]*)'"
    r"|module '(?P<module>nanokimi_core[\w.]*)' has no attribute '(?P<attribute>\w+)'"
)


@dataclass(frozen=True)
class Forgotten:
    """An installed distribution that looks like a plugin, and has no entry point in the group ``nanokimi``.

    Attributes:
        name: What its plugin could be called in the toml.
        distribution: What pip calls it.
        version: Of the distribution.
        cause: What is wrong, for people.
        remedy: What to do about it.
    """

    name: str
    distribution: str
    version: str
    cause: str
    remedy: str


def without_entry_point() -> list[Forgotten]:
    """List the distributions that require NanoKimi or are named after it, and have no entry point that it looks for."""
    found = {each.distribution: each for each in map(_forgotten, _plugin_like()) if each is not None}
    return sorted(found.values(), key=lambda each: each.distribution)


def _plugin_like() -> Iterator[Distribution]:
    for distribution in importlib.metadata.distributions():
        name = _normal(distribution.metadata["Name"] or "")  # a torn installation can lack it
        if name.startswith(f"{CORE}-") or _requirement(distribution) is not None:
            yield distribution


def _forgotten(distribution: Distribution) -> Forgotten | None:
    groups = {point.group for point in distribution.entry_points}
    if _GROUP in groups:
        return None
    name = _normal(distribution.name).removeprefix(f"{CORE}-")
    for kind in _KINDS:
        name = name.removeprefix(kind)
    name = name.replace("-", "_")
    strayed = sorted(group for group in groups if group.startswith(_GROUP) and group not in _OTHER_GROUPS)
    other = f"; it has one in the group {strayed[0]}, which nobody reads" if strayed else ""
    return Forgotten(
        name,
        distribution.name,
        distribution.version,
        f"{distribution.name} {distribution.version} is installed, and has no entry point in the group {_GROUP}{other}",
        f"if it is a plugin, write in its pyproject.toml, under [project.entry-points.{_GROUP}], the line "
        f'{name} = "{_module_of(distribution)}", and install it again',
    )


def _module_of(distribution: Distribution) -> str:
    brought = _modules(distribution)
    expected = _normal(distribution.name).replace("-", "_")
    return expected if expected in brought or not brought else brought[0]


def check_core(name: str, distribution: str) -> None:
    """See that this core is one that a plugin's distribution wants.

    Raises:
        PluginError: It is too old, or too new.
    """
    try:
        found = importlib.metadata.distribution(distribution)
        core = importlib.metadata.version(CORE)
    except importlib.metadata.PackageNotFoundError:
        return
    requirement = _requirement(found)
    if requirement is None or requirement.specifier.contains(core, prereleases=True):
        return
    wanted = requirement.specifier
    remedy = f"update the plugin: pip install -U {distribution}; or take the core that it is made for: "
    if _is_older(core, wanted):
        remedy = "update the core: "
    raise PluginError(
        f'plugin "{name}" ({distribution} {found.version}) needs nanokimi {wanted}, and this is nanokimi {core}',
        remedy=f"{remedy}pip install -U '{CORE}{wanted}'",
    )


def _requirement(distribution: Distribution) -> Requirement | None:
    """Give what a distribution requires of the core, in this environment and without its extras."""
    mine = [each for each in distribution.requires or () if _OF_CORE.match(each)]
    if not mine or _normal(distribution.name) == CORE:
        return None
    from packaging.requirements import InvalidRequirement, Requirement  # it takes its time, and few need it

    with suppress(InvalidRequirement):
        for requirement in map(Requirement, mine):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                return requirement
    return None


def _is_older(core: str, wanted: SpecifierSet) -> bool:
    from packaging.version import Version

    lowest = [each.version.removesuffix(".*") for each in wanted if each.operator in (">", ">=", "~=", "==", "===")]
    return any(Version(core) <= Version(each) for each in lowest)


def lacking(error: BaseException) -> tuple[str, str] | None:
    """Tell from what a plugin raised at import which name of the core it wants that isn't there.

    Returns:
        The sentence and the remedy; ``None`` where it is about something else.
    """
    found = _NOT_THERE.search(str(error)) if isinstance(error, (ImportError, AttributeError)) else None
    if found is None:
        return None
    name, module = found["name"] or found["attribute"], found["from"] or found["module"]
    known = getattr(sys.modules.get(module), "__all__", ())
    close = get_close_matches(name, known, n=1)
    remedy = f'did you mean "{close[0]}"? else ' if close else ""
    return (
        f"it wants {name} of {module}, which nanokimi {importlib.metadata.version(CORE)} doesn't have",
        f"{remedy}update the core: pip install -U {CORE}, and require the version that has it",
    )


def modules_of(distribution: str) -> list[str]:
    """Name the modules and packages that an installed distribution brings; none where it doesn't say."""
    try:
        return _modules(importlib.metadata.distribution(distribution))
    except importlib.metadata.PackageNotFoundError:
        return []


def _modules(distribution: Distribution) -> list[str]:
    files = distribution.files or []
    packages = [file.parts[0] for file in files if len(file.parts) == 2 and file.name == "__init__.py"]
    return packages + [file.stem for file in files if len(file.parts) == 1 and file.suffix == ".py"]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
