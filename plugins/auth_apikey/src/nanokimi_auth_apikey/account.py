"""The account: what ``apikey`` gives to a backend and says of itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread
from pydantic import SecretStr

from nanokimi_auth_apikey.gate import gate
from nanokimi_auth_apikey.keys import (
    DEFAULT_VARIABLE,
    STORED_NAME,
    Found,
    KeyProblem,
    check_fit,
    check_form,
    for_instance,
    place,
    tail,
)
from nanokimi_auth_apikey.refusals import Kind
from nanokimi_auth_apikey.ring import Ring, digest
from nanokimi_auth_apikey.settings import Settings
from nanokimi_auth_apikey.standing import Standing, moment
from nanokimi_auth_apikey.statement import status_of, where
from nanokimi_auth_apikey.teller import Teller
from nanokimi_auth_apikey.watch import Watch
from nanokimi_core import AuthStatus, ConfigError, Context, Grant, LoginNeeded, Need, write_private


class ApiKey:
    """An account that is paid by API key, or by several.

    The keys are read anew for each grant, so that a changed one is used from the next turn on. One that the server has
    refused is put aside while there is another one, and tried again when the server says that it works, or after a
    while.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._ring = Ring(settings, context)
        self._teller = Teller(context)
        self._watch = Watch(settings, self._ring, self._teller)
        self._refusing = anyio.Lock()

    async def run(self) -> None:
        """Ask what the account has left, time and again."""
        await self._watch.run()

    async def grant(self, need: Need) -> Grant:
        """Give a key; for kimi-cli together with the file that its gate asks for.

        Where all keys are aside, the one that may work soonest is given all the same: a balance may be filled up, and a
        server may have erred.

        Raises:
            LoginNeeded: There is no key, or none that can be one of this account.
        """
        try:
            found, standings = await to_thread.run_sync(self._look)
        except KeyProblem as problem:
            raise LoginNeeded(self._named(str(problem))) from None
        serving = self._ring.serving(standings)
        await self._tell_of_problems(found)
        known = self._settings.known
        return Grant(
            provider="kimi",
            base_url=self._settings.endpoint,
            model=self._settings.model_id,
            context_size=known.context_size,
            fingerprint=self._fingerprint(serving.key.secret),
            api_key=serving.key.secret,
            mounts=await to_thread.run_sync(gate, self._context.folder, need),
            capabilities=known.capabilities,
            mark=serving.mark,
        )

    async def rejected(self, grant: Grant, why: str) -> None:
        """Put the key of this grant aside; a key that is no longer used is no matter of ours.

        Args:
            grant: That the server refused.
            why: What it said, which tells whether it is the key, or what it may use.
        """
        if grant.api_key is None:
            return
        mark = await to_thread.run_sync(self._ring.mark, grant.api_key, grant.base_url)
        async with self._refusing:
            try:
                found, standings = await to_thread.run_sync(self._look)
            except KeyProblem:
                return
            refused = next((standing for standing in standings if standing.mark == mark), None)
            if refused is None:
                return
            kind, is_news = await to_thread.run_sync(self._ring.refused, refused, why, found)
            if is_news:
                await self._tell_of_refusal(refused, kind)
                self._watch.ask_soon()

    async def status(self) -> AuthStatus:
        """Say which key serves and how each stands, by their last four characters, and what the account has left."""
        return await self._status(asks=True)

    async def _status(self, *, asks: bool) -> AuthStatus:
        try:
            found, standings = await to_thread.run_sync(self._look)
            if asks and await self._watch.ask_for_status(standings):
                found, standings = await to_thread.run_sync(self._look)
        except KeyProblem as problem:
            details = {"cause": problem.cause, **where(self._settings)}
            return AuthStatus("login_needed", remedy=self._named(problem.remedy), details=details)
        status = status_of(self._settings, found, standings, self._ring.serving(standings))
        return replace(status, remedy=self._named(status.remedy))

    async def set_key(self, key: SecretStr) -> AuthStatus:
        """Check the key's form and store it in this instance's folder, mode 0600; no server is asked.

        Raises:
            ConfigError: It can't be a key of this account, or the toml says that the key is somewhere else.
        """
        self._check_that_it_is_not_elsewhere()
        text = key.get_secret_value().strip()
        try:
            check_form(text, "the input")
            check_fit(text, self._settings, "the input")
        except KeyProblem as problem:
            raise ConfigError(problem.cause, remedy=problem.remedy) from None
        await to_thread.run_sync(_store, self._context.folder / STORED_NAME, text)
        status = await self._status(asks=False)
        if not os.environ.get(DEFAULT_VARIABLE):
            return status
        remedy = f"{tail(text)} is stored, but {DEFAULT_VARIABLE} is set and goes first: unset it to use this one"
        return replace(status, remedy=remedy)

    def _check_that_it_is_not_elsewhere(self) -> None:
        settings = self._settings
        if settings.key is None and settings.keys is None:
            return
        taken, what = ("key", "the key is") if settings.key is not None else ("keys", "the keys are")
        places = ", ".join(place(source) for source in settings.keys or (settings.key,) if source is not None)
        raise ConfigError(
            f"[plugins.{self._context.name}] {taken} in nanokimi.toml says where {what}: {places}",
            remedy="change it there, or take that line out and run the command again",
        )

    def _look(self) -> tuple[Found, list[Standing]]:
        found = self._ring.found()
        return found, self._ring.standings(found)

    async def _tell_of_refusal(self, refused: Standing, kind: Kind) -> None:
        """Tell the owner of several keys; of a single one the chats that wait for it do."""
        _, standings = await to_thread.run_sync(self._look)
        now = next((standing for standing in standings if standing.mark == refused.mark), refused)
        self._context.log.warning("the server refused the API key %s: %s", refused.name, now.why)
        if len(standings) == 1:
            return
        serving = self._ring.serving(standings)
        cause = "the server does not accept it" if kind == "rejected" else "what it may use is used up"
        then = f"{serving.name} serves now" if serving.aside is None else "no other key works now"
        since = moment(now.refusal.at) if now.refusal is not None else "now"
        text = f"the API key {refused.name} is set aside since {since}: {cause}; {then}"
        await self._teller.tell(f"key {refused.mark}", text)

    async def _tell_of_problems(self, found: Found) -> None:
        for number, problem in enumerate(found.problems, start=1):
            await self._teller.tell(f"left out {number}", f"a key is left out: {problem}")

    def _named(self, remedy: str) -> str:
        return for_instance(remedy, self._context.name)

    def _fingerprint(self, key: SecretStr) -> str:
        known = self._settings.known
        return digest(
            self._context.installation,
            key.get_secret_value(),
            self._settings.endpoint,
            self._settings.model_id,
            str(known.context_size),
            *sorted(known.capabilities),
        )


def _store(path: Path, key: str) -> None:
    write_private(path, key.encode() + b"\n")
