"""What is noted of a run: latencies, order, losses, memory. Standard library only: peers import this file."""

from __future__ import annotations

import json
import statistics
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

from benchmarks.peers.work import QUIET, Scenario


class Ledger:
    """What came in and what went out.

    The room for the latencies is taken before anything is measured, so that it is the candidate's memory that grows.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.answered = 0
        self.doubles = 0
        self.others = 0
        self.out_of_order = 0
        self.most_at_once = 0
        self.most_in_chat = 0
        self.on_answer: Callable[[], None] = lambda: None
        self._waiting: dict[str, float] = {}
        self._latencies = array("d", [0.0]) * scenario.count
        self._last: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._at_once = 0
        self._looked: dict[str, float] = {}

    def start(self) -> None:
        """Begin: what was before is not measured."""
        self.before = resident()
        self._cpu = time.process_time()
        self.started = self.ended = time.perf_counter()

    def enter(self, text: str) -> None:
        """A message is handed to the candidate now."""
        self._waiting[text] = time.perf_counter()

    def leave(self, text: str) -> None:
        """The candidate has sent an answer, to one message or to several."""
        now = time.perf_counter()
        for word in text.split():
            entered = self._waiting.pop(word, None)
            if entered is None:
                self._unexpected(word)
                continue
            self._latencies[self.answered] = now - entered
            self._in_order(word)
            self.answered += 1
            self.ended = now
            if self.answered in self.scenario.looks:
                self._looked[f"rss_at_{self.answered}"] = round(resident(), 1)
        self.on_answer()

    def _unexpected(self, word: str) -> None:
        chat, mark, number = word.partition("#")
        if mark and number.isdigit() and chat in self._last:
            self.doubles += 1
        else:
            self.others += 1

    def _in_order(self, word: str) -> None:
        chat, _, digits = word.partition("#")
        number = int(digits)
        if number < self._last.get(chat, -1):
            self.out_of_order += 1
        self._last[chat] = number

    def begin(self, chat: str) -> None:
        """A handler begins to work for a chat."""
        self._at_once += 1
        self._running[chat] = self._running.get(chat, 0) + 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.most_in_chat = max(self.most_in_chat, self._running[chat])

    def end(self, chat: str) -> None:
        """A handler has ended."""
        self._at_once -= 1
        self._running[chat] -= 1

    @property
    def over(self) -> bool:
        """Everything is answered, or nothing more is to be expected."""
        return self.answered >= self.scenario.count or time.perf_counter() - self.ended > QUIET

    def result(self, **more: Any) -> dict[str, Any]:
        """Give what was measured: times in microseconds where not said otherwise, memory in MiB."""
        wall = max(self.ended - self.started, 1e-9)
        memory = {"rss_before": self.before, "rss": resident(), "rss_peak": resident("VmHWM")}  # before the sorting
        taken = sorted(self._latencies[: self.answered]) or [0.0]
        return {
            "count": self.scenario.count,
            "answered": self.answered,
            "per_second": round(self.answered / wall, 1),
            "wall_s": round(wall, 3),
            "cpu_us": round((time.process_time() - self._cpu) / max(self.answered, 1) * 1e6, 1),
            "p50_us": round(statistics.median(taken) * 1e6, 1),
            "p99_us": round(taken[min(len(taken) - 1, int(len(taken) * 0.99))] * 1e6, 1),
            **{name: round(size, 1) for name, size in memory.items()},
            "out_of_order": self.out_of_order,
            "doubles": self.doubles,
            "other_words": self.others,
            "most_at_once": self.most_at_once,
            "most_in_chat": self.most_in_chat,
            "imports_ours": any(name.startswith("nanokimi") for name in sys.modules),
            **self._looked,
            **more,
        }


def resident(what: str = "VmRSS") -> float:
    """Give this process's memory in MiB, as Linux tells it (``VmHWM``: the most so far)."""
    with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123  # nothing more is to be imported for it
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


def say(result: dict[str, Any]) -> None:
    """Print a result for the runner: the last line that begins with a brace."""
    print(json.dumps(result), flush=True)
