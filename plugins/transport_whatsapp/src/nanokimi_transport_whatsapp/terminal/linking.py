"""Linking an account, and logging it out, through a child that a command starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import anyio

from nanokimi_core import CommandError
from nanokimi_transport_whatsapp.supervision import ChildProcess
from nanokimi_transport_whatsapp.values import FINAL, Link, Pair, Unlink, Who
from nanokimi_transport_whatsapp.words import plain, why_not

ROUNDS = 3
"""How often all codes may run out before a command gives up."""

_SETTLE_SECONDS = 5.0
_UNLINK_SECONDS = 30.0
_HARMLESS = frozenset({"disconnected", "weak", "damaged", "offline_done"})
_END = Literal["codes_over", "silent", "gone"]


Start = Callable[[], ChildProcess]


class Screen(Protocol):
    """Where a person sees what to do."""

    def code(self, text: str, seconds: float) -> None:
        """Show a code to scan; it takes the place of the one before."""
        ...

    def typed(self, code: str) -> None:
        """Show a code to type; it takes the place of the one before."""
        ...

    def say(self, text: str) -> None:
        """Say a sentence."""
        ...


class Linking:
    """One run of ``link``.

    Args:
        start: Starts a child.
        screen: Shows codes.
        name: The instance's, for sentences.
        phone: Digits, for a code to type; empty for one to scan.
        connect_seconds: How long a child may take to say anything.
        paired_seconds: How long after pairing the connection may take; then the child is started anew, once.

    Attributes:
        paired: Who a phone has accepted, or ``None``: it is linked from then on, whatever happens.
    """

    def __init__(
        self, start: Start, screen: Screen, *, name: str, phone: str, connect_seconds: float, paired_seconds: float
    ) -> None:
        self._start = start
        self._screen = screen
        self._name = name
        self._phone = phone
        self._connect_seconds = connect_seconds
        self._paired_seconds = paired_seconds
        self.paired: Who | None = None

    async def run(self) -> Who:
        """Link an account; one that is linked already is only connected.

        Raises:
            CommandError: It came to nothing; says why.
        """
        rounds, again = 0, False
        while True:
            async with self._start() as child:
                end = await self._follow(child)
            if isinstance(end, Who):
                return end
            if end == "codes_over":
                rounds += 1
                if rounds == ROUNDS:
                    raise self._failed("no phone has taken a code", "have the phone at hand")
                self._screen.say("All codes have run out; new ones come.")
            elif again:
                raise self._given_up(end, child)
            else:
                again = True
                self._screen.say("That came to nothing; once more, from the beginning.")

    async def _follow(self, child: ChildProcess) -> Who | _END:
        """Go along with one child until it is connected or can't go on."""
        asked = settled = False
        with anyio.CancelScope(deadline=anyio.current_time() + self._connect_seconds) as patience:
            async for event in child:
                if not isinstance(event, Link):
                    continue  # messages stay in the spool
                if event.state == "connected":
                    self.paired = who = _both(event.me, self.paired)
                    patience.deadline = math.inf
                    if not settled:
                        await _settle(child)
                    return who
                if event.state == "code":
                    self.paired = None
                    patience.deadline = anyio.current_time() + event.seconds + self._connect_seconds
                    if not self._phone:
                        self._screen.code(event.said, event.seconds)
                    elif not asked:
                        asked = True
                        self._screen.typed(await self._pair(child))
                elif event.state == "paired":
                    self.paired = _both(event.me, None)
                    patience.deadline = anyio.current_time() + self._paired_seconds
                    self._screen.say("The phone has accepted. Waiting for WhatsApp to connect …")
                elif event.state == "codes_over":
                    return "codes_over"
                elif event.state == "disk":
                    self._screen.say(f"It waits for the disk: {plain(event.said)}")
                elif event.state == "offline_done":
                    settled = True  # it may come before the word that it is connected
                elif self._is_over(event):
                    return "gone"
            return "gone"
        return "silent"

    async def _pair(self, child: ChildProcess) -> str:
        """Ask for a code to type.

        Raises:
            CommandError: WhatsApp gives none.
        """
        answer = await child.ask(Pair(request=0, phone=self._phone))
        if answer.error or not answer.names:
            said = f"WhatsApp gives no code for +{self._phone}: {plain(answer.said) or 'it does not say why'}"
            raise self._failed(said, "look at the number, country code included, or scan a code instead")
        return answer.names[0]

    def _is_over(self, event: Link) -> bool:
        """Whether this child gets nowhere, but another might.

        Raises:
            CommandError: No other would.
        """
        if event.state == "ended" and self.paired is not None:
            return True
        if event.state == "logged_out" and self.paired is None:
            return True  # what was left of an earlier link, which the phone has removed
        if event.state in _HARMLESS:
            return False
        raise why_not(event, self._name)

    def _given_up(self, end: _END, child: ChildProcess) -> CommandError:
        if end == "gone":
            why = child.trouble or f"the process that connects has ended (exit code {child.code})"
            return self._failed(why, "see child.log in its folder, and nanokimi doctor")
        if self.paired is not None:
            return self._failed("the phone has accepted, but WhatsApp lets nobody connect", "look at the network")
        return self._failed("WhatsApp doesn't answer", "look at the network")

    def _failed(self, said: str, remedy: str) -> CommandError:
        return CommandError(f"{self._name} is not linked: {said}", remedy=f"{remedy}, then: nanokimi {self._name} link")


async def log_out(start: Start, *, seconds: float = _UNLINK_SECONDS) -> str:
    """Log the account out on the server; gives why the server could not be told, or nothing."""
    with anyio.move_on_after(seconds):
        async with start() as child:
            async for event in child:
                if not isinstance(event, Link):
                    continue
                if event.state == "connected":
                    answer = await child.ask(Unlink(request=0))
                    return plain(answer.said or answer.error) if answer.error else ""
                if event.state in ("code", "codes_over", "logged_out", "passkey"):
                    return ""  # nothing is linked any more
                if event.state == "ended" or event.state in FINAL:
                    return plain(event.said) or event.state
            return "its process has ended"
    return f"no answer within {seconds:g} s"


def _both(newer: Who | None, older: Who | None) -> Who:
    """Join what two events say of the account; the later one may know its name, or no longer say it."""
    if newer is None or older is None:
        return newer or older or Who(id="")
    return Who(id=newer.id, alias=newer.alias or older.alias, name=newer.name or older.name)


async def _settle(child: ChildProcess) -> None:
    """Let the first connection do what it has to, as far as it does that in a few seconds."""
    with anyio.move_on_after(_SETTLE_SECONDS):
        async for event in child:
            if isinstance(event, Link) and event.state == "offline_done":
                return
