"""A child for tests: what it is told goes to the test over a socket, and it says what the test wants.

It is run as ``python scripted_child.py SOCKET``. Each line from the test is an order: ``say LINE``, ``log LINE``,
``exit CODE``, or ``deaf``: from then on neither the end of stdin nor a SIGTERM ends it. The first line to the test is
its process id and its environment; then comes what it is told, line by line.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading

DEAF = threading.Event()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: None if DEAF.is_set() else os._exit(0))
    line = socket.socket(socket.AF_UNIX)
    line.connect(sys.argv[1])
    line.sendall(json.dumps([os.getpid(), dict(os.environ)]).encode() + b"\n")
    threading.Thread(target=_obey, args=(line,), daemon=True).start()
    for told in sys.stdin.buffer:
        line.sendall(told)
    while DEAF.is_set():
        signal.pause()
    os._exit(0)


def _obey(line: socket.socket) -> None:
    for order in line.makefile("rb"):
        what, _, rest = order.rstrip(b"\n").partition(b" ")
        if what == b"say":
            sys.stdout.buffer.write(rest + b"\n")
            sys.stdout.buffer.flush()
        elif what == b"log":
            os.write(2, rest + b"\n")
        elif what == b"exit":
            os._exit(int(rest))
        elif what == b"deaf":
            DEAF.set()
            line.sendall(b"deaf\n")
    os._exit(9)  # the test is over


if __name__ == "__main__":
    main()
