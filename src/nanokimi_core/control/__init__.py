"""The running process's socket: what commands ask of it, and a terminal that joins it as its console.

The asking side is in ``client``, which the running process has no use for.
"""

from nanokimi_core.control.calls import known_chat, shortened
from nanokimi_core.control.console import JoinedConsole
from nanokimi_core.control.server import Join, serve
from nanokimi_core.control.sockets import SOCKET
from nanokimi_core.control.wire import Wire

__all__ = [
    "SOCKET",
    "Join",
    "JoinedConsole",
    "Wire",
    "known_chat",
    "serve",
    "shortened",
]
