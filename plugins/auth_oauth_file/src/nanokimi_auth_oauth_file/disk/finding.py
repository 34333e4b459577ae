"""The login that the keeper keeps: where it lies, and what it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, read_document
from nanokimi_auth_oauth_file.disk.origins import Origins
from nanokimi_auth_oauth_file.disk.places import Place, choose, find_place, name_for
from nanokimi_auth_oauth_file.settings import Settings


@dataclass(frozen=True)
class Found:
    """A login on disk.

    Attributes:
        place: Where it lies.
        name: Its file's name, without ``.json``.
        document: All that its file says.
        login: What of it is known.
    """

    place: Place
    name: str
    document: Mapping[str, Any]
    login: Login

    @property
    def file(self) -> Path:
        """The credentials file."""
        return self.place.file(self.name)

    def again(self) -> Found:
        """Read the file once more.

        Raises:
            LoginProblem: It is missing, unreadable or broken now.
        """
        document, login = read_document(self.file)
        return Found(self.place, self.name, document, login)


def find(settings: Settings, folder: Path, agent: str) -> Found:
    """Find the login of an instance. Blocking.

    Args:
        settings: Of the instance.
        folder: The instance's own.
        agent: For which it is, where several logins lie in one place.

    Raises:
        LoginProblem: There is none, it can't be read, or it belongs to another server: a refresh there would end it.
    """
    place = find_place(settings, folder)
    name = choose(place, name_for(agent, settings))
    document, login = read_document(place.file(name))
    origin = Origins(folder).of(name)
    if origin not in (None, settings.host):
        cause = f"the login in {place.file(name)} is from {origin}, and the toml now says {settings.host}"
        remedy = "change region or oauth_host back, or bring a login of that server with: nanokimi auth import FILE"
        raise LoginProblem("misplaced", cause, remedy)
    return Found(place, name, document, login)
