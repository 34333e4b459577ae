"""What becomes of a refusal: one refresh where that may help, else a note for the status."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import anyio
from anyio import to_thread
from pydantic import SecretStr

from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem
from nanokimi_auth_oauth_file.disk.marks import mark_of
from nanokimi_auth_oauth_file.model_api.refused import Shortages, meaning_of
from nanokimi_auth_oauth_file.model_api.usage import Usages
from nanokimi_core import AccountAway, Context, Grant, Refusals

_SECRET = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*|sk-[\w-]{8,}")
_RIGHT_AFTER = 600.0
"""Seconds in which a refusal of a login that was renewed for one is the login's fault, not its age's."""


class Refusing:
    """Hears of refusals.

    Args:
        context: Of the instance.
        renew: The keeper's; ``None`` where the agents refresh.
        usages: What the account had left.
        shortages: Where it is noted that it has nothing left.
    """

    def __init__(
        self,
        context: Context,
        renew: Callable[[str | None], Awaitable[Login]] | None,
        usages: Usages,
        shortages: Shortages,
    ) -> None:
        self._context = context
        self._renew = renew
        self._usages = usages
        self._shortages = shortages
        self._refusals = Refusals(context.folder)
        self._renewed = ("", 0.0)

    def mark_of(self, login: Login) -> str:
        """Mark a login as its grants are marked."""
        return mark_of(login, self._context.installation)

    def of(self, login: Login) -> str | None:
        """Say when and why the server refused this login as it is; blocking."""
        return self._refusals.of(self.mark_of(login))

    async def hear(self, grant: Grant, why: str, login: Login) -> Login | None:
        """Take a refusal, and give the login that serves in place of the refused one; ``None`` where none does.

        Args:
            grant: What was refused.
            why: In the server's words.
            login: As it is on disk now.
        """
        said, meaning, mark = _harmless(why, login), meaning_of(why), self.mark_of(login)
        self._context.log.warning("the server refused a turn: %s", said)
        if meaning == "quota":
            await to_thread.run_sync(self._short, said)
            return None
        if meaning == "passing":
            return None
        if grant.mark not in ("", mark):
            return login
        if meaning == "forbidden" or self._renew is None or self._was_renewed(mark) or not login.refreshable:
            await to_thread.run_sync(self._refusals.note, mark, said)
            return None
        return await self._renewed_once(self._renew, mark)

    async def _renewed_once(self, renew: Callable[[str | None], Awaitable[Login]], mark: str) -> Login | None:
        try:
            login = await renew(mark)
        except (AccountAway, LoginProblem) as error:
            self._context.log.warning("the refused login could not be refreshed: %s", error)
            return None
        self._renewed = self.mark_of(login), anyio.current_time()
        return login

    def _was_renewed(self, mark: str) -> bool:
        renewed, at = self._renewed
        return mark == renewed and anyio.current_time() - at < _RIGHT_AFTER

    def _short(self, said: str) -> None:
        usage = self._usages.last()
        self._shortages.note(said, usage.quotas if usage else ())


def _harmless(text: str, login: Login) -> str:
    """Take tokens, and what looks like one, out of a text of the server's."""
    tokens: list[SecretStr] = [login.access_token, login.refresh_token]
    for token in tokens:
        if value := token.get_secret_value():
            text = text.replace(value, "…")
    return " ".join(_SECRET.sub("…", text).split())[:300]
