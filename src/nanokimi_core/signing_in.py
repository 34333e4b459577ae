"""Going through a login that an auth plugin leads: its codes, its limits, and what it comes to."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

import anyio

from nanokimi_core.contracts.auth import AuthStatus, LogsIn, ShowCode
from nanokimi_core.errors import AgentError, CommandError, LoginNeeded, NanoKimiError
from nanokimi_core.plugins import Plugin
from nanokimi_core.supervision import fault, guarded, guarded_call, named

FIRST_CODE = 60.0
"""Seconds in which a login must show its first code."""
SAYING_SO = 30.0
"""Seconds that a plugin has to end a login whose code has run out."""

_LONGEST = 86_400.0
_CLOSING = 10.0
_MOST_CODES = 10
_LONGEST_PAGE = 500
_LONGEST_CODE = 100
_CODE = re.compile(r"[^\W_]+(?:[-_. :/][^\W_]+)*")  # nothing that a network's markup could take for its own
_WEB = ("https://", "http://")
_DOING = "to log in"
_USABLE = ("ok", "expiring")

log = getLogger("nanokimi")


class NoNewLogin(CommandError):
    """A login came to nothing; the remedy says why, and what to do.

    Args:
        name: The account's instance.
        why: As a sentence's end.
        expired: Whether that is because nobody entered its code in time.
    """

    def __init__(self, name: str, why: str, *, expired: bool = False) -> None:
        super().__init__(f"there is no new login for {name}", remedy=why)
        self.expired = expired


async def sign_in(
    name: str,
    auth: LogsIn,
    *,
    plugin: Plugin | str,
    show: Callable[[ShowCode], Awaitable[None]],
    most_codes: int = _MOST_CODES,
) -> AuthStatus:
    """Go through a login, and give the status that it ends with, which is ``ok`` or ``expiring``.

    The first code must come within ``FIRST_CODE``, and all must be over ``SAYING_SO`` after the last one has run out.
    Cancelled, it lets the plugin close its login.

    Args:
        name: The account's instance.
        auth: The plugin's object.
        plugin: The culprit, should it have a fault.
        show: Gets each code; what it raises ends the login, and passes.
        most_codes: A login that shows one more is taken for one whose code has run out.

    Raises:
        NoNewLogin: It was declined or given up, or the code ran out.
        PluginError: The plugin has a fault.
        ConfigError: The plugin says what must be mended first.
    """
    outcome: AuthStatus | NanoKimiError | None = None
    course = _Course(name, plugin, show, most_codes)
    # One scope around all of it: an async generator may keep scopes open, which must be closed inside of ours.
    with anyio.CancelScope(deadline=anyio.current_time() + FIRST_CODE) as limit:
        events = _begun(auth, plugin)
        try:
            outcome = await course.follow(events, limit)
        finally:
            limit.deadline = anyio.current_time() + _CLOSING
            await _close(events, plugin)
    if isinstance(outcome, AuthStatus):
        return outcome
    if outcome is None:
        said = f"it showed no code within {FIRST_CODE:g} s"
        outcome = course.run_out() if course.codes else fault(plugin, _DOING, said)
    raise outcome


class _Course:
    """What has happened in a login so far."""

    def __init__(
        self, name: str, plugin: Plugin | str, show: Callable[[ShowCode], Awaitable[None]], most_codes: int
    ) -> None:
        self._name, self._plugin, self._show, self._most = name, plugin, show, most_codes
        self._last: ShowCode | None = None
        self._ends = 0.0  # on the event loop's clock
        self.codes = 0

    async def follow(self, events: Any, limit: anyio.CancelScope) -> AuthStatus | NanoKimiError:
        """Show each code until the login ends; gives its status, or why there is none."""
        while True:
            try:
                event = await guarded(events.__anext__, plugin=self._plugin, doing=_DOING)
            except StopAsyncIteration:
                return fault(self._plugin, _DOING, "its login ended without an AuthStatus")
            except NanoKimiError as error:
                return error
            except Exception as error:  # noqa: BLE001  # a plugin boundary
                return self._raised(error)
            if isinstance(event, AuthStatus):
                return self._ended(event)
            if flaw := _flaw(event):
                return fault(self._plugin, _DOING, f"its login gave {flaw}")
            if self.codes == self._most:
                return self.run_out()
            self.codes += 1
            await self._note(event, limit)

    async def _note(self, code: ShowCode, limit: anyio.CancelScope) -> None:
        left = min(max((code.expires_at - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST)
        self._last, self._ends = code, anyio.current_time() + left
        limit.deadline = self._ends + SAYING_SO
        await self._show(code)

    def _ended(self, status: AuthStatus) -> AuthStatus | NanoKimiError:
        if status.state in _USABLE:
            return status
        return self._not_made(status.remedy or f"its state is {str(status.state).replace('_', ' ')}")

    def _raised(self, error: Exception) -> NanoKimiError:
        if isinstance(error, (LoginNeeded, AgentError)):
            remedy = getattr(error, "remedy", "")
            return self._not_made(f"{error}; {remedy}" if remedy else str(error))
        wrong = named(self._plugin, _DOING, error)
        wrong.__cause__ = error
        return wrong

    def _not_made(self, why: str) -> NanoKimiError:
        return self.run_out() if self._has_run_out() else NoNewLogin(self._name, why)

    def _has_run_out(self) -> bool:
        """Whether the code doesn't count any more, by the clock on the wall or by the time that has passed."""
        if self._last is None:
            return False
        return anyio.current_time() >= self._ends or datetime.now(UTC) >= self._last.expires_at

    def run_out(self) -> NanoKimiError:
        """Say that nobody entered the code in time."""
        return NoNewLogin(self._name, "the code has run out; log in again", expired=True)


def _begun(auth: LogsIn, plugin: Plugin | str) -> Any:
    """Begin a login.

    Raises:
        PluginError: It is nothing that gives one event after the other.
    """
    try:
        events: Any = guarded_call(auth.login, plugin=plugin, doing=_DOING)
    except NanoKimiError:
        raise
    except Exception as error:  # a plugin boundary
        raise named(plugin, _DOING, error) from error
    if hasattr(events, "__anext__"):
        return events
    if inspect.iscoroutine(events):
        events.close()
    said = f"its login returned {type(events).__name__}, not an async generator"
    raise fault(plugin, _DOING, said, "let login() be an async def that yields")


async def _close(events: Any, plugin: Plugin | str) -> None:
    """Close a login, where that can be done: a generator can be closed, and a plugin may give another kind."""
    close = getattr(events, "aclose", None)
    if close is None:
        return
    try:
        await guarded(close, plugin=plugin, doing=f"{_DOING}, on leaving")
    except Exception as error:  # noqa: BLE001  # a plugin boundary, and the login is over
        log.error("%s", named(plugin, f"{_DOING}, on leaving", error))


def _flaw(event: Any) -> str:
    """Say what is wrong with a code; empty where nothing is."""
    if not isinstance(event, ShowCode):
        return f"{type(event).__name__}, where a ShowCode or an AuthStatus belongs"
    if not (isinstance(event.expires_at, datetime) and event.expires_at.tzinfo):
        return f"{event.expires_at!r:.60}, which has no zone"
    for name, page in (("url", event.url), ("complete_url", event.complete_url)):
        if not isinstance(page, str) or len(page) > _LONGEST_PAGE or not page.isprintable() or " " in page:
            return f"a ShowCode whose {name} is not an address of at most {_LONGEST_PAGE} characters"
    if not (event.url.startswith(_WEB) and (not event.complete_url or event.complete_url.startswith(_WEB))):
        return "a ShowCode whose page is not an address of the web"
    if not isinstance(event.code, str) or len(event.code) > _LONGEST_CODE or not _CODE.fullmatch(event.code):
        return "a ShowCode whose code is not letters and digits, with a single dash, dot or space between some of them"
    return ""
