"""How a child ends, as its exit code says; a signal's number, or 1 for a fault of its own, may be seen besides."""

from __future__ import annotations

STOPPED = 0
"""It was told to: its stdin ended, or SIGTERM came."""

FAULT = 1
"""A fault of the child itself; the log tells."""

LOCKED = 20
"""Another child uses the session, and did not go in time."""

LIBRARY_MISSING = 21
"""The engine's module can't be imported, or makes no engine: ``Link("ended")`` says why."""

FULL = 22
"""The spool had reached its limit, and was handed over: begin the child anew."""

STUCK = 23
"""Too many calls into the library never came back: begin the child anew."""

NOT_OURS = 24
"""A line on stdin wasn't a value."""

UNUSABLE = 25
"""The instance's folder can't be used: ``Link("ended")`` says why."""

CALLBACK = 26
"""What the library told could not be taken, and it does not tell it twice: begin the child anew; the log tells why."""

ROOM = 27
"""The connection was closed because the disk had too little room, and now there is enough: begin the child anew."""
