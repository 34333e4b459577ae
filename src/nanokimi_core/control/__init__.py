"""The running process's socket: what commands ask of it, and a terminal that joins it as its console."""

from nanokimi_core.control.calls import known_chat, shortened
from nanokimi_core.control.client import Joined, Remote, connect, join
from nanokimi_core.control.console import JoinedConsole
from nanokimi_core.control.server import Join, serve
from nanokimi_core.control.sockets import SOCKET
from nanokimi_core.control.wire import Wire

__all__ = [
    "SOCKET",
    "Join",
    "Joined",
    "JoinedConsole",
    "Remote",
    "Wire",
    "connect",
    "join",
    "known_chat",
    "serve",
    "shortened",
]
