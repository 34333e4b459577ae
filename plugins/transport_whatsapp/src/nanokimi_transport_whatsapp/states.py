"""How the link stands, what is to be done about it, and what the owner is told. No I/O: time and events are given.

With a linked account it goes from waiting over connecting to connected, to away and back by the library itself, and by
a watchdog or the child's end to waiting again. A command makes it held until it is over. Final states are left when the
account is linked anew, when a command was at work, or when a ban is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.values import FINAL, Link, Who
from nanokimi_transport_whatsapp.words import plain

STATES = frozenset({"unlinked", "held", "waiting", "connecting", "paired", "connected", "away", "full", "disk", *FINAL})
"""``unlinked``: there is no account. ``held``: a command uses the session. ``waiting``: for the next attempt. ``away``:
the connection was lost, the library tries by itself. ``full``: the spool is. ``disk``: it takes nothing, or has
too little room to be connected. The others as in ``Link``."""

WEAK_SECONDS = 180.0
"""How long keep-alives may get no answer."""

_GOOD_SECONDS = 60.0
_DRAIN_SECONDS = 5.0
_EXIT_SECONDS = 1.0  # a child that can't go on ends by itself, and its exit code says more
_MANY_FAILURES = 5
_MOST_DOUBLINGS = 20
_LONGEST = 200
_BEGINS_ANEW = {exits.FULL: "the spool was full", exits.ROOM: "the disk had too little room"}
"""Exit codes of a child that has done what it had to."""


@dataclass(frozen=True)
class News:
    """What the owner is to be told, once for each key until the text changes."""

    key: str
    text: str


class States:
    """The machine. ``now`` is always seconds of a clock that only runs forward, ``wall`` the time of day with its zone.

    Args:
        settings: Its waits.
        name: The instance's, for commands that a person can type.
        banned_until: The end of a ban that an earlier process has met.
        jitter: Gives a factor for each wait.

    Attributes:
        state: One of ``STATES``.
        said: Why, in words.
        me: The account, once it is known.
        until: The end of a ban, where WhatsApp has said it.
        news: What the owner is to be told; whoever tells it takes it out.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        banned_until: datetime | None = None,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311  # no secret
    ) -> None:
        self.state = "banned" if banned_until else "unlinked"
        self.said = ""
        self.me: Who | None = None
        self.until = banned_until
        self.news: list[News] = []
        self._settings, self._name, self._jitter = settings, name, jitter
        self._next = 0.0
        self._since = 0.0
        self._failures = 0
        self._connected_at: float | None = None
        self._weak_since: float | None = None
        self._before_disk = "connecting"
        self._disk_told = False
        self._gave_up: tuple[float, str] | None = None
        self._was_unlinked = False

    # -------------------------------------------------------------- what happens
    def look(self, now: float, wall: datetime, *, linked: bool, held: bool) -> None:
        """Take note of what lies on disk: whether an account is linked, and whether a command holds the session."""
        self._was_unlinked = self._was_unlinked or not linked
        if held:
            self._become("held", now)
        elif self.state == "held":
            self._begin(now, linked)
        elif self.state in FINAL:
            over = self.state == "banned" and self.until is not None and wall >= self.until
            if over or (self._was_unlinked and linked):
                self._begin(now, linked)
        elif not linked:
            self._become("unlinked", now)
        elif self.state == "unlinked":
            self._begin(now, linked)

    def started(self, now: float) -> None:
        """Take note that a child has been started."""
        self._connected_at = self._weak_since = None
        self._gave_up = None
        self._become("connecting", now)

    def heard(self, link: Link, now: float, wall: datetime) -> None:
        """Take note of what the child says."""
        self.me = link.me or self.me
        if link.state in FINAL:
            self._finish(link, now, wall)
        elif self.state in FINAL or self.state in ("held", "unlinked"):
            return
        elif link.state in ("code", "codes_over", "passkey"):
            self._finish(Link(state="logged_out", said="the login is gone"), now, wall)
        elif link.state == "ended":
            self._gave_up = self._gave_up or (now, link.said or "the library gave up")
        elif link.state == "connected":
            self._connected_at, self._weak_since = self._connected_at or now, None
            self._disk_told = False
            self._become("connected", now)
        elif link.state == "weak":
            self._weak_since = self._weak_since or now
        elif link.state == "disk":
            self._wait_for_disk(link, now)
        elif link.state == "damaged":
            self._tell("damaged", plain(link.said), "look at that disk")
        elif link.state in ("paired", "full"):
            self._become(link.state, now, link.said)
        elif link.state == "disconnected":
            self._weak_since = None
            before = self._before_disk if self.state == "disk" else self.state
            if before in ("connected", "away"):
                self._become("away", now, link.said)
                self._note_good(now)
            elif self.state == "disk":
                self._become(before, now)

    def ended(self, now: float, code: int | None, why: str) -> None:
        """Take note that the child has ended.

        Args:
            now: The time.
            code: Its exit code.
            why: In words, where there are any.
        """
        self._note_good(now)
        if self.state in FINAL or self.state in ("held", "unlinked"):
            return
        said = (self._gave_up[1] if self._gave_up else why) or f"its process has ended ({_ending(code)})"
        if code in _BEGINS_ANEW:
            self._become("waiting", now, _BEGINS_ANEW[code])
            self._next = now + self._settings.first_retry
            return
        wait = self._settings.first_retry * 2 ** min(self._failures, _MOST_DOUBLINGS)
        self._next = now + min(wait, self._settings.longest_retry) * self._jitter()
        self._failures += 1
        self._become("waiting", now, said)
        if code in (exits.LIBRARY_MISSING, exits.UNUSABLE):
            self._tell("broken", f"can't work: {said}", "see what is wrong with: nanokimi doctor")
        elif self._failures == _MANY_FAILURES:
            self._tell("failing", f"can't connect to WhatsApp: {said}", "it goes on trying")

    def stopped(self, now: float) -> None:
        """Take note that the child was ended for no fault of its own; another one may be started."""
        self._note_good(now)
        if self.state not in FINAL and self.state not in ("held", "unlinked"):
            self._become("waiting", now)
            self._next = now

    # -------------------------------------------------------------- what to do
    def may_start(self, now: float) -> bool:
        """Whether a child is to be started now."""
        return self.state == "waiting" and now >= self._next

    def must_end(self, now: float, *, busy: bool = False) -> str:
        """Say why the child must be ended now; empty while it may go on.

        Args:
            now: The time.
            busy: Messages that it has brought are still being taken; in a final state that is waited for.
        """
        if self.state in ("held", "unlinked"):
            return self.words()
        if self.state in FINAL:
            return self.state if not busy and now - self._since > _DRAIN_SECONDS else ""
        if self.state == "waiting":
            return "it had given up, and is to begin anew"
        if self._gave_up is not None and now - self._gave_up[0] > _EXIT_SECONDS:
            return self._gave_up[1]
        if self._weak_since is not None and now - self._weak_since > WEAK_SECONDS:
            return f"no answer to keep-alives for {WEAK_SECONDS:g} s"
        settings = self._settings
        patience, what = {
            "connecting": (settings.connect_seconds, "not connected"),
            "paired": (settings.paired_seconds, "not connected after pairing"),
            "away": (settings.away_seconds, "not connected again"),
        }.get(self.state, (0.0, ""))
        return f"{what} within {patience:g} s" if what and now - self._since > patience else ""

    def words(self) -> str:
        """Say how it stands in a line of at most 200 characters; empty where it is connected and well."""
        why = f": {plain(self.said)}" if self.said else ""
        return {
            "unlinked": f"waits to be linked: run nanokimi {self._name} link",
            "held": "a command uses the login",
            "waiting": f"waits to connect again{why}" if why else "is about to connect",
            "connecting": "is connecting",
            "paired": "is linked, and waits for the connection",
            "connected": "gets no answers to keep-alives" if self._weak_since is not None else "",
            "away": "has lost the connection, and tries to get it back",
            "full": "has too many messages on disk, and takes those first",
            "disk": f"can't keep what comes, and waits for the disk{why}",
        }.get(self.state, "; ".join(filter(None, self._final())))[:_LONGEST]

    # -------------------------------------------------------------- small things
    def _begin(self, now: float, linked: bool) -> None:
        self.me = self.until = None
        self._failures, self._next, self._was_unlinked = 0, now, not linked
        self._become("waiting" if linked else "unlinked", now)

    def _become(self, state: str, now: float, said: str = "") -> None:
        if (state, said) != (self.state, self.said):
            self._since = now if state != self.state else self._since
            self.state, self.said = state, said

    def _wait_for_disk(self, link: Link, now: float) -> None:
        """Leave the child alone, however long it takes: beginning anew would lose what waits in it."""
        if self.state != "disk":
            self._before_disk = self.state
        self._weak_since = None
        self._become("disk", now, link.said)
        if not self._disk_told:  # a child that is begun anew meanwhile finds other figures, and says it again
            said = plain(link.said)
            self._tell(
                "disk", f"can't keep what comes from WhatsApp: {said}", "make room there, and it goes on by itself"
            )
        self._disk_told = True

    def _finish(self, link: Link, now: float, wall: datetime) -> None:
        said = f"{link.said or 'no reason given'} (code {link.code})" if link.code else link.said
        self.until = wall + timedelta(seconds=link.seconds) if link.state == "banned" and link.seconds else None
        self._was_unlinked = False
        self._become(link.state, now, said)
        what, remedy = self._final()
        self._tell(link.state, f"{what} (noticed {wall:%Y-%m-%d %H:%M})", remedy)

    def _final(self) -> tuple[str, str]:
        why, again = f": {plain(self.said)}" if self.said else "", f"nanokimi {self._name} reconnect"
        if self.state == "banned" and self.until is not None:
            return f"WhatsApp has banned this account until {self.until:%Y-%m-%d %H:%M}{why}", "it is tried again then"
        return {
            "logged_out": ("the phone has unlinked this device", f"link it again with: nanokimi {self._name} link"),
            "replaced": ("another program uses this login", f"stop it, then: {again}"),
            "banned": (f"WhatsApp has banned this account{why}", f"when that is over: {again}"),
            "outdated": ("WhatsApp takes this version no longer", f"update it: pip install -U neonize, then: {again}"),
        }.get(self.state, (f"WhatsApp refuses the connection{why}", f"when that is mended: {again}"))

    def _tell(self, key: str, what: str, remedy: str) -> None:
        self.news.append(News(key, f"{what}; {remedy}"))

    def _note_good(self, now: float) -> None:
        """Forget earlier failures where the connection has held for a while."""
        if self._connected_at is not None and now - self._connected_at >= _GOOD_SECONDS:
            self._failures = 0
        self._connected_at = None


def _ending(code: int | None) -> str:
    if code is None:
        return "it did not say how"
    return f"by signal {-code}" if code < 0 else f"exit code {code}"
