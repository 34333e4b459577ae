"""Children that are killed under traffic, again and again."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from child_rig import ChildRig, Rigs, rigs
from scripted_engine import SECONDS, Hang, event, text

from nanokimi_transport_whatsapp.values import Answer, Brought, Send

KILLS = 25
CHATS = [f"{number}@lid" for number in range(4)]


class Traffic:
    """What happens to one child after the other, and what must hold of it."""

    def __init__(self, made: Rigs) -> None:
        self.made, self.network = made, made.network
        self.chance = random.Random(6)  # noqa: S311  # the same traffic each time
        self.happened: list[str] = []
        self.delivered: list[str] = []
        self.unsettled: dict[str, list[str]] = {"hold": [], "resend": []}
        self.keys = 0

    def spooled(self) -> list[int]:
        with closing(sqlite3.connect(self.made.folder / "spool.db")) as connection:
            return [number for (number,) in connection.execute("SELECT number FROM events ORDER BY number")]

    def round(self, policy: str, *, kill: bool) -> None:
        left = self.spooled() if self.network.calls else []
        self.network.scripts["send"] = self._slow if kill else self._quick
        child = self.made.start(resend=policy)
        self.network.wait_called("open", len(self.made.children))
        words = [f"{len(self.made.children)}-{number}" for number in range(12)]
        self.happened += words
        before = len(self.network.kept)
        feeder = threading.Thread(target=self._feed, args=(words,))
        feeder.start()
        self._send(child, policy)
        number = self.chance.randrange(len(words)) if kill else len(words)
        self.network.wait(lambda: len(self.network.kept) >= before + number, "events that are kept")
        child.expect(Brought, min(len(left), 64))
        self._deliver(child, policy, all_of_it=not kill)
        if kill:
            child.kill()
        else:
            child.stop()
        feeder.join(SECONDS)
        self._settle(child, policy)
        self._check(child, left)

    def _slow(self, call: dict[str, Any]) -> str:
        """Hang in some sends, so that the child is killed inside them."""
        if self.chance.random() < 0.3:
            raise Hang
        return self._quick(call)

    def _quick(self, call: dict[str, Any]) -> str:
        return f"ID{call['number']}"

    def _feed(self, words: list[str]) -> None:
        self.network.bring(*(event(text(self.chance.choice(CHATS), one, one)) for one in words))

    def _send(self, child: ChildRig, policy: str) -> None:
        self.keys += 3
        keys = self.unsettled[policy] + [f"{policy}{self.keys + number}" for number in range(3)]
        self.unsettled[policy] = keys
        for number, key in enumerate(keys):
            child.tell(Send(request=number, key=key, chat=self.chance.choice(CHATS), text=key))

    def _settle(self, child: ChildRig, policy: str) -> None:
        keys = self.unsettled[policy]
        settled = {answer.request for answer in child.all(Answer) if answer.network_id or answer.error == "held"}
        self.unsettled[policy] = [key for number, key in enumerate(keys) if number not in settled]

    def _deliver(self, child: ChildRig, policy: str, *, all_of_it: bool) -> None:
        if all_of_it:
            child.expect(Answer, len(self.unsettled[policy]))
            until = time.monotonic() + SECONDS
            while child.figures().spooled:
                assert time.monotonic() < until, "something that is spooled isn't brought"
                child.done(*child.all(Brought))
        brought = child.all(Brought)
        some = brought if all_of_it else self.chance.sample(brought, len(brought) // 2)
        self.delivered += [one.message.id for one in some]
        child.done(*some)

    def _check(self, child: ChildRig, left: list[int]) -> None:
        numbers = [one.number for one in child.all(Brought)]
        assert len(set(numbers)) == len(numbers), "brought twice by one child"
        latest = max(left, default=0)
        assert {number for number in numbers if number <= latest} <= set(left), (
            "brought although its drop was committed"
        )
        for chat in CHATS:
            of_chat = [one.number for one in child.all(Brought) if one.message.chat.id == chat]
            assert of_chat == sorted(of_chat)
        assert child.strange == [] or child.strange == child.strange[-1:]  # a line may be cut off at the end


def test_nothing_that_was_spooled_is_lost_and_no_key_is_sent_twice_without_being_counted(tmp_path: Path) -> None:
    with rigs(tmp_path) as made:
        traffic = Traffic(made)
        for number in range(KILLS):
            traffic.round("hold" if number % 2 else "resend", kill=True)
        traffic.round("hold", kill=False)
        traffic.round("resend", kill=False)
        figures = made.start().figures(spooled=0)
        kept = {one.decode() for one in made.network.kept}
        seen = set(traffic.delivered)
        assert {word for word in traffic.happened if any(f'"{word}"' in one for one in kept)} <= seen
        sent = [call["text"] for call in made.network.called("send")]
    held = [key for key in set(sent) if key.startswith("hold") and sent.count(key) > 1]
    assert held == []
    twice = sum(sent.count(key) - 1 for key in set(sent) if key.startswith("resend"))
    assert 0 < twice <= figures.resent <= twice + KILLS
    assert figures.held > 0
    assert traffic.unsettled == {"hold": [], "resend": []}
