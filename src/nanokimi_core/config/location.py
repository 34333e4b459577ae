"""Where the toml and the data lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from nanokimi_core.errors import ConfigError

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
        ConfigError: ``config`` or ``NANOKIMI_CONFIG`` names a file that isn't there.
    """
    env = os.environ if environ is None else environ
    toml = _find_toml(config, env)
    if home := env.get("NANOKIMI_HOME"):
        return Location(toml, Path(home).expanduser().absolute())
    if toml is not None:
        return Location(toml, toml.parent / "data")
    return Location(None, platformdirs.user_data_path("nanokimi", appauthor=False))


def _find_toml(config: Path | None, env: Mapping[str, str]) -> Path | None:
    named = [(config, "--config")] if config else []
    if from_env := env.get("NANOKIMI_CONFIG"):
        named.append((Path(from_env), "NANOKIMI_CONFIG"))
    for path, source in named:
        found = path.expanduser().absolute()
        if not found.is_file():
            raise ConfigError(
                f"{source} names {path}, but there is no such file", remedy=f"create it with: nanokimi init {path}"
            )
        return found
    usual = [Path.cwd() / FILE_NAME, platformdirs.user_config_path("nanokimi", appauthor=False) / FILE_NAME]
    return next((path for path in usual if path.is_file()), None)
