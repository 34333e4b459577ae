"""The directories that containers see of a login: an access token, and nothing that could get another one.

Blocking; called in a thread. Agents read the file anew for each prompt or request, take ``expires_at`` 0 for a token
that lasts, and refresh nothing without a refresh token (seen by running kimi-cli 1.51 and 1.52 and kimi-code 2.1).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from nanokimi_auth_oauth_file.disk import access
from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, NotALogin, read, read_foreign
from nanokimi_auth_oauth_file.disk.places import name_for
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import Need, private_folder

_DIRECTORY = re.compile(r"([a-z][a-z0-9-]*)-(\d{1,10})")
_MOST = 100
_LEFT_BEHIND = 600.0  # seconds after which a file that was never renamed is a dead process's


class Served:
    """One directory for each agent and user that were served, mounted read-only in their containers.

    A directory stays once it is made: containers have it mounted, and would not see another one in its place.

    Args:
        settings: Of the instance.
        folder: The instance's own.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder.absolute() / "served"

    def folder_for(self, need: Need) -> Path:
        """Say which directory an agent's containers see as their ``credentials``."""
        return self._folder / f"{need.agent}-{need.user[0]}" / "credentials"

    def give(self, need: Need, login: Login) -> None:
        """Put the access token where an agent's containers see it.

        Raises:
            LoginProblem: It can't be written; what was there before stays.
        """
        self._put(self.folder_for(need), name_for(need.agent, self._settings), need.user, login)

    def replace(self, login: Login) -> None:
        """Put the access token of a new login wherever one was given before.

        Raises:
            LoginProblem: It can't be written somewhere; what was there stays, and the others have the new one.
        """
        problems = []
        for credentials, agent, user in self._given():
            try:
                self._put(credentials, name_for(agent, self._settings), user, login)
            except LoginProblem as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    def seen(self, need: Need) -> Login | None:
        """Read what an agent's containers see now; ``None`` where they see no token."""
        try:
            login = read(self.folder_for(need) / f"{name_for(need.agent, self._settings)}.json")
        except LoginProblem:
            return None
        return None if login.revoked else login

    def clear(self) -> None:
        """Take every token away from the containers.

        Raises:
            LoginProblem: One can't be removed.
        """
        for credentials, _, _ in self._given():
            for path in (*islice(credentials.iterdir(), _MOST), *self._left_behind(credentials, age=0)):
                try:
                    path.unlink()
                except OSError as error:
                    raise access.cannot(f"remove {path}", error) from None

    def users(self) -> list[str]:
        """Name the agents that were served, each with the uid of its containers' user."""
        return [f"{agent} (uid {user[0]})" for _, agent, user in self._given()]

    def _given(self) -> Iterator[tuple[Path, str, tuple[int, int]]]:
        with suppress(FileNotFoundError):
            for directory in sorted(islice(self._folder.iterdir(), _MOST)):
                credentials = directory / "credentials"
                named = _DIRECTORY.fullmatch(directory.name)
                if named and credentials.is_dir():
                    yield credentials, named[1], (int(named[2]), credentials.stat().st_gid)

    def _put(self, credentials: Path, name: str, user: tuple[int, int], login: Login) -> None:
        target, data = credentials / f"{name}.json", _content(login)
        try:
            private_folder(credentials.parent)
            access.open_to(_made(credentials), user)
            if _has(target, data):
                access.open_to(target, user)
            else:
                _replace(target, data, user)
            for path in (*_others(target), *self._left_behind(credentials, age=_LEFT_BEHIND)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise access.cannot(f"write {target}", error) from None

    def _left_behind(self, credentials: Path, *, age: float) -> list[Path]:
        """List what a process left that was killed while it wrote."""
        aside = (path for path in islice(credentials.parent.iterdir(), _MOST) if path.name.startswith("."))
        return [path for path in aside if time.time() - path.lstat().st_mtime >= age]


def _content(login: Login) -> bytes:
    shown = {
        "access_token": login.access_token.get_secret_value(),
        "refresh_token": "",
        "expires_at": 0,
        "scope": "kimi-code",
        "token_type": "Bearer",
    }
    return json.dumps(shown).encode()


def _made(credentials: Path) -> Path:
    credentials.mkdir(mode=0o700, exist_ok=True)
    return credentials


def _has(target: Path, data: bytes) -> bool:
    with suppress(NotALogin):
        return read_foreign(target, follow=False)[0] == data
    return False


def _others(target: Path) -> list[Path]:
    """List the files of other names, which were for other servers."""
    return [path for path in islice(target.parent.iterdir(), _MOST) if path.name != target.name]


def _replace(target: Path, data: bytes, user: tuple[int, int]) -> None:
    """Replace a file in one step, readable by its user from the first moment on.

    The new one is written outside of the directory that containers see.
    """
    aside = target.parent.parent / f".{target.name}.{secrets.token_hex(4)}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        access.open_to(aside, user)
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
