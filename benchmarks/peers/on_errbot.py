"""errbot: a backend without a network and a command that echoes, on errbot's own pool of threads.

python -m benchmarks.peers.on_errbot SCENARIO [--count N]
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.peers.ledger import Ledger, say
from benchmarks.peers.work import PACE, FailingSends, Naps, Scenario, chosen, command_line, messages

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from errbot.bootstrap import setup_bot  # type: ignore[import-not-found]
    from errbot.version import VERSION  # type: ignore[import-not-found]

PARTS = Path(__file__).parent / "errbot_parts"


def make_bot(scenario: Scenario, folder: str) -> Any:
    """Start an errbot on our backend and plugins, with nothing else but its help."""
    plugins = [str(PARTS / "answer"), *([str(PARTS / "fault")] if scenario.raises else [])]
    settings = SimpleNamespace(
        BACKEND="Network",
        BOT_EXTRA_BACKEND_DIR=str(PARTS / "network"),
        BOT_EXTRA_PLUGIN_DIR=plugins,
        BOT_DATA_DIR=folder,
        BOT_LOG_FILE=None,
        BOT_LOG_LEVEL=logging.CRITICAL,
        BOT_ADMINS=("nobody",),
        BOT_IDENTITY={"username": "robot"},
        BOT_ASYNC=True,
        STORAGE="Memory",
        CORE_PLUGINS=("Help",),
        PLUGINS_CALLBACK_ORDER=(None,),
        AUTOINSTALL_DEPS=False,
        TEXT_COLOR_THEME="dark",
    )
    bot = setup_bot("Network", logging.getLogger(), settings)
    bot.connect_callback()
    return bot


class Measured:
    """One run; errbot works in threads, so the ledger is used under a lock."""

    def __init__(self, scenario: Scenario, bot: Any) -> None:
        self.scenario = scenario
        self.bot = bot
        self.ledger = Ledger(scenario)
        self.lock = threading.Lock()
        self.failing = FailingSends(scenario)
        self.naps = Naps()
        self.answered = threading.Event()
        self.ledger.on_answer = self.answered.set

    def deliver(self, text: str) -> None:
        if "#" in text:  # else it is errbot's own complaint
            with self.lock:
                self.failing.check(text)
                self.ledger.leave(text)

    def nap(self, chat: str) -> None:
        with self.lock:
            self.ledger.begin(chat)
            seconds = self.naps.next()
        time.sleep(seconds)
        with self.lock:
            self.ledger.end(chat)

    def push(self, chat: str, text: str) -> None:
        message = self.bot.build_message(f"!say {text}")
        message.frm, message.to = self.bot.build_identifier(chat), self.bot.bot_identifier
        with self.lock:
            self.ledger.enter(text)
        self.bot.callback_message(message)

    def run(self) -> None:
        feed = self.scenario.feed
        self.ledger.start()
        for index, (chat, text) in enumerate(messages(self.scenario)):
            if feed == "paced":
                time.sleep(max(0.0, self.ledger.started + index / PACE - time.perf_counter()))
            self.answered.clear()
            self.push(chat, text)
            if feed == "closed":
                self.answered.wait(60)
        while not self.ledger.over:
            time.sleep(0.01)


def main() -> None:
    scenario = chosen(command_line().parse_args())
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        bot = make_bot(scenario, folder)
        measured = Measured(scenario, bot)
        type(bot).deliver = staticmethod(measured.deliver)
        if scenario.naps:
            type(bot.plugin_manager.plugins["Answer"]).nap = staticmethod(measured.nap)
        measured.run()
        say(measured.ledger.result(version=VERSION, threads=threading.active_count()))


if __name__ == "__main__":
    main()
    os._exit(0)  # errbot's threads would keep the process
