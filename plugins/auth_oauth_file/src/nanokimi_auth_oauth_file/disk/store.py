"""The login on disk: found, made usable for a container, replaced by an import. Blocking; called in a thread."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from nanokimi_auth_oauth_file.disk import access
from nanokimi_auth_oauth_file.disk.imports import read_importable, refuse_older
from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, how_to_log_in, read
from nanokimi_auth_oauth_file.disk.origins import Origins
from nanokimi_auth_oauth_file.disk.places import PLAIN_NAME, Place, choose, find_place, name_for
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import ConfigError, Need, keep_secret, private_folder, write_private


@dataclass(frozen=True)
class Stored:
    """A login that can be used.

    Attributes:
        name: Its file's name, without ``.json``.
        place: Where it lies.
        login: Its content; ``None`` where only the container's user may read it.
    """

    name: str
    place: Place
    login: Login | None

    @property
    def file(self) -> Path:
        """The credentials file."""
        return self.place.file(self.name)


class Store:
    """The directories of a login.

    Args:
        settings: Of the instance.
        folder: The instance's own.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder.absolute()
        self._origins = Origins(self._folder)
        self._served: dict[str, str] = {}
        self._busy = threading.Lock()

    def find(self, agent: str = "kimi-code") -> Stored:
        """Find the login as NanoKimi itself uses it, changing nothing.

        Raises:
            LoginProblem: There is none that can be used.
        """
        place = find_place(self._settings, self._folder)
        name = choose(place, name_for(agent, self._settings))
        stored = Stored(name, place, self._usable(place, name, _me()))
        self._check_origin(stored)
        return stored

    def keep(self) -> Stored:
        """Find the login, note its server, and take it back from the user that containers shared it as.

        Raises:
            LoginProblem: There is none that can be used, or it can't be taken back.
        """
        stored = self.find()
        if stored.place.own and os.geteuid() == 0:
            for path in (stored.place.credentials, stored.file):
                access.give(path, _me(), own=True)
            for path, _ in access.needed(stored.place, stored.name, locks=True):
                with suppress(LoginProblem):  # a link in a lock's place is no reason to serve nobody
                    access.give(path, _me(), own=True)
        with suppress(LoginProblem):  # a full disk is the keeper's to tell; the token serves while it lives
            self._note_origin(stored.name)
        return stored

    def keep_for(self, need: Need) -> Stored:
        """Find the login that an agent's own program refreshes, and note its server.

        It is given to nobody, whoever the container's user of a turn is: they see no more than its access token, and a
        refresh that is under way must find the files' owner as it was.

        Raises:
            LoginProblem: There is none that can be used.
        """
        stored = self.find(need.agent) if os.geteuid() == 0 else self.look(need.agent, need.user)
        with suppress(LoginProblem):  # as above
            self._note_origin(stored.name)
        return stored

    def rename_for(self, need: Need) -> Stored:
        """Give the login the name that an agent looks for. Only to be called where no refresh is under way.

        Raises:
            LoginProblem: It can't have it, or there is none that can be used.
        """
        with self._busy:
            found = self.keep_for(need)
            return Stored(self._named_for(need, found), found.place, found.login)

    def look(self, agent: str = "kimi-code", user: tuple[int, int] | None = None) -> Stored:
        """Find the login and check that it can be used, changing nothing.

        Raises:
            LoginProblem: There is none that can be used.
        """
        place = find_place(self._settings, self._folder)
        name = choose(place, name_for(agent, self._settings))
        user = user or _me()
        login = self._usable(place, name, user)
        access.check(place, name, user, locks=_has_locks(agent))
        stored = Stored(name, place, login)
        self._check_origin(stored)
        return stored

    def prepare(self, need: Need) -> Stored:
        """Find the login and make it usable for an agent: under its name, by its user, with a place for its lock.

        Raises:
            LoginProblem: There is none that can be used.
        """
        with self._busy:
            return self._prepare(need)

    def take(self, file: Path) -> Stored:
        """Store a copy of another machine's credentials file.

        Raises:
            ConfigError: It is none, holds no login, or would replace a newer one.
            LoginProblem: There is no place for it.
        """
        data, login = read_importable(file)
        with self._busy:
            return self._replace(data, login, confirmed=False)

    def take_new(self, folder: Path) -> Stored:
        """Store the login that an agent has just written into a folder, in place of whichever was there.

        Raises:
            ConfigError: It has written none, or none that can be refreshed.
            LoginProblem: There is no place for it.
        """
        there = Place(folder / "credentials", folder, own=True, agent_home=False)
        file = there.file(choose(there, name_for("kimi-code", self._settings)))
        data, login = read_importable(file, follow=False)
        with self._busy:
            return self._replace(data, login, confirmed=True)

    def forget(self) -> None:
        """Remove every login from the instance's own folder, those of other servers that were set aside included.

        Raises:
            ConfigError: The toml's ``path`` says that the login is somebody else's; says where.
            LoginProblem: A file can't be removed.
        """
        place = find_place(self._settings, self._folder)
        if not place.own:
            raise ConfigError(
                f"path in nanokimi.toml names {place.credentials}, and the login there is not NanoKimi's to remove",
                remedy="log out with the kimi that it belongs to, or take path out of the toml",
            )
        with self._busy:
            for path in place.all_files():
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise access.cannot(f"remove {path}", error) from None

    @property
    def agents(self) -> set[str]:
        """The agents that it was prepared for."""
        return set(self._served)

    def _prepare(self, need: Need) -> Stored:
        found = self.look(need.agent, need.user)
        wanted = self._named_for(need, found)
        if _has_locks(need.agent):
            _make(found.place.locks)
        access.ensure(found.place, wanted, need.user, locks=_has_locks(need.agent))
        self._note_origin(wanted)
        return Stored(wanted, found.place, found.login)

    def _named_for(self, need: Need, found: Stored) -> str:
        wanted = name_for(need.agent, self._settings)
        if found.name != wanted:
            self._rename(found, wanted)
            self._note_origin(wanted, formerly=found.name)
        self._served[need.agent] = wanted
        return wanted

    def _replace(self, data: bytes, login: Login, *, confirmed: bool) -> Stored:
        for token in (login.access_token, login.refresh_token):
            keep_secret(token.get_secret_value())
        place = find_place(self._settings, self._folder)
        target = place.file(self._name_to_take(place))
        aside = self._place_aside(target)
        if aside is None and not confirmed:
            refuse_older(login, target, own=place.own)
        _make(place.credentials)
        try:
            if aside is not None:
                target.replace(aside)
            write_private(target, data, owner=_owner_of(place.credentials))
        except OSError as error:
            raise access.cannot(f"write {target}", error) from None
        self._note_origin(target.stem)
        return Stored(target.stem, place, login)

    def _place_aside(self, target: Path) -> Path | None:
        """Say where a login of another server goes that an import takes the name of."""
        origin = self._origins.of(target.stem)
        if origin in (None, self._settings.host) or not target.is_file():
            return None
        return target.with_name(f"{target.name}.from-{urlsplit(origin).hostname}")

    def _usable(self, place: Place, name: str, user: tuple[int, int]) -> Login | None:
        file = place.file(name)
        try:
            login = read(file)
        except LoginProblem as problem:
            # Rootless Docker's agents, where they have a uid of their own, write files that only they may read.
            if problem.kind == "unreadable" and user[0] != os.geteuid():
                return None
            if problem.kind == "unreadable":
                raise access.unusable(file, user, [place.credentials]) from None
            raise
        _refuse_dead(login, file)
        return login

    def _check_origin(self, found: Stored) -> None:
        origin = self._origins.of(found.name)
        if origin is not None and origin != self._settings.host:
            cause = f"the login in {found.file} is from {origin}, and the toml now says {self._settings.host}"
            remedy = "change region or oauth_host back, or bring a login of that server with: nanokimi auth import FILE"
            raise LoginProblem("misplaced", cause, remedy)

    def _rename(self, found: Stored, wanted: str) -> None:
        """Give the login the name that an agent looks for. Never a copy: the first refresh would kill one of two."""
        target = found.place.file(wanted)
        if found.place.agent_home:
            cause = f"the agent looks for {target}, and {found.place.credentials} has {found.file.name}"
            remedy = f"run: nanokimi auth import {found.file} (after taking path out of the toml)"
            raise LoginProblem("misplaced", cause, remedy)
        if found.name in self._served.values():
            cause = f"{' and '.join(sorted(self._served))} uses this login under the name {found.file.name} already"
            raise LoginProblem("misplaced", cause, 'give each agent an instance of its own (use = "oauth_file")')
        try:
            found.file.rename(target)
        except OSError as error:
            raise access.cannot(f"rename {found.file} to {target.name}", error) from None

    def _note_origin(self, name: str, *, formerly: str | None = None) -> None:
        try:
            self._origins.note(name, self._settings.host, formerly=formerly)
        except OSError as error:
            raise access.cannot(f"write to {self._folder}", error) from None

    def _name_to_take(self, place: Place) -> str:
        wanted = name_for("kimi-code", self._settings)
        if place.names() != [PLAIN_NAME]:
            return wanted
        # Where no agent looks for the file, a login of another server can keep its name.
        foreign = self._origins.of(PLAIN_NAME) not in (None, self._settings.host)
        return wanted if foreign and self._settings.credentials == "access-only" else PLAIN_NAME


def _me() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


def _has_locks(agent: str) -> bool:
    """Whether the agent's lock lies in a directory of its own; kimi-cli's lies beside the login."""
    return agent == "kimi-code"


def _refuse_dead(login: Login, file: Path) -> None:
    if login.revoked:
        cause = f"the login in {file} has been revoked (its tokens are empty)"
        raise LoginProblem("revoked", cause, how_to_log_in())
    if login.expired(time.time()) and not login.refreshable:
        cause = f"the login in {file} has ended and can't be refreshed (it has no refresh token)"
        raise LoginProblem("expired", cause, how_to_log_in())


def _make(folder: Path) -> None:
    """Make a directory; one that is there stays as it is, for its mode may be the mask of an ACL."""
    try:
        if not folder.is_dir():
            private_folder(folder)
    except OSError as error:
        raise access.cannot(f"make {folder}", error) from None


def _owner_of(folder: Path) -> tuple[int, int] | None:
    """Say to whom a new file belongs: as root, to the user that the folder was given to."""
    status = folder.stat()
    return (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
