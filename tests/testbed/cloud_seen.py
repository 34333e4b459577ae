"""What arrived at the stand-in servers: requests, and the keys and access tokens that were used."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from testbed.cloud_model import said_by_person, text_of

Account = Literal["platform", "coding"]

_MOST = 10_000
_LOOK_AGAIN = 0.05


@dataclass(frozen=True)
class Recorded:
    """A request that arrived.

    Attributes:
        method: ``GET``, ``POST``.
        path: Without the query.
        headers: With names in lower case. Holds the credentials that were sent.
        body: The parsed JSON or form; empty where there was none.
        at: Seconds of ``time.monotonic``.
        token: What stood after ``Bearer``.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def is_completion(self) -> bool:
        return self.path.endswith("/chat/completions")

    @property
    def is_side_request(self) -> bool:
        """Whether an agent asks for its own ends (a title, a summary): then it offers no tools."""
        return self.is_completion and not self.body.get("tools")

    @property
    def prompt(self) -> str:
        """All that the model was given as text, the system's part included."""
        return "\n".join(text_of(message) for message in self.body.get("messages", []))

    @property
    def said(self) -> list[str]:
        """What people said, oldest first, without what the agent adds."""
        return [text for message in self.body.get("messages", []) if (text := said_by_person(message))]


@dataclass(frozen=True)
class Use:
    """A key or an access token that was brought to an account's API.

    Attributes:
        token: All of it.
        path: Of the request.
        accepted: Whether it was let in.
        at: Seconds of ``time.monotonic``.
    """

    token: str
    path: str
    accepted: bool
    at: float = field(default_factory=time.monotonic)


class Seen:
    """What arrived, oldest first; the oldest of too many are forgotten. Safe to use from several threads.

    Attributes:
        requests: All of it, refused requests included.
        uses: Of keys and access tokens.
    """

    def __init__(self) -> None:
        self.requests: deque[Recorded] = deque(maxlen=_MOST)
        self.uses: deque[Use] = deque(maxlen=_MOST)
        self._changed = threading.Condition()

    def record(self, request: Recorded) -> None:
        """Remember a request."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def record_use(self, use: Use) -> None:
        """Remember a key or a token that was brought."""
        with self._changed:
            self.uses.append(use)
            self._changed.notify_all()

    def sent(self, ending: str) -> list[Recorded]:
        """Give the requests whose path ends so: ``/oauth/token``, ``/usages``."""
        with self._changed:
            return [request for request in self.requests if request.path.endswith(ending)]

    def headers(self, ending: str, name: str) -> list[str]:
        """Give one header of those requests, empty where it was not sent."""
        return [request.headers.get(name.lower(), "") for request in self.sent(ending)]

    def used(self, token: str) -> list[Use]:
        """Give the uses of one key or access token."""
        with self._changed:
            return [use for use in self.uses if use.token == token]

    def completions(self) -> list[Recorded]:
        """Give the agent's requests to the model, without its side requests."""
        with self._changed:
            return [request for request in self.requests if request.is_completion and not request.is_side_request]

    def wait_until(self, true: Callable[[], object], within: float, otherwise: Callable[[], str]) -> None:
        """Block until something is true.

        Raises:
            TimeoutError: It did not become true; says what ``otherwise`` gives.
        """
        deadline = time.monotonic() + within
        with self._changed:
            while not true():
                if (left := deadline - time.monotonic()) <= 0:
                    raise TimeoutError(f"{otherwise()} within {within} s")
                self._changed.wait(min(left, _LOOK_AGAIN))
