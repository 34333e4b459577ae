"""NanoKimi's own refresh: under all locks, with a journal, into room that was there before."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread

from nanokimi_auth_oauth_file.disk.finding import Found
from nanokimi_auth_oauth_file.disk.login import (
    LARGEST,
    Login,
    LoginProblem,
    how_to_log_in,
    parse_document,
    read_document,
)
from nanokimi_auth_oauth_file.disk.writing import Reserved, aside_name, serialised
from nanokimi_auth_oauth_file.keeping.journal import Entry, Journal, Refused
from nanokimi_auth_oauth_file.keeping.locks import PATIENCE, LockHeld, agents_locks, holding
from nanokimi_auth_oauth_file.keeping.refreshing import NotRefreshed, Unsaved, refuse_hopeless, unwritable
from nanokimi_auth_oauth_file.keeping.server import LoginServer, NoAnswer, Tokens
from nanokimi_auth_oauth_file.keeping.server import Refused as RefusedByServer
from nanokimi_auth_oauth_file.keeping.timing import Clock
from nanokimi_core import Context, keep_secret

T = TypeVar("T")
_SECOND_LOOK = 0.3
_UNKNOWN_LIFE = 300.0
_KNOWN = ("access_token", "refresh_token", "expires_at", "scope", "token_type", "expires_in")


class ServerRefresher:
    """Refreshes by a request to the login server.

    Args:
        context: Of the instance.
        host: The login server.
        clock: For ``expires_at``.
        patience: For the agents' locks, in seconds.
    """

    def __init__(self, context: Context, host: str, clock: Clock, patience: float = PATIENCE) -> None:
        self._log = context.log
        self._clock = clock
        self._patience = patience
        self._server = LoginServer(host, context.folder)
        self._journal = Journal(context.folder, context.installation)
        self._refused = Refused(context.folder, context.installation)
        self._limiter = CapacityLimiter(1)  # its own: a write must not wait for a thread that others use

    def due_at(self, life: float, jitter: float = 0.0) -> float:
        """Come before the agents, for which a token is due when max(300 s, half of its life) are left."""
        return life * min(max(1 - max(300.0, life / 2) / life - 0.05, 0.2), 0.45) * (1 - 0.1 * jitter)

    async def refresh(self, found: Found, *, force: bool) -> Login | Unsaved:
        """Get a new access token; ``force`` is no matter here."""
        async with under_locks(found, self._patience):
            outcome = await self._refresh(found)
        return outcome

    async def save(self, unsaved: Unsaved) -> Login:
        """Try again to write a new login. What somebody else has put there meanwhile is left alone, and given.

        Raises:
            NotRefreshed: It still can't be written.
            LoginProblem: Somebody has taken the login away.
        """
        async with under_locks(unsaved.found, self._patience):
            with CancelScope(shield=True):
                login = await self._in_thread(self._save_again, unsaved)
        return login

    async def forget(self) -> None:
        """Forget the refresh that is noted, and the login that it brought: there is another one now."""
        await self._in_thread(self._journal.clear)

    async def _refresh(self, found: Found) -> Login | Unsaved:
        seen = found.login.refresh_token
        for _ in range(2):
            there = await self._in_thread(self._look, found)
            if isinstance(there, Unsaved):
                return there
            if there.login.refresh_token != seen and self._lives(there.login):
                return there.login
            await self._in_thread(refuse_hopeless, there, self._refused)
            try:
                with CancelScope(shield=True):
                    return await self._exchange(there)
            except LoginProblem as problem:
                if problem.kind != "refused":
                    raise
                if not await self._replaced(there):
                    await self._in_thread(self._give_up, there, problem)
                    raise
            seen = there.login.refresh_token
        raise NotRefreshed("away", f"the login in {found.file} changes too often to be refreshed")

    async def _exchange(self, found: Found) -> Login | Unsaved:
        """Spend the refresh token. Nothing may come between the request and the write."""
        token = found.login.refresh_token
        earlier = self._journal.about(token)
        reserved = await self._in_thread(self._reserve, found, earlier)
        asked_at = self._clock.wall()

        def keep(tokens: Tokens) -> None:
            with suppress(OSError):
                reserved.keep(serialised(_renewed(found, tokens, asked_at)))

        try:
            tokens = await self._server.refresh(token, keep)
        except NoAnswer as error:
            await self._in_thread(self._unanswered, found, reserved, earlier, error)
            remedy = 'set refresher = "agent" in the account\'s table' if error.denied else ""
            kind: Any = "denied" if error.denied else "away"
            raise NotRefreshed(kind, str(error), remedy, retry_after=error.retry_after) from None
        except RefusedByServer as error:
            said = str(error)
        else:
            return await self._in_thread(self._save, found, reserved, tokens, asked_at)
        await self._in_thread(reserved.drop)
        raise self._lost(found, earlier, said)

    def _reserve(self, found: Found, earlier: Entry | None) -> Reserved:
        """Note what is about to be sent, and see to it that there is room for the answer."""
        name = aside_name(found.file)
        folder = self._journal.rescued.parent
        try:
            self._journal.begin(found.login.refresh_token, name)
            folder = found.file.parent
            return Reserved(found.file, name)
        except OSError as error:
            if earlier is None:
                self._journal.clear()
            raise unwritable(folder, error) from None

    def _unanswered(self, found: Found, reserved: Reserved, earlier: Entry | None, error: NoAnswer) -> None:
        reserved.drop()
        if error.doubt:
            self._journal.doubt(found.login.refresh_token, str(error))
        elif earlier is None:
            self._journal.clear()

    def _lost(self, found: Found, earlier: Entry | None, said: str) -> LoginProblem:
        cause = f"the login server refused the login in {found.file} ({said})"
        if earlier is not None:
            cause += f"; {_why_lost(earlier)}"
        return LoginProblem("refused", cause, how_to_log_in())

    async def _replaced(self, found: Found) -> bool:
        """Look whether somebody else has refreshed, who may be about to write it; otherwise the login is given up."""
        for pause in (0.0, _SECOND_LOOK):
            await anyio.sleep(pause)
            with suppress(LoginProblem):
                now = (await self._in_thread(found.again)).login
                if now.refreshable and now.refresh_token != found.login.refresh_token:
                    return True
        return False

    def _save(self, found: Found, reserved: Reserved, tokens: Tokens, asked_at: float) -> Login | Unsaved:
        document = _renewed(found, tokens, asked_at)
        data = serialised(document)
        new = parse_document(data)[1]
        for token in (new.access_token, new.refresh_token):
            keep_secret(token.get_secret_value())
        if tokens.strange:
            self._log.warning("the login server's answer had no usable %s", tokens.strange)
        try:
            there = self._put(found, reserved, data, new)
        except OSError as error:
            with suppress(OSError):
                reserved.drop()
            self._journal.rescue(data)
            return Unsaved(found, document, new, error.strerror or str(error))
        self._journal.clear()
        return there

    def _save_again(self, unsaved: Unsaved) -> Login:
        found = unsaved.found
        try:
            reserved = Reserved(found.file, aside_name(found.file))
            try:
                there = self._put(found, reserved, serialised(unsaved.document), unsaved.login)
            finally:
                reserved.drop()
        except OSError as error:
            raise unwritable(found.file.parent, error) from None
        self._journal.clear()
        return there

    def _put(self, found: Found, reserved: Reserved, data: bytes, new: Login) -> Login:
        """Put the new login in the old one's place, unless somebody else has put another there; gives what is there.

        Raises:
            OSError: It can't be written.
            LoginProblem: Somebody has taken the login away.
        """
        try:
            now = found.again().login
        except LoginProblem as problem:
            if problem.kind != "missing":  # a broken one is no reason to lose a good one
                reserved.become(data)
                return new
            reserved.drop()
            self._journal.clear()
            raise
        # Emptied by an agent that found the token spent, or still the old one.
        if now.revoked or now.refresh_token == found.login.refresh_token:
            reserved.become(data)
            return new
        reserved.drop()
        if now.refresh_token != new.refresh_token:
            self._log.warning("%s was replaced during a refresh; the one that is there now is used", found.file)
        return now

    def _look(self, found: Found) -> Found | Unsaved:
        """Read the login again, and take up what a refresh left behind whose process died before it had ended."""
        now = found.again()
        entry = self._journal.entry()
        if entry is None:
            return now
        aside = now.file.with_name(entry.aside)
        if self._journal.about(now.login.refresh_token) is None:
            _remove(aside)
            self._journal.clear()
            return now
        for candidate in (aside, self._journal.rescued):
            with suppress(LoginProblem):
                document, login = read_document(candidate)
                if login.refreshable and login.refresh_token != now.login.refresh_token:
                    return self._take_up(now, document, login, entry)
        _remove(aside)
        return now

    def _take_up(self, now: Found, document: dict[str, Any], login: Login, entry: Entry) -> Found | Unsaved:
        self._log.warning("a refresh of %s was cut off before it had ended; its new login is taken up", entry.when)
        data = serialised(document)
        try:
            Reserved(now.file, aside_name(now.file)).become(data)
        except OSError as error:
            self._journal.rescue(data)
            return Unsaved(now, document, login, error.strerror or str(error))
        _remove(now.file.with_name(entry.aside))
        self._journal.clear()
        return Found(now.place, now.name, document, login)

    def _give_up(self, found: Found, problem: LoginProblem) -> None:
        """Remember that this login's refresh token is of no use."""
        self._refused.note(found.login.refresh_token, problem.cause)
        self._journal.clear()

    def _lives(self, login: Login) -> bool:
        return not login.revoked and not login.expired(self._clock.wall())

    async def _in_thread(self, work: Callable[..., T], *given: Any) -> T:
        return await to_thread.run_sync(work, *given, limiter=self._limiter)


@asynccontextmanager
async def under_locks(found: Found, patience: float) -> AsyncIterator[None]:
    """Hold the locks of both agents.

    Raises:
        NotRefreshed: They can't be had.
    """
    locks = agents_locks(found.place, found.name)
    try:
        async with holding(*locks, patience=patience):
            yield
    except LockHeld as error:
        raise locked(error) from None
    except OSError as error:
        raise unwritable(Path(error.filename or found.file).parent, error) from None


def locked(error: LockHeld) -> NotRefreshed:
    """Say which lock is in the way."""
    return NotRefreshed("locked", str(error), "end the program that holds it (a kimi run by hand?)")


def _renewed(found: Found, tokens: Tokens, asked_at: float) -> dict[str, Any]:
    """Make the new document: what the server gave in place of what was there, and all else as it was."""
    new: dict[str, Any] = {**found.document, **tokens.rest}
    if tokens.refresh_token is not None:
        new["refresh_token"] = tokens.refresh_token.get_secret_value()
    if tokens.access_token is not None:
        life = tokens.expires_in or found.login.expires_in or _UNKNOWN_LIFE
        new["access_token"] = tokens.access_token.get_secret_value()
        new["expires_in"] = int(life) if life >= 1 else life
        new["expires_at"] = math.floor(asked_at + life)
    return new if len(serialised(new)) <= LARGEST else {name: new[name] for name in _KNOWN if name in new}


def _why_lost(entry: Entry) -> str:
    if entry.doubt:
        return f"it was spent by the refresh of {entry.when}, whose answer was lost ({entry.doubt})"
    return f"the process ended at about {entry.when} between the server's answer and the write, so the login is spent"


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
