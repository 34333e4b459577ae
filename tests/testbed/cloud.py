"""A local stand-in for Moonshot's servers: the platform's and Kimi Code's model API, and the login server.

    with Cloud() as cloud:
        cloud.add_key("sk-test")
        cloud.script(Say("hello"), Fail(429, "rate_limit_reached_error", headers={"retry-after": "7"}))

It serves from threads of its own, so that sync and async tests use it alike.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from testbed.cloud_http import Account, Recorded, Server
from testbed.cloud_model import CallTool, Drop, Fail, Hang, Reply, Say, default_reply
from testbed.cloud_oauth import OAuth, Refuse, Slow

__all__ = ["CallTool", "Cloud", "Drop", "Fail", "Hang", "Model", "Recorded", "Refuse", "Say", "Slow"]

_MOST_REQUESTS = 10_000


@dataclass(frozen=True)
class Model:
    """A model that the API lists."""

    id: str
    context_length: int = 262_144


class Cloud:
    """The servers. Nothing is reachable before ``with`` or after it.

    Attributes:
        requests: All that arrived, oldest first.
        models: What each account's API lists; a request for another model gets the API's 404.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.oauth = OAuth()
        self.models: dict[Account, list[Model]] = {
            "platform": [Model("kimi-k2.5"), Model("kimi-k2.6")],
            "coding": [Model("kimi-for-coding")],
        }
        self.requests: deque[Recorded] = deque(maxlen=_MOST_REQUESTS)
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

    def new_login(self, expires_in: int = 900) -> dict[str, Any]:
        """Log somebody in and give the content of ``kimi-code.json``; negative: with an ended access token."""
        return self.oauth.new_login(expires_in)

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
    def record(self, request: Recorded) -> None:
        """Remember a request."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def completions(self) -> list[Recorded]:
        """Give the agent's requests to the model, without its side requests."""
        with self._changed:
            return [request for request in self.requests if request.is_completion and not request.is_side_request]

    def prompts(self) -> list[str]:
        """Give the text of each completion's request, the system's part included."""
        return [request.prompt for request in self.completions()]

    def wait_for_completions(self, count: int, within: float = 30.0) -> list[Recorded]:
        """Block until the model was asked ``count`` times.

        Raises:
            TimeoutError: It was not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.completions()) >= count, within):
                raise TimeoutError(f"{len(self.completions())} completions, not {count}, within {within} s")
        return self.completions()
