"""Where a login lies, and under which name each agent looks for it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shlex
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nanokimi_auth_oauth_file.disk.login import LoginProblem, how_to_log_in
from nanokimi_auth_oauth_file.settings import Settings

PLAIN_NAME = "kimi-code"
_LOGIN_FILE = re.compile(r"(kimi-code(?:-env-[0-9a-f]{16})?)\.json")
_LOGIN_IN_IT = re.compile(r"\.?kimi-code(?:-env-[0-9a-f]{16})?\.json")
_MOST_ENTRIES = 10_000


@dataclass(frozen=True)
class Place:
    """Where a login lies; with ``credentials = "shared"`` these are the directories that all containers share.

    Attributes:
        credentials: Holds the login's file, and kimi-cli's lock beside it.
        locks: Holds kimi-code's lock; it must be shared wherever ``credentials`` is, or refreshes are unlocked.
        own: Both are in the instance's own folder.
        agent_home: Somebody's own agent lives here too.
    """

    credentials: Path
    locks: Path
    own: bool
    agent_home: bool

    def file(self, name: str) -> Path:
        """Give the path of the login with this name."""
        return self.credentials / f"{name}.json"

    def names(self) -> list[str]:
        """Name the logins that lie here.

        Raises:
            LoginProblem: NanoKimi may not look.
        """
        return sorted(found[1] for entry in self._entries() if (found := _LOGIN_FILE.fullmatch(entry)))

    def all_files(self) -> list[Path]:
        """List the files with a login in them: also those that an import set aside, or that were never renamed.

        Raises:
            LoginProblem: NanoKimi may not look.
        """
        return [self.credentials / entry for entry in self._entries() if _LOGIN_IN_IT.match(entry)]

    def _entries(self) -> list[str]:
        try:
            return [entry.name for entry in islice(self.credentials.iterdir(), _MOST_ENTRIES)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _closed(self.credentials, error) from None


def find_place(settings: Settings, folder: Path) -> Place:
    """Say where the login lies.

    ``path`` may be a ``credentials`` directory, an agent's home that has one (``~/.kimi-code``, ``~/.kimi``), or any
    directory with the login's file in it. kimi-code's locks lie in ``oauth`` beside ``credentials``, as in the home of
    an agent, so that a ``kimi`` run by hand on it takes part. Beside a directory of another name they would be in
    nobody's home, so they are in the instance's folder; never inside, where an agent could put a link in their place.

    Raises:
        LoginProblem: ``path`` is a file, or NanoKimi may not look there.
    """
    if settings.path is None:
        return Place(folder / "credentials", folder / "oauth", own=True, agent_home=False)
    path = Path(os.path.realpath(settings.path))
    try:
        return _place_at(path, folder)
    except OSError as error:
        raise _closed(path, error) from None


def _place_at(path: Path, folder: Path) -> Place:
    if path.is_file():
        cause = f"path names the file {path}; a file alone can't be shared with containers, since a refresh replaces it"
        raise LoginProblem("misplaced", cause, f"take path out of the toml and run: nanokimi auth import {path}")
    if (path / "credentials").is_dir() and not any(_LOGIN_FILE.fullmatch(entry.name) for entry in path.glob("*.json")):
        path = Path(os.path.realpath(path / "credentials"))
    home = path.parent
    at_home = path.name == "credentials"
    return Place(
        path,
        home / "oauth" if at_home else folder / "oauth",
        own=False,
        agent_home=at_home and ((home / "config.toml").is_file() or (home / "device_id").is_file()),
    )


def name_for(agent: str, settings: Settings) -> str:
    """Say under which name an agent looks for the login.

    kimi-cli 1.51.0 opens a session only with ``kimi-code.json``, whatever the servers. kimi-code 2.1.0 has a file of
    its own for each pair of servers that isn't the default one: ``kimi-code-env-`` and 16 hex digits of the SHA-256 of
    ``{"oauthHost":…,"baseUrl":…}``, both without a slash at the end. (Seen by running both: with the file under
    another name, kimi-code doesn't find it even if the config's ``oauth.key`` names it.)

    Raises:
        LoginProblem: The agent is not known.
    """
    if agent == "kimi-cli" or (agent == "kimi-code" and settings.is_default):
        return PLAIN_NAME
    if agent == "kimi-code":
        servers = json.dumps({"oauthHost": settings.host, "baseUrl": settings.endpoint}, separators=(",", ":"))
        return f"{PLAIN_NAME}-env-{hashlib.sha256(servers.encode()).hexdigest()[:16]}"
    raise LoginProblem(
        "misplaced", f'oauth_file serves kimi-code and kimi-cli, not the agent "{agent}"', 'set auth = "apikey"'
    )


def choose(place: Place, wanted: str) -> str:
    """Choose the login that an agent gets: the one with the right name, else the only one there is.

    Raises:
        LoginProblem: There is none, or more than one and none with the right name.
    """
    names = place.names()
    if wanted in names:
        return wanted
    if not names:
        raise _nothing_in(place)
    if len(names) > 1:
        cause = f"{place.credentials} has several logins ({', '.join(names)}), none for the servers of this account"
        raise LoginProblem("misplaced", cause, "bring the right one with: nanokimi auth import FILE")
    return names[0]


def _nothing_in(place: Place) -> LoginProblem:
    if place.own:
        return LoginProblem("missing", f"there is no login in {place.credentials}", how_to_log_in())
    what = f"login in {place.credentials}" if place.credentials.is_dir() else f"folder {place.credentials}"
    cause = f"there is no {what}, which [plugins.oauth_file] path names"
    return LoginProblem("missing", cause, f"correct [plugins.oauth_file] path in the toml, or {how_to_log_in()}")


def _closed(folder: Path, error: OSError) -> LoginProblem:
    command = f"sudo chown -R {os.geteuid()}:{os.getegid()} {shlex.quote(str(folder))}"
    remedy = f"run: {command}" if error.errno == errno.EACCES else "name another directory"
    return LoginProblem("unreadable", f"NanoKimi can't look into {folder}: {error.strerror}", remedy)
