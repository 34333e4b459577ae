"""How an account stands, as far as its files tell; for ``status`` and the doctor, which run beside the transport."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanokimi_transport_whatsapp.neonize_engine.login import has_login
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.standing import AccountNote, Standing, read_note, read_standing
from nanokimi_transport_whatsapp.states import States
from nanokimi_transport_whatsapp.terminal.holding import in_use
from nanokimi_transport_whatsapp.values import FINAL
from nanokimi_transport_whatsapp.words import account_words, number_of


@dataclass(frozen=True)
class Overview:
    """What is known of an instance's account.

    Attributes:
        name: The instance's.
        note: What is linked, if anything is.
        standing: How the transport last saw it; ``None``: none has run yet.
        in_use: Whether a child has the session now.
        running: Whether that is so, or a transport runs that waits.
        unfinished: Whether a login is there which no ``link`` has confirmed.
        number: Whose number it is, or nothing.
        words: What is to be said of the state, with what to do; empty where it is connected and well.
    """

    name: str
    note: AccountNote | None
    standing: Standing | None
    in_use: bool
    running: bool
    unfinished: bool
    number: str
    words: str

    @classmethod
    def of(cls, places: Places, settings: Settings, name: str) -> Overview:
        """Read it."""
        note, standing = read_note(places), read_standing(places)
        number = settings.number or (note.number if note is not None else "")
        words = _words(settings, name, standing) if standing is not None else ""
        used = in_use(places)
        unfinished = note is None and not used and has_login(places.session)
        running = used or (standing is not None and standing.is_running)
        return cls(name, note, standing, used, running, unfinished, number, words)

    @property
    def final(self) -> bool:
        """Whether the connection has ended for good."""
        return self.standing is not None and self.standing.state in FINAL

    @property
    def state(self) -> str:
        """Give the state in one word: ``unlinked``, a final one, ``unused``, or what the transport says."""
        if self.final and self.standing is not None:
            return self.standing.state
        if self.note is None:
            return "unlinked"
        if not self.running:
            return "unused"
        if self.standing is None:
            return "connecting"
        return self.standing.state if self.in_use or self.standing.state != "connected" else "waiting"

    @property
    def well(self) -> bool:
        """Whether there is nothing to be done: it is linked, and connected where a transport runs."""
        return self.note is not None and self.state in ("unused", "connected")

    def as_dict(self) -> dict[str, Any]:
        """Give it for JSON."""
        note, standing = self.note, self.standing
        return {
            "instance": self.name,
            "state": self.state,
            "connected": self.state == "connected",
            "in_use": self.in_use,
            "process": standing.child if standing and self.in_use else None,
            "account": note and {"name": note.me.name, "phone": number_of(note.me), "id": note.me.id},
            "number": self.number or None,
            "linked_at": note and note.linked_at.isoformat(),
            "since": standing and standing.since.isoformat(),
            "until": standing.until.isoformat() if standing and standing.until else None,
            "said": self.words,
            "spooled": standing.spooled if standing else 0,
            "held": standing.held if standing else 0,
            "resent": standing.resent if standing else 0,
        }

    def lines(self) -> Iterator[str]:
        """Give it for a person."""
        whose = {"own": "your own number", "bot": "the assistant's number"}.get(self.number, "")
        if self.note is not None:
            yield f"account: {account_words(self.note.me)}{whose and f', {whose}'}"
            yield f"linked: {self.note.linked_at.astimezone():%Y-%m-%d %H:%M}"
        yield f"state: {self._state_words()}"
        if self.standing is not None:
            yield from self._figures(self.standing)

    def _state_words(self) -> str:
        since = f"since {self.standing.since.astimezone():%Y-%m-%d %H:%M}" if self.standing is not None else ""
        if self.state == "unlinked":
            if self.unfinished:
                return f"a phone has accepted it, but that was not finished; go on with: nanokimi {self.name} link"
            return f"not linked; link it with: nanokimi {self.name} link"
        if self.state == "unused":
            last = f"; last seen: {self.standing.state} {since}" if self.standing is not None else ""
            return f"linked, but nothing is connected now; start it with: nanokimi run{last}"
        words = "" if self.words == f"is {self.state}" else self.words
        return ", ".join(filter(None, [self.state.replace("_", " "), since, words]))

    def _figures(self, standing: Standing) -> Iterator[str]:
        if standing.until is not None and self.state == "banned":
            yield f"until: {standing.until.astimezone():%Y-%m-%d %H:%M}"
        if standing.spooled:
            yield f"waiting to be taken: {standing.spooled}"
        if standing.held:
            yield f"held, perhaps sent already: {standing.held}"
        if standing.resent:
            yield f"sent again, perhaps seen twice: {standing.resent}"


def _words(settings: Settings, name: str, standing: Standing) -> str:
    """Say how a link stands in the transport's own words; empty where it is connected and well."""
    machine = States(settings, name)
    machine.state, machine.said, machine.until = standing.state, standing.said, standing.until
    return machine.words()
