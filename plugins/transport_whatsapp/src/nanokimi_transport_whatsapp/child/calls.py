"""Calls into a library that may never come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.child.ending import Ending
from nanokimi_transport_whatsapp.child.limits import Limits

Result = TypeVar("Result")


class Late(Exception):
    """The library hasn't come back in time; it may be at it still."""


class _Call(Generic[Result]):
    """One call, on a thread of its own."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self.over = threading.Event()
        self.late = False
        self.value: list[Result] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value.append(self._function())
        except BaseException as error:  # noqa: BLE001  # the engine is called here; whoever waits gets the error
            self.error = error

    def result(self) -> Result:
        if self.error is not None:
            raise self.error
        return self.value[0]


class Calls:
    """Bounds calls in time, and ends the process when too many of them hang.

    Args:
        ending: Ends it.
        limits: How many.
    """

    def __init__(self, ending: Ending, limits: Limits) -> None:
        self._ending, self._limits = ending, limits
        self._lock = threading.Lock()
        self._hung = 0

    def run(
        self,
        name: str,
        function: Callable[[], Result],
        seconds: float,
        late: Callable[[Result | None], None] | None = None,
    ) -> Result:
        """Call, and wait this long.

        Args:
            name: Of the call, for the thread.
            function: What to call.
            seconds: The bound.
            late: Takes what the call gives if it comes back after all; ``None`` is an error.

        Raises:
            Late: It hasn't come back.
        """
        call = _Call(function)
        threading.Thread(target=self._run, args=(call, late), name=name, daemon=True).start()
        if call.over.wait(seconds):
            return call.result()
        with self._lock:
            if not call.over.is_set():
                self._hung += 1
                call.late = True
                if self._hung >= self._limits.hung:
                    self._ending.begin(exits.STUCK)
                raise Late(f"no answer within {seconds:g} seconds")
        return call.result()

    def _run(self, call: _Call[Result], late: Callable[[Result | None], None] | None) -> None:
        call.run()
        with self._lock:
            call.over.set()
            if call.late:
                self._hung -= 1
        if call.late and late is not None:
            late(call.value[0] if call.error is None else None)
