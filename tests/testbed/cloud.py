"""A local stand-in for Moonshot's servers: the platform's and Kimi Code's model API, and the login server.

    with Cloud() as cloud:
        cloud.add_key("sk-test")
        cloud.script(Say("hello"), Fail(429, "rate_limit_reached_error", headers={"retry-after": "7"}))
        login = cloud.new_login(expires_in=2)
        cloud.oauth.script(Slow(1), DropAfter(), Refuse(503, "server_error", headers={"retry-after": "3"}))
        cloud.refuse("sk-test", NO_BALANCE)

It serves from threads of its own, so that sync and async tests use it alike.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from testbed.cloud_faults import Alter, DropAfter, DropBefore, Refuse, Slow, Strange
from testbed.cloud_http import Server
from testbed.cloud_model import CallTool, Drop, Fail, Hang, Reply, Say, default_reply
from testbed.cloud_oauth import OAuth
from testbed.cloud_quota import balance, usages
from testbed.cloud_seen import Account, Recorded, Seen, Use

__all__ = [
    "Alter",
    "CallTool",
    "Cloud",
    "Drop",
    "DropAfter",
    "DropBefore",
    "Fail",
    "Hang",
    "Model",
    "Recorded",
    "Refuse",
    "Say",
    "Slow",
    "Strange",
    "Use",
]


@dataclass(frozen=True)
class Model:
    """A model that the API lists."""

    id: str
    context_length: int = 262_144

    def listed(self) -> dict[str, Any]:
        """Write it as the API does."""
        return {"id": self.id, "object": "model", "owned_by": "moonshot", "context_length": self.context_length}


class Cloud:
    """The servers. Nothing is reachable before ``with`` or after it.

    Attributes:
        oauth: The login server.
        seen: All that arrived.
        models: What each account's API lists; a request for another model gets the API's 404.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.oauth = OAuth()
        self.models: dict[Account, list[Model]] = {
            "platform": [Model("kimi-k2.5"), Model("kimi-k2.6")],
            "coding": [Model("kimi-for-coding")],
        }
        self.seen = Seen()
        self._left: dict[Account, Any] = {"platform": balance(), "coding": usages()}
        self._left_of: dict[str, Any] = {}
        self._refused: dict[str, Fail | Drop] = {}
        self._broken: dict[str, Fail | Drop] = {}
        self._keys: set[str] = set()
        self._script: deque[Reply] = deque()
        self._always: Reply | None = None
        self._changed = threading.Condition()
        self._releases = 0
        self._closing = threading.Event()
        self._server = Server((host, 0), self)

    def __enter__(self) -> Cloud:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.oauth.close()
        self._closing.set()
        self.release()
        self._server.stop()

    # ----------------------------------------------------------------- where it is
    @property
    def oauth_host(self) -> str:
        """The login server's root, without a slash at its end."""
        return self._server.root

    @property
    def quiet(self) -> bool:
        """Whether nobody is connected, so that no request is on its way."""
        return not self._server.connections

    @property
    def base_url_platform(self) -> str:
        return f"{self._server.root}/v1"

    @property
    def base_url_coding(self) -> str:
        return f"{self._server.root}/coding/v1"

    # ----------------------------------------------------------------- accounts
    def add_key(self, key: str) -> str:
        """Accept an API key: one that starts with ``sk-kimi-`` for Kimi Code, any other for the platform."""
        self._keys.add(key)
        return key

    def remove_key(self, key: str) -> None:
        """Refuse a key from now on."""
        self._keys.discard(key)

    def new_login(self, expires_in: int = 900, later: int | None = None) -> dict[str, Any]:
        """Log somebody in and give the content of ``kimi-code.json``; negative: with an ended access token.

        ``later`` is the life of the access tokens that refreshes give.
        """
        return self.oauth.new_login(expires_in, later)

    def expire_access_tokens(self) -> None:
        """Answer 401 to every access token given so far."""
        self.oauth.expire_access_tokens()

    @property
    def refreshes(self) -> int:
        """How many refresh tokens were exchanged."""
        return self.oauth.refreshes

    def accepts(self, token: str, account: Account = "coding") -> bool:
        """Whether an account's API lets a key or an access token in, now."""
        if token in self._keys:
            return token.startswith("sk-kimi-") == (account == "coding")
        return account == "coding" and self.oauth.accepts(token)

    def admits(self, request: Recorded, account: Account) -> bool:
        """Whether an account's API lets a request in; remembers the key or token."""
        accepted = self.accepts(request.token, account)
        self.seen.record_use(Use(request.token, request.path, accepted))
        return accepted

    # ----------------------------------------------------------------- what an account has left
    def set_quota(self, account: Account, content: Any, token: str = "") -> None:
        """Say what ``/coding/v1/usages`` or ``/v1/users/me/balance`` answers: JSON, or a ``str`` as it is.

        Args:
            account: Of the address.
            content: As ``usages()`` and ``balance()`` of ``cloud_quota`` write it.
            token: Only for this key or access token.
        """
        if token:
            self._left_of[token] = content
        else:
            self._left[account] = content

    def quota(self, account: Account, token: str) -> Any:
        """Give what the account's server tells."""
        return self._left_of.get(token, self._left[account])

    def refuse(self, whom: str, how: Fail | Drop | None) -> None:
        """Refuse all completions of a key, an access token or an account; ``None`` ends that.

        Models and quotas are still shown, as a real account without a balance can see them.
        """
        _put(self._refused, whom, how)

    def break_path(self, rest: str, how: Fail | Drop | None) -> None:
        """Let a part of both APIs fail for everybody, as ``/models`` or ``/usages``; ``None`` ends that."""
        _put(self._broken, rest, how)

    def fault(self, request: Recorded, account: Account, rest: str) -> Fail | Drop | None:
        """Give what stops a request that was let in."""
        if (broken := self._broken.get(rest)) is not None or not request.is_completion:
            return broken
        return self._refused.get(request.token) or self._refused.get(account)

    # ----------------------------------------------------------------- what the model does
    def script(self, *replies: Reply) -> None:
        """Say how the agent's next completions go. Its side requests take nothing from the script."""
        with self._changed:
            self._script.extend(replies)

    def always(self, reply: Reply | None) -> None:
        """Say how every completion goes that no script covers; ``None`` is the default answer again."""
        with self._changed:
            self._always = reply

    def release(self) -> None:
        """Let every answer that hangs go on."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def next_reply(self, request: Recorded) -> Reply:
        """Choose the answer to a completion."""
        if request.is_side_request:
            return default_reply(request.body)
        with self._changed:
            scripted = self._script.popleft() if self._script else self._always
        return scripted if scripted is not None else default_reply(request.body)

    def pause(self, seconds: float) -> None:
        """Wait between two pieces of an answer; closing ends it."""
        self._closing.wait(seconds)

    def hang(self, seconds: float) -> None:
        """Wait in mid-answer; releasing and closing end it."""
        with self._changed:
            before = self._releases
            self._changed.wait_for(lambda: self._releases != before or self._closing.is_set(), seconds)

    # ----------------------------------------------------------------- what was asked
    @property
    def requests(self) -> deque[Recorded]:
        """All that arrived, oldest first."""
        return self.seen.requests

    def record(self, request: Recorded) -> None:
        """Remember a request."""
        self.seen.record(request)

    def completions(self) -> list[Recorded]:
        """Give the agent's requests to the model, without its side requests."""
        return self.seen.completions()

    def prompts(self) -> list[str]:
        """Give the text of each completion's request, the system's part included."""
        return [request.prompt for request in self.completions()]

    def wait_for_completions(self, count: int, within: float = 30.0) -> list[Recorded]:
        """Block until the model was asked ``count`` times.

        Raises:
            TimeoutError: It was not.
        """
        self.seen.wait_until(
            lambda: len(self.completions()) >= count,
            within,
            lambda: f"{len(self.completions())} completions, not {count},",
        )
        return self.completions()

    def wait_until(self, true: Callable[[], object], what: str = "it was not so", within: float = 30.0) -> None:
        """Block until something about these servers is true, as ``lambda: cloud.refreshes == 2``.

        Raises:
            TimeoutError: It did not become true; ``what`` says what is missing.
        """
        self.seen.wait_until(true, within, lambda: what)

    def wait_for_code(self, number: int = 1, within: float = 30.0) -> str:
        """Block until so many device logins were begun, and give that one's code.

        Raises:
            TimeoutError: They were not.
        """
        codes = self.oauth.devices.codes
        self.wait_until(lambda: len(codes) >= number, f"{len(codes)} logins by a code, not {number},", within)
        return codes[number - 1]


def _put(faults: dict[str, Fail | Drop], name: str, fault: Fail | Drop | None) -> None:
    if fault is None:
        faults.pop(name, None)
    else:
        faults[name] = fault
