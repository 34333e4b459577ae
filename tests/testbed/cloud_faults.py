"""What can go wrong with a request to the stand-in login server, and the script that says when."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

Answer = tuple[int, Any, dict[str, str]]
"""Status, content (a ``str`` goes out as it is, anything else as JSON), headers."""


class HangUp(Exception):
    """There shall be no answer: the connection is closed."""


@dataclass(frozen=True)
class Refuse:
    """Refuse a token request in OAuth's own form.

    Attributes:
        status: Of the response.
        error: OAuth's word for it.
        description: For people.
        delay: Seconds before the response.
        headers: To add to the response, as ``{"retry-after": "7"}``.
    """

    status: int = 400
    error: str = "invalid_grant"
    description: str = "The provided authorization grant is invalid"
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self) -> Answer:
        return refusal(self.error, self.description, self.status, self.headers)


@dataclass(frozen=True)
class Slow:
    """Answer a token request as usual, but late.

    Attributes:
        delay: In seconds; ``OAuth.release`` and closing shorten it.
        after: Wait when the tokens are rotated already, and only the answer is missing.
    """

    delay: float
    after: bool = False


@dataclass(frozen=True)
class DropBefore:
    """Close the connection without doing anything."""

    delay: float = 0.0

    def hang_up(self) -> NoReturn:
        raise HangUp


@dataclass(frozen=True)
class DropAfter:
    """Do what was asked (the tokens are rotated), then close the connection without an answer."""

    delay: float = 0.0

    def hang_up(self) -> NoReturn:
        raise HangUp


@dataclass(frozen=True)
class Strange:
    """Answer with something else.

    Attributes:
        body: A ``str`` goes out as it is, anything else as JSON.
        status: Of the response.
        rotates: Whether the tokens are rotated all the same.
    """

    body: Any = "<html>Welcome to the hotel's network</html>"
    status: int = 200
    rotates: bool = False

    def answer(self) -> Answer:
        return self.status, self.body, {}


@dataclass(frozen=True)
class Alter:
    """Answer as usual, with some fields of a good answer changed.

    Attributes:
        fields: New values, as ``{"expires_in": "soon"}``.
        without: Fields that are missing.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    without: frozenset[str] = frozenset()

    def apply(self, answer: Answer) -> Answer:
        status, body, headers = answer
        if status != 200:
            return answer
        return 200, {k: v for k, v in {**body, **self.fields}.items() if k not in self.without}, headers


Fault = Refuse | Slow | DropBefore | DropAfter | Strange | Alter


class Script:
    """Faults, in the order in which requests meet them. Safe to use from several threads."""

    def __init__(self) -> None:
        self.always: Fault | None = None
        self._next: deque[Fault] = deque()
        self._changed = threading.Condition()
        self._releases = 0
        self._closed = False

    def add(self, *faults: Fault) -> None:
        """Say how the next requests go."""
        with self._changed:
            self._next.extend(faults)

    def take(self) -> Fault | None:
        """Give the fault that the next request meets."""
        with self._changed:
            return self._next.popleft() if self._next else self.always

    def wait(self, seconds: float) -> None:
        """Wait; releasing and closing end it."""
        with self._changed:
            before = self._releases
            self._changed.wait_for(lambda: self._releases != before or self._closed, seconds)

    def release(self) -> None:
        """Let everything that waits go on."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let everything go on, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def refusal(error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Answer:
    """Write a refusal in OAuth's own form."""
    return status, {"error": error, "error_description": description}, dict(headers or {})
