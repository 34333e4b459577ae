"""One login by code: its code in the owner's chat, and what the owner hears when it is over."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from nanokimi_core.contracts.auth import AuthStatus, ShowCode
from nanokimi_core.conversation.accounts.asking import AccountFault, look
from nanokimi_core.conversation.accounts.login_notes import LoginNotes, Note
from nanokimi_core.conversation.catalogue import Phrase, joined, login_code, phrase
from nanokimi_core.conversation.owner import Owner
from nanokimi_core.delivery import Delivery
from nanokimi_core.errors import NanoKimiError
from nanokimi_core.instances import Instance
from nanokimi_core.places import unplaced
from nanokimi_core.signing_in import NoNewLogin, sign_in
from nanokimi_core.store import StoreError

if TYPE_CHECKING:
    from nanokimi_core.config.model import Language

_WANTS_LOGIN = ("login_needed", "rejected")
_MOST_PARTS = 16
"""Messages that a code's sentences can become on a network with short ones."""


@dataclass
class LoginFlow:
    """A login that runs.

    Attributes:
        instance: The account, as it was when this began.
        chats: Who is told of it, ``transport:chat``.
        lost: Whether the account needs it.
        asked: Whether the owner has asked for it.
        older: Whether the owner has an older code, which is void.
        code: As the plugin gave it; ``None`` before.
        waited: Whether messages may have waited for it.
        answered: Whether the account's server has said what comes of it: the code doesn't count any more.
        over: Set when it has ended, and has been told of.
    """

    instance: Instance
    chats: list[str]
    lost: bool
    asked: bool = False
    older: bool = False
    code: ShowCode | None = None
    waited: bool = False
    answered: bool = False
    over: anyio.Event = field(default_factory=anyio.Event)
    _ends: float = 0.0  # on the event loop's clock
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def name(self) -> str:
        """The account's instance."""
        return self.instance.name

    def good(self) -> ShowCode | None:
        """Give the code, as long as it counts."""
        if (
            self.code is None
            or self.answered
            or anyio.current_time() >= self._ends
            or datetime.now(UTC) >= self.code.expires_at
        ):
            return None
        return self.code

    def shows(self, code: ShowCode) -> float:
        """Note the code, and give the seconds that it counts."""
        left = (code.expires_at - datetime.now(UTC)).total_seconds()
        self.code, self._ends = code, anyio.current_time() + left
        return left

    async def end(self) -> None:
        """Give it up, without a word, unless all that is left is to tell what came of it; returns when it is over."""
        if not self.answered:
            self._scope.cancel()
        await self.over.wait()

    async def lead(self, desk: LoginDesk) -> None:
        """Go through it, and tell what comes of it."""
        try:
            with self._scope:
                await desk.follow(self)
        finally:
            self.over.set()


class LoginDesk:
    """Where logins are led.

    Args:
        delivery: Knows whether the owner can be reached.
        owner: Who is told.
        notes: What a restart must know.
        made: Called when somebody has logged in.
        log: For faults of plugins.
    """

    def __init__(
        self, delivery: Delivery, owner: Owner, notes: LoginNotes, *, made: Callable[[LoginFlow], None], log: Logger
    ) -> None:
        self._delivery = delivery
        self._owner = owner
        self._notes = notes
        self._made = made
        self._log = log
        self.tasks: TaskGroup | None = None

    async def follow(self, flow: LoginFlow) -> None:
        """Go through a login when the owner can be reached: a code that nobody can be shown would only run out."""
        route = self._delivery.route(flow.chats[0].partition(":")[0])
        if route is not None:
            await route.until_open()
        plugin, auth = flow.instance.provided.plugin, flow.instance.value
        try:
            try:
                status = await sign_in(flow.name, auth, plugin=plugin, show=partial(self._show, flow), most_codes=1)
            finally:
                flow.answered = True
        except NoNewLogin as error:
            if not error.expired:
                await self._failed(flow, error.remedy)
            elif flow.lost and not await wants_login(flow.instance):
                await self._succeeded(flow, AuthStatus("ok"))  # somebody has logged in elsewhere
            else:
                await self.expired(flow)
        except NanoKimiError as error:
            self._log.error("%s", error)
            await self._failed(flow, unplaced(str(error)))
        else:
            await self._succeeded(flow, status)

    async def _show(self, flow: LoginFlow, code: ShowCode) -> None:
        """Send a code, once it is noted that this will be done."""
        left, key, before = flow.shows(code), f"login-{uuid.uuid4().hex}", self._notes.get(flow.name)
        keys = {chat: f"{key}-{number}" for number, chat in enumerate(flow.chats)}
        shown = (before.codes if before else 0) + 1
        await self._notes.set(flow.name, Note(True, flow.lost, shown, tuple(keys.values())))
        self._log.info("%s: the owner is sent a code to log in with, good until %s", flow.name, code.expires_at)
        for chat, its_key in keys.items():
            language, lost = self._owner.language_of(chat), flow.lost and not flow.asked
            said = login_code(flow.name, code, language, lost=lost, older=flow.older)
            await self._owner.tell_in(chat, said, key=its_key)
        if self.tasks is not None:
            self.tasks.start_soon(self._withdraw_when_over, flow, left, tuple(keys.values()))

    async def _withdraw_when_over(self, flow: LoginFlow, seconds: float, keys: Sequence[str]) -> None:
        """See to it that a code that doesn't count any more isn't sent any more."""
        with anyio.move_on_after(seconds):
            await flow.over.wait()
        try:
            await self.withdraw(keys)
        except StoreError as error:
            self._log.error("a code for %s can't be withdrawn: %s", flow.name, error)

    async def withdraw(self, keys: Sequence[str]) -> None:
        """Take codes out of the outbox.

        Raises:
            StoreError: It can't be written now.
        """
        if keys:
            await self._delivery.withdraw([f"{key}.{part}" for key in keys for part in range(_MOST_PARTS)])

    # ------------------------------------------------------------------ what comes of it
    async def _succeeded(self, flow: LoginFlow, status: AuthStatus) -> None:
        def said(to: Language) -> Phrase:
            done = _done(flow, to, status.who)
            models, remedy = status.details.get("models", ""), status.remedy
            more = [phrase(to, "owner_login_models", models=models)] if models else []
            mend = [phrase(to, "owner_status_problem", cause=remedy)] if remedy else []
            return joined([done, *more, *mend])

        await self.tell(flow.chats, said)
        await self._notes.set(flow.name, None)
        self._made(flow)

    async def expired(self, flow: LoginFlow) -> None:
        """Say that a code has run out, and how to get another one."""
        await self.tell(flow.chats, lambda to: phrase(to, "owner_login_expired", name=flow.name))
        await self._is_told(flow)

    async def _failed(self, flow: LoginFlow, cause: str) -> None:
        await self.tell(flow.chats, lambda to: phrase(to, "owner_login_failed", name=flow.name, cause=cause))
        await self._is_told(flow)

    async def _is_told(self, flow: LoginFlow) -> None:
        """Note that the owner knows; a crash before this sends a fresh code, one after it doesn't."""
        await self._notes.set(flow.name, Note(False, True) if flow.lost else None)

    async def tell(self, chats: Iterable[str], say: Callable[[Language], Phrase]) -> None:
        """Say something in several chats, in the language of each."""
        for chat in chats:
            await self._owner.tell_in(chat, say(self._owner.language_of(chat)))


def _done(flow: LoginFlow, language: Language, who: str) -> Phrase:
    if flow.waited:
        bare = phrase(language, "owner_login_done", name=flow.name)
        return phrase(language, "owner_login_done_as", name=flow.name, who=who) if who else bare
    bare = phrase(language, "owner_login_new", name=flow.name)
    return phrase(language, "owner_login_new_as", name=flow.name, who=who) if who else bare


async def wants_login(instance: Instance) -> bool:
    """Whether an account says that it needs a login; one that can't say how it stands is taken to."""
    try:
        return (await look(instance.name, instance.value)).state in _WANTS_LOGIN
    except AccountFault:
        return True
