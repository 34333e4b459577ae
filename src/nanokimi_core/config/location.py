"""Where the toml and the data lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanokimi_core.errors import ConfigError

if TYPE_CHECKING:
    from platformdirs import PlatformDirs

FILE_NAME = "nanokimi.toml"


@dataclass(frozen=True)
class Location:
    """Where an installation lies.

    Attributes:
        toml: The file, or ``None`` where there is none: then the defaults hold.
        data: The data folder; it need not exist yet.
    """

    toml: Path | None
    data: Path


def locate(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Location:
    """Find the toml and the data folder.

    The toml: ``config``, ``NANOKIMI_CONFIG``, ``./nanokimi.toml``, the user's config folder. The data:
    ``NANOKIMI_HOME``, else ``data/`` beside the toml, else (no toml) the user's data folder.

    Raises:
        ConfigError: ``config`` or ``NANOKIMI_CONFIG`` names a file that isn't there, the toml is no regular file, or
            ``NANOKIMI_HOME`` can't be a folder.
    """
    env = os.environ if environ is None else environ
    toml = _find_toml(config, env)
    if home := env.get("NANOKIMI_HOME"):
        return Location(toml, absolute(Path(home), "NANOKIMI_HOME"))
    if toml is not None:
        return Location(toml, toml.parent / "data")
    return Location(None, _users_folders().user_data_path)


def absolute(path: Path, source: str) -> Path:
    """Give the whole path of what ``source`` names.

    Raises:
        ConfigError: Its ``~user`` is unknown, or it starts from a working folder that was deleted.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ConfigError(
            f"{source} names {path}, and there is no such user's home folder", remedy="write the path in full"
        ) from None
    except FileNotFoundError:
        raise ConfigError(
            "the working folder doesn't exist any more", remedy="change to another folder, and run it again"
        ) from None


def _find_toml(config: Path | None, env: Mapping[str, str]) -> Path | None:
    named = [(config, "--config")] if config else []
    if from_env := env.get("NANOKIMI_CONFIG"):
        named.append((Path(from_env), "NANOKIMI_CONFIG"))
    for path, source in named:
        found = absolute(path, source)
        if not os.path.lexists(found):
            raise ConfigError(
                f"{source} names {path}, but there is no such file", remedy=f"create it with: nanokimi init {path}"
            )
        return _regular(found)
    here = absolute(Path(FILE_NAME), "the working folder")
    if os.path.lexists(here):
        return _regular(here)
    users = _users_folders().user_config_path / FILE_NAME
    return _regular(users) if os.path.lexists(users) else None


def _users_folders() -> PlatformDirs:
    from platformdirs import PlatformDirs  # only for who has no toml in the working folder: it takes memory

    return PlatformDirs("nanokimi", appauthor=False)


def _regular(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"{path} is no regular file", remedy="put a file in its place, or take it away")
    return path
