"""Logins by a code (RFC 8628): what the stand-in login server knows of those that wait for a person."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from testbed.cloud_faults import Answer, Refuse, Script, refusal

_SLOWER = 5  # seconds that slow_down adds to the interval, by RFC 8628, section 3.5


@dataclass
class _Device:
    user_code: str
    ends: float
    interval: float
    answer: str = "authorization_pending"
    polls: int = 0
    polled_at: float = float("-inf")


class Devices:
    """The codes. Safe to use from several threads.

    Attributes:
        expires_in: Seconds for which the next code counts.
        interval: Seconds between polls that the next code asks for.
        strict: Answer ``slow_down`` to a poll that comes too early.
        approve_after: Agree by itself at this poll of a code, counted from 1; 0 is never.
        without: Fields that the answer to the first request lacks.
        refuse: Refuses the first request.
        codes: What people were shown, oldest first.
        early: How many polls came too early.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._devices: dict[str, _Device] = {}
        self._answers: deque[str] = deque()
        self.expires_in = 1800
        self.interval = 1
        self.strict = False
        self.approve_after = 0
        self.without: frozenset[str] = frozenset()
        self.refuse: Refuse | None = None
        self.codes: list[str] = []
        self.early = 0

    def script(self, *answers: str) -> None:
        """Say what the next polls hear: ``slow_down``, ``authorization_pending``, ``expired_token``, …"""
        with self._lock:
            self._answers.extend(answers)

    def begin(self, host: str) -> Answer:
        """Give a code."""
        if self.refuse is not None:
            self._script.wait(self.refuse.delay)
            return self.refuse.answer()
        code = "-".join(secrets.token_hex(2).upper() for _ in range(2))
        device_code = secrets.token_urlsafe(24)
        with self._lock:
            self._devices[device_code] = _Device(code, time.time() + self.expires_in, self.interval)
            self.codes.append(code)
        page = f"{host}/device"
        answer: dict[str, Any] = {
            "user_code": code,
            "device_code": device_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={code}",
            "expires_in": self.expires_in,
            "interval": self.interval,
        }
        return 200, {key: value for key, value in answer.items() if key not in self.without}, {}

    def poll(self, device_code: str) -> Answer | None:
        """Refuse a poll, or give ``None`` where the person has agreed: then the code is spent."""
        with self._lock:
            device = self._devices.get(device_code)
            if device is None:
                return refusal("invalid_grant", "The provided authorization grant is invalid")
            if time.time() >= device.ends:
                return refusal("expired_token", "The device code has expired")
            if (said := self._said(device)) == "approved":
                del self._devices[device_code]
                return None
            return refusal(said, "The person has not agreed")

    def decide(self, user_code: str, answer: str) -> None:
        """Do what a person does with a code."""
        with self._lock:
            next(device for device in self._devices.values() if device.user_code == user_code).answer = answer

    def expire(self) -> None:
        """Let every code run out of time."""
        with self._lock:
            for device in self._devices.values():
                device.ends = 0.0

    def _said(self, device: _Device) -> str:
        now, device.polls = time.monotonic(), device.polls + 1
        early, device.polled_at = now < device.polled_at + device.interval, now
        self.early += early
        if self._answers:
            return self._answers.popleft()
        if early and self.strict:
            device.interval += _SLOWER
            return "slow_down"
        if self.approve_after and device.polls >= self.approve_after:
            return "approved"
        return device.answer
