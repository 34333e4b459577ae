"""How many messages a second NanoKimi answers, with every one of them safe on disk, beside other frameworks.

    uv run --all-packages python benchmarks/dispatch.py [--peers FOLDER] [--rounds N] [--only SCENARIO ...] [--long]
        [--who NAME ...] [--json FILE] [--folder FOLDER]

Every framework gets a chat network without a network, a handler that echoes, and the same messages:

    serial    one chat; each message after the answer to the one before
    burst     20,000 messages of 100 chats, as fast as they are taken
    slow      the handler sleeps 5 to 50 ms; 50 chats
    order     the same in one chat: do answers overtake each other?
    error     another plugin raises at every message
    sendfail  ten sends fail once: how many of 500 answers come out?
    paced     100 messages a second: how long does one take?
    known     10 against 10,000 chats in the toml and in the store; ten of them write
    long      200,000 messages: does the memory grow? (with --long)

NanoKimi and the bare loop write to SQLite with synchronous=FULL; the other frameworks keep everything in memory.
NanoKimi is measured as shipped, where several messages that wait in one chat become one turn, and with a turn for each
message. The bare loop is the yardstick: what anyio and SQLite can do on this machine with no bot around them.

The others are found in virtual environments under one folder (``--peers``, or NANOKIMI_PEERS):

    python -m venv peers/nonebot && peers/nonebot/bin/pip install nonebot2
    python -m venv peers/errbot && peers/errbot/bin/pip install errbot
    python -m venv peers/opsdroid && peers/opsdroid/bin/pip install opsdroid "setuptools<81"

One that isn't there is left out, and the report says so. Their processes import nothing of NanoKimi, which is checked.
Each measurement is a process of its own; the candidates take turns; ratios are medians of those within one round.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks.peers.runner import main

    sys.exit(main())
