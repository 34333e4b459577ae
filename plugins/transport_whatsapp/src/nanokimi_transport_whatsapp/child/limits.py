"""How long the child waits, and how much it keeps."""

from __future__ import annotations

from dataclasses import dataclass

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds of the child; tests set shorter ones.

    Attributes:
        lock_seconds: How long it waits for another child to go.
        stop_seconds: How long ending may take, then the process is ended whatever hangs.
        send_seconds: Of one send; neonize gives up after 75 s by itself.
        ask_seconds: Of any other call that is answered.
        name_seconds: Of asking for somebody's other name.
        fetch_seconds: Of one attempt to download a file.
        fetch_pauses: Seconds between attempts to download a file; there is one attempt more than pauses.
        fetch_deaths: At so many deaths of the child inside a download, the file is given up.
        read_deaths: At so many deaths of the child inside ``Engine.read``, the event is put aside.
        hung: At so many calls into the library that never came back, the child ends.
        window: Messages that are brought and not yet done.
        in_hand: Events that are read and not yet done.
        bringers: Chats whose messages are brought side by side, downloads included.
        senders: Chats to which is sent side by side.
        requests: Requests of one sort that may wait.
        send_bytes: The largest file that is sent.
        spool_bytes: Of raw events that may wait; at it the engine is closed, as at ``Start.spool_limit``.
        disk_pauses: The first and the longest wait for a disk that takes nothing.
        disk_answer: How long a send waits for the disk to note that it was sent, before it is answered.
        room_to_stay: Bytes that must be free on the disk; with less the engine is closed.
        room_to_open: Bytes that must be free before it is opened, or opened again.
        room_look: Seconds between two looks at the disk.
        stall_seconds: How long nothing moves until the child stops waiting for the spool to be handed over.
        heard: Messages that are remembered to be quoted, and for encrypted edits.
        heard_bytes: Of all that is remembered of them.
        chats: Whose timers are remembered.
        sends: Whose outcomes are remembered.
        names: People whose other names are remembered, until the process ends.
        unreadable: Events that are kept for somebody to look at.
    """

    lock_seconds: float = 15
    stop_seconds: float = 3
    send_seconds: float = 80
    ask_seconds: float = 80
    name_seconds: float = 5
    fetch_seconds: float = 60
    fetch_pauses: tuple[float, ...] = (1, 4)
    fetch_deaths: int = 5
    read_deaths: int = 3
    hung: int = 4
    window: int = 64
    in_hand: int = 256
    bringers: int = 8
    senders: int = 4
    requests: int = 1000
    send_bytes: int = 64 * MB
    spool_bytes: int = 256 * MB
    disk_pauses: tuple[float, float] = (0.05, 5)
    disk_answer: float = 5
    room_to_stay: int = 32 * MB
    room_to_open: int = 48 * MB
    room_look: float = 0.5
    stall_seconds: float = 5
    heard: int = 5000
    heard_bytes: int = 20 * MB
    chats: int = 10_000
    sends: int = 20_000
    names: int = 1000
    unreadable: int = 100


def larger_than(size: int) -> str:
    """Say that a file is too large, for people."""
    return f"larger than {size // MB} MB" if size >= MB else f"larger than {size} bytes"
