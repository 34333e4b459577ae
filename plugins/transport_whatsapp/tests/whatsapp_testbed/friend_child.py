"""The friend's process: ``python -m whatsapp_testbed.friend_child DATABASE``. One JSON line each, in and out."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from typing import Any, TextIO

_MOST_EVENTS = 20_000


def main(database: str) -> None:
    """Run the client until the parent closes the pipe. The library's threads are not waited for: some never end."""
    # the library prints on file 1: keep the wire for ourselves
    wire = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import neonize  # noqa: F401  # sets the log up, which the next line undoes

    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("neonize.utils.log").setLevel(logging.ERROR)
    from neonize.client import NewClient

    client = NewClient(database, uuid="friend")
    out = _Out(wire)
    events: queue.Queue[Any] = queue.Queue(_MOST_EVENTS)
    _listen(client, events, out)
    threading.Thread(target=client.connect, daemon=True).start()
    threading.Thread(target=_tell, args=(client, events, out), daemon=True).start()
    _serve(client, out)
    os._exit(0)


class _Out:
    """Writes lines, from several threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, **fields: Any) -> None:
        line = json.dumps(fields)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def _listen(client: Any, events: queue.Queue[Any], out: _Out) -> None:
    from neonize import events as known

    for kind in (
        known.MessageEv,
        known.ReceiptEv,
        known.ChatPresenceEv,
        known.ConnectedEv,
        known.DisconnectedEv,
        known.LoggedOutEv,
        known.StreamReplacedEv,
        known.TemporaryBanEv,
        known.ClientOutdatedEv,
        known.ConnectFailureEv,
        known.UndecryptableMessageEv,
    ):
        client.event(kind)(lambda _, event: events.put(event))
    client.event.qr(lambda _, code: out.write(code=code.decode()))


def _tell(client: Any, events: queue.Queue[Any], out: _Out) -> None:
    """Write down what comes, in order; files are downloaded first."""
    from whatsapp_testbed import friend_events

    while True:
        told = friend_events.described(client, events.get())
        if told is not None:
            out.write(event=told)


def _serve(client: Any, out: _Out) -> None:
    from neonize.exc import NeonizeError

    from whatsapp_testbed.friend_letters import Desk

    desk = Desk(client)
    for line in sys.stdin:
        asked = json.loads(line)
        call = asked.pop("call")
        try:
            out.write(call=call, value=desk.do(asked))
        except (NeonizeError, LookupError, ValueError, TypeError) as error:
            out.write(call=call, error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
