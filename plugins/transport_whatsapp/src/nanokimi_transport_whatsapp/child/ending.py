"""How the process ends: soon, whatever a library does."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from nanokimi_transport_whatsapp.child import exits

_CALLBACK = "ctypes callback function"
"""Python's words for where nobody can catch an exception: in a function that C calls."""


class Ending:
    """Ends the process once, within a bound.

    Args:
        seconds: How long it may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._begun = threading.Event()
        self._before: list[Callable[[], object]] = []
        self._next = 0

    @property
    def begun(self) -> bool:
        """Whether the process is about to end."""
        return self._begun.is_set()

    def before(self, act: Callable[[], object]) -> None:
        """Have this done when the end begins: the last one named first."""
        self._before.append(act)

    def pause(self, seconds: float) -> bool:
        """Wait this long; whether the end began meanwhile."""
        return self._begun.wait(seconds)

    def begin(self, code: int) -> None:
        """End the process with this exit code; returns at once."""
        with self._lock:
            if self._begun.is_set():
                return
            self._begun.set()
        # the kernel ends what not even the thread below can: a library that holds the interpreter
        signal.setitimer(signal.ITIMER_REAL, self._seconds * 2)
        watch = threading.Timer(self._seconds, os._exit, (code,))
        watch.daemon = True
        watch.start()
        threading.Thread(target=self._end, args=(code,), name="ending", daemon=True).start()

    def _end(self, code: int) -> NoReturn:
        for act in reversed(self._before):
            try:
                act()
            except Exception:  # noqa: BLE001  # the engine's close is called here; the process ends whatever it does
                traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)

    def on_signals(self) -> None:
        """End at SIGTERM, and let Ctrl-C be the transport's affair. Before any other thread is there.

        The signal is waited for by a thread: Python's own handlers would wait for a main thread that hangs.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def _wait(self) -> None:
        signal.sigwait({signal.SIGTERM})
        self.begin(exits.STOPPED)

    def on_faults(self) -> None:
        """End when a thread of the child fails: half a child is worse than none, and the transport begins another.

        End at once when the child fails where the library calls it: what the library tells it is acknowledged, and
        would be lost from then on, one event after the other, with nobody noticing.
        """

        def end(args: threading.ExceptHookArgs) -> None:
            if args.exc_value is not None:
                traceback.print_exception(args.exc_value)
            self.begin(exits.FAULT)

        def end_at_once(args: sys.UnraisableHookArgs) -> None:
            sys.__unraisablehook__(args)
            if _CALLBACK in str(args.err_msg):
                print(f"the WhatsApp library was not heard: {_words(args)}", file=sys.stderr, flush=True)  # noqa: T201
                os._exit(exits.CALLBACK)

        threading.excepthook = end
        sys.unraisablehook = end_at_once


def _words(args: sys.UnraisableHookArgs) -> str:
    return " ".join(f"{args.exc_type.__name__}: {args.exc_value}".split())
