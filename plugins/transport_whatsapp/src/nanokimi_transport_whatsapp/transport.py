"""The transport: keeps a child with the WhatsApp library alive, and stands between it and the core."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from nanokimi_core import Context, Inbox, NotAccepted, NotSent, Outbound, Receipt
from nanokimi_transport_whatsapp.identity import Account, account_of
from nanokimi_transport_whatsapp.incoming import Hearing, Reader
from nanokimi_transport_whatsapp.names import Names
from nanokimi_transport_whatsapp.outgoing import Outgoing, SentIds, traits_of
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.standing import (
    AccountNote,
    Standing,
    named_process,
    read_note,
    read_standing,
    remove_note,
    write_note,
    write_standing,
)
from nanokimi_transport_whatsapp.states import States
from nanokimi_transport_whatsapp.supervision import COMMAND, ChildProcess
from nanokimi_transport_whatsapp.values import Ask, Brought, Figures, Link, Members, ShowTyping, Typing, Who
from nanokimi_transport_whatsapp.words import plain

_FIGURES_SECONDS = 60.0
_LONG_NUMBER = re.compile(r"[0-9]{7,}")  # perhaps somebody's phone


class WhatsApp:
    """One linked account.

    Args:
        settings: Its table.
        context: From the core.
        command: What the child is started with.
        look_seconds: How often it looks whether something has changed on disk, or a watchdog is due.
    """

    def __init__(
        self, settings: Settings, context: Context, *, command: Sequence[str] = COMMAND, look_seconds: float = 1.0
    ) -> None:
        self.traits = traits_of(settings)
        self._settings, self._context, self._command, self._look_seconds = settings, context, command, look_seconds
        self._places = Places(context.folder)
        self._note = read_note(self._places)
        self._states = States(settings, context.name, banned_until=_ban_of(read_standing(self._places)))
        self._states.look(0.0, datetime.now(UTC), linked=self._note is not None, held=False)
        self._names = Names(self._places.names)
        self._ours = SentIds()
        self._reader = Reader(settings, context, self._places, self._names, self._ours)
        self._outgoing = Outgoing(settings, context, self._names, self._account, self._ours)
        self._child: ChildProcess | None = None
        self._ready = False
        self._figures = Figures()
        self._asked_at = 0.0
        self._standing: Standing | None = None
        self._reporting = anyio.Lock()
        self._process = ""
        self._words = ""

    # -------------------------------------------------------------- what the core calls
    async def run(self, inbox: Inbox) -> None:
        """Be linked: children are begun and ended as the link asks for it, for as long as this isn't cancelled.

        Raises:
            NotAccepted: The core could not keep a message. The child brings it again in the next run.
        """
        self._ready = False
        inbox.away()
        self._process = named_process(os.getpid())
        try:
            async with self._names:
                while True:
                    await self._look()
                    if self._states.may_start(anyio.current_time()):
                        await self._live(inbox)
                    else:
                        await anyio.sleep(self._look_seconds)
        except Exception:
            await self._report()  # whatever it was, names that can't be kept are to be told of: the core doesn't
            raise
        finally:
            self._process = ""
            with anyio.CancelScope(shield=True):
                await self._put_down()

    async def send(self, message: Outbound) -> Receipt:
        """Send; returns when WhatsApp has taken all parts.

        Raises:
            NotSent: Certainly not sent, or not all of it.
            Undeliverable: It will never be accepted.
            OutcomeUnknown: It may have been sent.
        """
        try:
            return await self._outgoing.send(message, self._connected())
        except NotAccepted as error:
            raise NotSent(str(error)) from error

    async def typing(self, chat: str, on: bool) -> None:
        """Show that the assistant writes, or stop showing it."""
        with suppress(NotSent):
            child = self._connected()
            await child.send(ShowTyping(chat=(await self._names.find(chat)).name, on=on))

    async def members(self, chat: str) -> Sequence[str]:
        """Name the people in a group; of a direct chat nobody.

        Raises:
            NotSent: WhatsApp can't be asked.
        """
        if not chat.endswith("@g.us"):
            return ()
        answer = await self._connected().ask(Members(request=0, chat=chat))
        if answer.error:
            raise NotSent(plain(answer.said) or answer.error)
        return answer.names

    def owner_chat(self) -> str | None:
        """Name the chat of the account with itself, where it is the owner's own."""
        account = self._account()
        own = self._note is not None and account.number == "own" and account.has_self_chat
        return account.name or None if own else None

    def state(self) -> str:
        """Say how the link stands, for the owner."""
        return self._states.words()

    # -------------------------------------------------------------- one child
    async def _live(self, inbox: Inbox) -> None:
        """Begin a child, go along with it until it has to end or has ended, and take note of why."""
        log = self._context.log
        child = ChildProcess(self._settings, self._places, command=self._command)
        self._states.started(anyio.current_time())
        over = why = ""
        try:
            async with child:
                log.info("the child process %d has started", child.pid)
                self._child = child
                over = await self._go_along(child, inbox)
        except OSError as error:
            why = f"its process can't be started: {error.strerror or error}"
        except BaseException:
            self._states.stopped(anyio.current_time())
            raise
        why = why or over or child.trouble
        if not over:
            log.warning("the child process has ended (%s); its last words: %s", why or child.code, child.last_words())
        else:
            log.info("the child process was ended: %s", over)
        self._states.ended(anyio.current_time(), child.code, why)
        await self._report()

    async def _go_along(self, child: ChildProcess, inbox: Inbox) -> str:
        """Listen until the child ends, or must; gives why it must."""
        number = self._account().number
        receipts = self._settings.read_receipts if self._settings.read_receipts is not None else number == "bot"
        hearing = Hearing(self._reader, self._account, child, inbox, read_receipts=receipts)
        over = ""

        async def watch(tasks: TaskGroup) -> None:
            nonlocal over
            while not over:
                await self._look()
                over = self._states.must_end(anyio.current_time(), busy=hearing.busy)
                await self._ask_figures(child)
                await anyio.sleep(0 if over else self._look_seconds)
            tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch, tasks)
                tasks.start_soon(hearing.acknowledge)
                await self._listen(child, hearing, inbox, tasks)
                tasks.cancel_scope.cancel()
        finally:
            self._child = None
            self._set_ready(inbox)
            await hearing.flush()
        return over

    async def _listen(self, child: ChildProcess, hearing: Hearing, inbox: Inbox, tasks: TaskGroup) -> None:
        async for value in child:
            if isinstance(value, Brought):
                await hearing.take(value, tasks)
            elif isinstance(value, Link):
                await self._hear(value, inbox)
            elif isinstance(value, Figures):
                self._figures = value
            elif isinstance(value, Typing) and value.on and self._settings.presence == "available":
                inbox.typing((await self._names.find(value.chat)).name)

    async def _hear(self, link: Link, inbox: Inbox) -> None:
        self._states.heard(link, anyio.current_time(), datetime.now(UTC).astimezone())
        self._set_ready(inbox)
        if link.state == self._states.state == "connected":
            await self._know_account(link.me)
        try:
            await self._report()
        finally:
            if self._states.state == "logged_out":  # after the report: without the note nobody knows the owner's chat
                with anyio.CancelScope(shield=True):
                    self._note = None
                    await to_thread.run_sync(remove_note, self._places)

    async def _know_account(self, me: Who | None) -> None:
        """Keep the account's other name, and what it calls itself: a new link learns them some time later."""
        note = self._note
        if note is None or me is None:
            return
        names = me if me.alias and not note.me.alias else note.me
        known = Who(id=names.id, alias=names.alias, name=me.name or note.me.name)
        if known != note.me:
            self._note = note.model_copy(update={"me": known})
            await self._kept(partial(write_note, self._places, self._note))

    async def _ask_figures(self, child: ChildProcess) -> None:
        now = anyio.current_time()
        if now - self._asked_at > _FIGURES_SECONDS:
            self._asked_at = now
            child.trim_log()
            await child.send(Ask())

    def _connected(self) -> ChildProcess:
        if self._child is None or self._states.state != "connected":
            raise NotSent(f"not connected to WhatsApp: {self._states.words() or 'it is just beginning'}")
        return self._child

    # -------------------------------------------------------------- how it stands
    async def _look(self) -> None:
        """Look at what commands have left on disk, and at the time."""
        self._note, held = await to_thread.run_sync(_seen, self._places)
        self._states.look(anyio.current_time(), datetime.now(UTC), linked=self._note is not None, held=held)
        await self._report()

    async def _report(self) -> None:
        """Say how it stands in the log and on disk, and tell the owner what is new."""
        words = self._states.words() or "is connected"
        if words != self._words:
            self._words = words
            self._context.log.info("%s", _LONG_NUMBER.sub("…", words))
        async with self._reporting:
            while waiting := self._states.news or self._names.news:
                news = waiting.pop(0)
                await self._context.tell_owner(news.key, news.text)
            await self._put_down()

    async def _put_down(self) -> None:
        states, before = self._states, self._standing
        standing = Standing(
            state=states.state,
            since=before.since if before and before.state == states.state else datetime.now(UTC),
            said=plain(states.said),
            me=states.me or (self._note.me if self._note else None),
            until=states.until,
            child=self._child.pid if self._child else 0,
            process=self._process,
            **self._figures.model_dump(exclude={"kind"}),
        )
        if standing != before:
            self._standing = standing
            await self._kept(partial(write_standing, self._places, standing))

    async def _kept(self, write: partial[None]) -> None:
        try:
            await to_thread.run_sync(write)
        except OSError as error:
            self._context.log.warning("how the link stands can't be written down: %s", error)

    def _set_ready(self, inbox: Inbox) -> None:
        ready = self._child is not None and self._states.state == "connected"
        if ready != self._ready:
            self._ready = ready
            (inbox.ready if ready else inbox.away)()

    def _account(self) -> Account:
        note, settings = self._note, self._settings
        me = self._states.me or (note.me if note else Who(id=""))
        # Nobody may be answered in a person's name because a file is missing.
        return account_of(me, settings.number or (note.number if note else "own"), settings.self_chat)


def _seen(places: Places) -> tuple[AccountNote | None, bool]:
    return read_note(places), _is_locked(places.command_lock)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _ban_of(standing: Standing | None) -> datetime | None:
    """Give the end of a ban that an earlier process has met and that may still hold."""
    return standing.until if standing is not None and standing.state == "banned" else None
