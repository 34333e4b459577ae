"""From the first line on stdin to the end of the process."""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.child.ending import Ending
from nanokimi_transport_whatsapp.child.host import Host, NoEngine, load_engine
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.lock import Locked, hold
from nanokimi_transport_whatsapp.child.logs import log_to_stderr
from nanokimi_transport_whatsapp.child.room import FreeBytes, free_bytes
from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.child.streams import Streams, TooLong, lines
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.values import Link, Start, ToChild
from nanokimi_transport_whatsapp.wire import LONGEST_LINE, NotOurs, to_child

_FLUSH = 1.0
_TOLD = 1000


def run(streams: Streams, limits: Limits | None = None, free: FreeBytes = free_bytes) -> None:
    """Be a child, until the process ends.

    Args:
        streams: The wire.
        limits: Bounds; tests give shorter ones.
        free: Looks how much room a disk has.
    """
    limits = limits or Limits()
    os.umask(0o077)
    ending = Ending(limits.stop_seconds)
    ending.on_signals()
    ending.on_faults()
    _Child(streams, ending, limits, free).run()
    threading.Event().wait()


class _Child:
    """The wire's two ends, and the host between them once there is one."""

    def __init__(self, streams: Streams, ending: Ending, limits: Limits, free: FreeBytes) -> None:
        self._ending, self._limits, self._free = ending, limits, free
        self._lines = lines(streams.requests, LONGEST_LINE)
        self._speaker = Speaker(streams.events, lambda: ending.begin(exits.STOPPED))
        self._told: queue.Queue[ToChild] = queue.Queue(_TOLD)

    def run(self) -> None:
        self._speaker.start()
        try:
            first = next(self._lines, None)
            if first is None:
                self._ending.begin(exits.STOPPED)
                return
            start = to_child(first)
        except (NotOurs, TooLong) as error:
            self._end(exits.NOT_OURS, str(error))
            return
        if not isinstance(start, Start):
            self._end(exits.NOT_OURS, "the first line must be a start")
            return
        log_to_stderr([start.proxy, urlsplit(start.proxy).password or ""])
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        self._begin(start)

    def _begin(self, start: Start) -> None:
        places = Places(Path(start.folder))
        try:
            hold(places.child_lock, self._limits.lock_seconds)
            engine = load_engine(start, places)
            host = Host(start, engine, self._speaker, self._ending, self._limits, self._free)
            host.run()
        except Locked as error:
            self._end(exits.LOCKED, str(error))
        except NoEngine as error:
            self._end(exits.LIBRARY_MISSING, str(error))
        except OSError as error:
            self._end(exits.UNUSABLE, f"the instance's folder can't be used: {error.strerror}")
        else:
            threading.Thread(target=self._take, args=(host,), name="take", daemon=True).start()

    def _end(self, code: int, said: str) -> None:
        print(said, file=sys.stderr, flush=True)  # noqa: T201  # the child's log
        self._speaker.tell(Link(state="ended", said=said))
        self._speaker.flush(_FLUSH)
        self._ending.begin(code)

    def _listen(self) -> None:
        """Take what the transport says, until it is gone."""
        try:
            for line in self._lines:
                self._told.put(to_child(line))
        except (NotOurs, TooLong) as error:
            self._end(exits.NOT_OURS, str(error))
        else:
            self._ending.begin(exits.STOPPED)

    def _take(self, host: Host) -> None:
        """Do what the transport says; not where it is listened to, because the end must be heard whatever waits."""
        while True:
            host.take(self._told.get())
