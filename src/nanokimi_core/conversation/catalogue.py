"""Everything that the assistant says to people by itself."""

from __future__ import annotations

from datetime import timedelta

from nanokimi_core.errors import Failure

HELP = """I answer what you write here. Commands:
/new: forget this conversation and start a fresh one
/stop: stop the answer that is being written
/help: this list"""
FRESH = "Done: the next message starts a fresh conversation."
NOTHING_TO_STOP = "There is nothing to stop."
STOPPED = "Stopped."
TOO_MANY_WAITING = "Too many messages are waiting here; please try again in a while."
FAULT = "Something went wrong on my side; my owner has been told."

_FAILURES = {
    Failure.CREDENTIALS: "I'm away for the moment: my account doesn't let me in. My owner has been told.",
    Failure.QUOTA: "I'm away for the moment: my account is used up. My owner has been told.",
    Failure.RATE_LIMIT: "I'm asked too much at the moment; please try again {later}.",
    Failure.ENGINE: "I'm away for the moment: the machine that I work on isn't ready. My owner has been told.",
    Failure.MODEL: "I'm away for the moment: I'm set up wrongly. My owner has been told.",
    Failure.CRASHED: "I stumbled over that one; please try again.",
    Failure.OUT_OF_MEMORY: "That was more than I can hold in memory; please try something smaller.",
    Failure.SILENT: "I got stuck on that one and gave up; please try again.",
    Failure.TOO_LONG: "That took more steps or time than I'm allowed; please try something smaller.",
    Failure.NO_ANSWER: "I couldn't come up with an answer; please try again.",
}


def failure(kind: Failure, *, retry_after: timedelta | None = None) -> str:
    """Say that a turn has failed, in one sentence for the people in the chat."""
    return _FAILURES[kind].format(later=_later(retry_after))


def _later(wait: timedelta | None) -> str:
    if wait is None:
        return "in a while"
    seconds = max(1, round(wait.total_seconds()))
    return f"in {seconds} seconds" if seconds < 120 else f"in {round(seconds / 60)} minutes"
