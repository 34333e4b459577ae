"""Writes the distribution of a new plugin, from the templates beside it."""

from __future__ import annotations

import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from nanokimi_core import __version__
from nanokimi_core.cli.commands import BUILT_IN
from nanokimi_core.errors import CommandError
from nanokimi_core.plugins import KINDS, Kind, installed

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 24
_ENDING = ".tmpl"
_FIRST_PORT, _PORTS = 20_000, 10_000


@dataclass(frozen=True)
class Plan:
    """What a new plugin is called.

    Attributes:
        kind: Of plugin.
        name: In the toml.
    """

    kind: Kind
    name: str

    @property
    def distribution(self) -> str:
        """What pip calls it."""
        return f"nanokimi-{self.kind}-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        """What Python calls it."""
        return f"nanokimi_{self.kind}_{self.name}"

    @property
    def toml(self) -> str:
        """The line of nanokimi.toml that uses it."""
        return f'transports = ["{self.name}"]' if self.kind == "transport" else f'{self.kind} = "{self.name}"'

    def words(self) -> dict[str, str]:
        """Give what the templates leave open."""
        major, minor = __version__.split(".")[:2]
        return {
            "kind": self.kind,
            "name": self.name,
            "Name": "".join(part.capitalize() for part in self.name.split("_")),
            "distribution": self.distribution,
            "package": self.package,
            "toml": self.toml,
            "core": f">={major}.{minor},<{major}.{int(minor) + 1}",
            "port": str(_FIRST_PORT + zlib.crc32(self.name.encode()) % _PORTS),
            "variable": f"{self.name.upper()}_KEY",
        }


def plan(kind: str, name: str) -> Plan:
    """Check what somebody wants to call a new plugin.

    Raises:
        CommandError: There is no such kind, or the name can't be used.
    """
    if kind not in KINDS:
        raise CommandError(f'there is no plugin of the kind "{kind}"', remedy=f"the kinds are {', '.join(KINDS)}")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        shape = f"lower-case letters, digits and single _ between them, from a letter on, at most {_LONGEST}"
        near = _near(name)
        raise CommandError(
            f'"{name}" can\'t be the name of a plugin: it takes {shape}',
            remedy=f'for example "{near}"' if near else "choose another name",
        )
    if name in BUILT_IN or name in KINDS:
        what = "a command of nanokimi" if name in BUILT_IN else "a kind of plugin"
        raise CommandError(f'"{name}" can\'t be the name of a plugin: it is {what}', remedy="choose another name")
    for plugin in installed():
        if plugin.name == name:
            raise CommandError(
                f'there is a plugin "{name}" already, from {plugin.origin}',
                remedy=f"choose another name, or uninstall it first: pip uninstall {plugin.distribution}"
                if plugin.distribution != "nanokimi"
                else "choose another name",
            )
    return Plan(kind, name)


def write(what: Plan, folder: Path) -> list[str]:
    """Write the distribution, all of it or nothing; gives the paths of its files, within the folder.

    Args:
        what: To write.
        folder: Where; it may exist, and must be empty.

    Raises:
        CommandError: There is something at that place already, or it can't be written.
    """
    target = folder.absolute()
    if target.exists() or target.is_symlink():
        target = _empty(target)
    made = dict(_files(what))
    try:
        with _aside(target.parent) as aside:
            for path, text in made.items():
                file = aside / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            place(aside, target)
    except OSError as error:
        said = f"{target} can't be written: {error.strerror}"
        raise CommandError(said, remedy="mend that, or name another place with --dir") from error
    return sorted(made)


def _near(name: str) -> str:
    """Make a name that can be used out of one that can't; empty where nothing is left of it."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())
    near = "_".join(words).lstrip("0123456789_")[:_LONGEST].rstrip("_")
    return near if _NAME.fullmatch(near) else ""


def _empty(target: Path) -> Path:
    """Make sure that an existing folder is one, and empty; gives where it really is."""
    if not target.is_dir():
        raise CommandError(f"{target} exists already, and is no folder", remedy="name another place with --dir")
    if any(target.iterdir()):
        raise CommandError(f"{target} has files in it already", remedy="name another place with --dir")
    return target.resolve()


@contextmanager
def _aside(parent: Path) -> Iterator[Path]:
    """Give a folder on the same disk as the place to fill, and see to it that nothing of it is left."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".nanokimi-new-", dir=parent) as folder:
        aside = Path(folder) / "made"
        aside.mkdir()
        yield aside


def place(aside: Path, target: Path) -> None:
    """Move what was written to its place. A folder that exists stays the same one: somebody may be in it.

    Raises:
        OSError: It can't be moved; then nothing is.
    """
    if not target.exists():
        aside.rename(target)
        return
    moved: list[Path] = []
    try:
        for name in sorted(entry.name for entry in aside.iterdir()):
            (aside / name).rename(target / name)
            moved += [target / name]
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _files(what: Plan) -> Iterator[tuple[str, str]]:
    words = what.words()
    for part in ("common", what.kind):
        for path, text in _templates(files(__name__) / "templates" / part):
            yield path.replace("PACKAGE", what.package), Template(text).substitute(words)


def _templates(folder: Traversable, path: str = "") -> Iterator[tuple[str, str]]:
    """Give the templates under a folder: the path that each is for, and its text."""
    for entry in folder.iterdir():
        name = entry.name.replace("dot-", ".", 1) if entry.name.startswith("dot-") else entry.name
        if entry.is_dir():
            yield from _templates(entry, f"{path}{name}/")
        elif name.endswith(_ENDING):
            yield path + name.removesuffix(_ENDING), entry.read_text(encoding="utf-8")
