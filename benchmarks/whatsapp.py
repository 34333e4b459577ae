"""What the child process and its spool cost, beside bare neonize in the same run.

    uv run --all-packages python benchmarks/whatsapp.py [--rounds N] [--messages N] [--long N] [--json FILE]

A friend's client writes through the stand-in server of the tests, end-to-end encrypted, to two accounts in turns:

    bare     neonize alone: a handler in a process of its own, nothing kept on disk
    ours     the WhatsApp transport: child, spool (synchronous=FULL), wire; a message counts when ``deliver`` is called

and three things are measured:

    delay    one message after the other; from before the friend's call until the message is there. Aim: ours adds at
             most 3 ms to the median.
    flood    messages a second, as fast as the friend can write
    long     10,000 messages: the resident memory of the process with the library, and whether it grows

and, of ours alone, the window in which a crash of the child can lose a message: from when the library has handed an
event over until it is on disk (the median and the 99th of 100 of the spool's commits).

Both receive from the same friend over the same server; rounds take turns, so that a busy moment hits both. Needs what
neonize needs (libmagic).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AIM = 0.003  # seconds added to the median delay
FLAT = 1.10  # memory at the end against memory after a tenth
BARE = """
import logging, os, sys, threading, time
wire = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import neonize
logging.getLogger("neonize.utils.log").setLevel(logging.ERROR)
logging.getLogger().setLevel(logging.ERROR)
from neonize import events
from neonize.client import NewClient
client = NewClient(sys.argv[1], uuid="bare")
def say(line):
    wire.write(line + "\\n")
    wire.flush()
client.event.qr(lambda _, code: say("code " + code.decode()))
client.event(events.ConnectedEv)(lambda *_: say("connected"))
client.event(events.MessageEv)(lambda _, event: say(
    f"message {time.time_ns()} " + (event.Message.extendedTextMessage.text or event.Message.conversation)))
threading.Thread(target=client.connect, daemon=True).start()
sys.stdin.read()
os._exit(0)
"""


class Arrivals:
    """What came: the text, and when, in nanoseconds since 1970."""

    def __init__(self) -> None:
        self._came: dict[str, int] = {}
        self._news = threading.Condition()

    def note(self, text: str, at: int) -> None:
        with self._news:
            self._came.setdefault(text, at)
            self._news.notify_all()

    def wait_for(self, text: str, within: float = 60.0) -> int:
        with self._news:
            if not self._news.wait_for(lambda: text in self._came, within):
                raise TimeoutError(f"{text!r} did not come; {len(self._came)} others did")
            return self._came[text]

    def forget(self) -> None:
        with self._news:
            self._came.clear()


class Receiver:
    """One way to receive."""

    def __init__(self, name: str, chat: str, arrivals: Arrivals, pid: Callable[[], int]) -> None:
        self.name, self.chat, self.arrivals, self.pid = name, chat, arrivals, pid

    def memory(self) -> float:
        """Resident, in MiB, of the process that has the library."""
        status = Path(f"/proc/{self.pid()}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


@contextmanager
def bare(user: Any, folder: Path) -> Iterator[Receiver]:
    folder.mkdir()
    arrivals, connected = Arrivals(), threading.Event()
    command = [sys.executable, "-W", "ignore", "-c", BARE, str(folder / "bare.db")]
    with (folder / "errors.log").open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=dict(os.environ)
        )

    def read() -> None:
        linked = False
        for line in process.stdout or ():
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "code" and not linked:
                linked = True
                user.scan(rest)
            elif word == "connected":
                connected.set()
            elif word == "message":
                at, _, text = rest.partition(" ")
                arrivals.note(text, int(at))

    threading.Thread(target=read, daemon=True).start()
    try:
        if not connected.wait(60):
            raise TimeoutError(f"bare neonize did not connect: {(folder / 'errors.log').read_text()[-500:]}")
        yield Receiver("bare", user.chat, arrivals, lambda: process.pid)
    finally:
        process.kill()
        process.wait(30)


class Kept:
    """An ``Inbox`` that notes what is delivered."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals, self.connected = arrivals, threading.Event()

    def ready(self) -> None:
        self.connected.set()

    def away(self) -> None: ...

    async def deliver(self, message: Any) -> None:
        self.arrivals.note(message.text, time.time_ns())

    def sent(self, key: str, network_id: str) -> None: ...

    def typing(self, chat: str) -> None: ...


@contextmanager
def ours(user: Any, folder: Path) -> Iterator[Receiver]:
    from anyio.from_thread import start_blocking_portal

    from nanokimi_core.testing import ScriptedContext
    from nanokimi_transport_whatsapp import Settings, WhatsApp
    from nanokimi_transport_whatsapp.places import Places
    from nanokimi_transport_whatsapp.standing import AccountNote, read_standing, write_note
    from nanokimi_transport_whatsapp.supervision import ChildProcess
    from nanokimi_transport_whatsapp.values import Link

    folder.mkdir(mode=0o700)
    settings, places, arrivals = Settings(), Places(folder), Arrivals()

    async def link() -> None:
        import anyio

        with anyio.fail_after(60):
            async with ChildProcess(settings, places) as child:
                async for value in child:
                    if isinstance(value, Link) and value.state == "code":
                        await anyio.to_thread.run_sync(user.scan, value.said)
                    elif isinstance(value, Link) and value.state == "connected" and value.me:
                        write_note(places, AccountNote(number="bot", me=value.me, linked_at=datetime.now(UTC)))
                        return

    inbox = Kept(arrivals)
    with start_blocking_portal("asyncio") as portal:
        portal.call(link)
        running = portal.start_task_soon(WhatsApp(settings, ScriptedContext(folder)).run, inbox)
        try:
            if not inbox.connected.wait(60):
                raise TimeoutError(f"the transport did not connect: {places.log.read_text()[-500:]}")

            def pid() -> int:
                standing = read_standing(places)
                return standing.child if standing else 0

            yield Receiver("ours", user.chat, arrivals, pid)
        finally:
            running.cancel()


def delays(friend: Any, receiver: Receiver, count: int) -> list[float]:
    """Write one message after the other; gives seconds from before the call until it was there."""
    taken = []
    for _ in range(count):
        begun = time.time_ns()
        friend.send_text(receiver.chat, str(begun))
        taken.append((receiver.arrivals.wait_for(str(begun)) - begun) / 1e9)
    receiver.arrivals.forget()
    return taken


def flood(friend: Any, receiver: Receiver, count: int) -> float:
    """Write as fast as it goes; gives messages a second, from the first that was there to the last."""
    mark = time.time_ns()
    texts = [f"{mark} {number}" for number in range(count)]
    friend.send_texts(receiver.chat, texts)
    first, last = (receiver.arrivals.wait_for(text, 120) for text in (texts[0], texts[-1]))
    receiver.arrivals.forget()
    return (count - 1) / ((last - first) / 1e9)


def memories(friend: Any, receiver: Receiver, count: int) -> tuple[float, float]:
    """Give the memory after a tenth of many messages, and after all."""
    after = []
    for _ in range(10):
        flood(friend, receiver, count // 10)
        after.append(receiver.memory())
    return after[0], after[-1]


def commits(folder: Path, count: int) -> list[float]:
    """Time the spool as the child uses it: an event of a usual size, until it would outlive a power cut."""
    from nanokimi_transport_whatsapp.child.database import Database
    from nanokimi_transport_whatsapp.child.limits import Limits
    from nanokimi_transport_whatsapp.child.spool import Spool
    from nanokimi_transport_whatsapp.places import Places

    folder.mkdir(mode=0o700)
    places = Places(folder)
    limits = Limits()
    database = Database(places.spool, limits, trouble=print, damaged=print)
    spool = Spool(database, places, 10 * count, limits)
    spool.begin()
    event, taken = os.urandom(600), []
    for _ in range(count):
        begun = time.perf_counter()
        spool.add(event)
        taken.append(time.perf_counter() - begun)
    return taken


def measure(rounds: int, messages: int, long: int) -> dict[str, Any]:
    from whatsapp_testbed import Friend, WhatsAppServer

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(WhatsAppServer(scratch / "server"))
        os.environ.update(server.environment())
        users = [server.user(f"1555000000{n}", f"10000000000000{n}", name) for n, name in enumerate(("Ana", "A", "B"))]
        friend = stack.enter_context(Friend(server, users[0], scratch / "friend"))
        receivers = [
            stack.enter_context(bare(users[1], scratch / "bare")),
            stack.enter_context(ours(users[2], scratch / "ours")),
        ]
        for receiver in receivers:
            delays(friend, receiver, 20)  # sessions are made, pages are warm
        took: dict[str, list[float]] = {each.name: [] for each in receivers}
        speed: dict[str, list[float]] = {each.name: [] for each in receivers}
        for number in range(rounds):
            for receiver in receivers if number % 2 else receivers[::-1]:
                took[receiver.name].append(statistics.median(delays(friend, receiver, messages)))
                speed[receiver.name].append(flood(friend, receiver, 5 * messages))
        grown = {each.name: memories(friend, each, long) for each in receivers} if long else {}
        spool = sorted(commits(scratch / "spool", 500))
    added = [one - other for one, other in zip(took["ours"], took["bare"], strict=True)]
    return {
        "delay_bare": statistics.median(took["bare"]),
        "delay_ours": statistics.median(took["ours"]),
        "added": statistics.median(added),
        "flood_bare": statistics.median(speed["bare"]),
        "flood_ours": statistics.median(speed["ours"]),
        "flood_ratio": statistics.median(
            [one / other for one, other in zip(speed["ours"], speed["bare"], strict=True)]
        ),
        "memory": grown,
        "window_p50": statistics.median(spool),
        "window_p99": spool[int(len(spool) * 0.99)],
    }


def report(found: dict[str, Any], long: int) -> bool:
    """Print the figures; whether every aim was met."""
    good = bool(found["added"] <= AIM)
    print(f"delay, median     bare {found['delay_bare'] * 1e3:.2f} ms, ours {found['delay_ours'] * 1e3:.2f} ms;")
    verdict = "" if good else "  MISSED"
    print(f"                  added {found['added'] * 1e3:.2f} ms (aim: at most {AIM * 1e3:g}){verdict}")
    print(
        f"flood             bare {found['flood_bare']:.0f}/s, ours {found['flood_ours']:.0f}/s;"
        f" ratio {found['flood_ratio']:.2f}"
    )
    for name, (early, late) in found["memory"].items():
        flat = late <= early * FLAT
        good = good and (flat or name == "bare")
        print(f"memory, {name:<9} {early:.1f} MiB after {long // 10}, {late:.1f} MiB after {long}: "
              f"{late / early:.2f} x{'' if flat else '  GROWS'}")  # fmt: skip
    print(f"window            {found['window_p50'] * 1e3:.2f} ms (median), {found['window_p99'] * 1e3:.2f} ms (p99)")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--long", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    sys.path.insert(0, str(ROOT / "plugins/transport_whatsapp/tests"))
    found = measure(chosen.rounds, chosen.messages, chosen.long)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if report(found, chosen.long) else 1


if __name__ == "__main__":
    sys.exit(main())
