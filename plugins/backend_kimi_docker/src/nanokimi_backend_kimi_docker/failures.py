"""Why a turn failed, from what an agent lets slip: most failed turns look like success over ACP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from acp import RequestError
from pydantic import ValidationError

from nanokimi_backend_kimi_docker.config import format_size
from nanokimi_backend_kimi_docker.container import Exit
from nanokimi_backend_kimi_docker.redact import hide, plain, redact
from nanokimi_backend_kimi_docker.waits import wait_said
from nanokimi_core import AgentError, Failure

_LONGEST = 400
_MOST_RECORD = 3000
_STATUS = re.compile(r"(?:error code: |status(?: code)? |^|: )(4\d\d|5\d\d)\b", re.IGNORECASE)
_FIELD = r'"%s"\s*:\s*"((?:[^"\\]|\\.)*)'

_KEPT = "; messages wait until then"
_LOGIN = f"log in again (nanokimi auth status says how) or set another key{_KEPT}"
_OTHER = f"or take another account (auth in nanokimi.toml){_KEPT}"
_TOP_UP = f"top up the balance, or renew the membership, {_OTHER}"
_PLAN = f"wait until the plan's quota is renewed, renew or change the plan, {_OTHER}"
_QUOTA = f"wait until the quota is renewed, top up or change the plan, {_OTHER}"
_AGENTS = f"build the image again (nanokimi image build), use a platform's key, {_OTHER}"
_RIGHTS = f"look what the account's plan includes, or log in to another one (nanokimi auth status says how){_KEPT}"
_WAIT = f"nothing, if it passes by itself; else lower max_turns in [limits], or take a larger plan{_KEPT}"
_UNREACHED = f"the model's server is away or overloaded: wait, or look whether this machine reaches it{_KEPT}"
NO_PROGRAM = (126, 127)
_AWAY = timedelta(seconds=30)


@dataclass(frozen=True)
class TurnEnd:
    """What an agent's hook said at the end of a turn.

    Attributes:
        session: ACP's name of the session.
        failed: Whether the turn failed.
        kind: The agent's word for the error.
        message: The error, as the agent says it.
    """

    session: str
    failed: bool
    kind: str = ""
    message: str = ""


def hook_command(mark: str) -> str:
    """Give the shell command that sends a hook's record out of the container.

    It goes to the standard error of the container's first process, as one line that begins with ``mark``: it arrives
    over the attached stream a few milliseconds later, and the agent's own output can't be mistaken for it.
    """
    return f"IFS= read -r record; printf '\\n{mark} %.{_MOST_RECORD}s\\n' \"$record\" >/proc/1/fd/2"


def parse_record(text: str) -> TurnEnd | None:
    """Read a hook's record; a long one has lost its end."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = {name: _field(text, name) for name in ("hook_event_name", "session_id", "error_type", "error_message")}
    if not isinstance(record, dict) or record.get("hook_event_name") not in ("Stop", "StopFailure"):
        return None
    return TurnEnd(
        session=str(record.get("session_id", "")),
        failed=record["hook_event_name"] == "StopFailure",
        kind=str(record.get("error_type", "")),
        message=str(record.get("error_message", "")),
    )


def _field(text: str, name: str) -> str:
    match = re.search(_FIELD % name, text)
    return match[1] if match else ""


def from_agent(
    kind: str, message: str, *, model: str = "", retry_after: timedelta | None = None, secret: str = ""
) -> AgentError:
    """Name the failure behind an agent's error.

    Args:
        kind: The agent's word for it.
        message: What it says.
        model: The server's name of the model that was asked for.
        retry_after: How long the server wants to be left alone, where that is known; else the message may say it.
        secret: The key that was used; no more than four of its characters are repeated.
    """
    detail = f"{kind}: {message}" if kind and kind not in message else message
    detail = redact(hide(" ".join(plain(detail).split()), secret))[:_LONGEST]
    status = _STATUS.search(message)
    code = int(status[1]) if status else None
    for applies, failure, cause, remedy in _RULES:
        if applies(code, kind.lower(), message.lower()):
            wait = retry_after or (wait_said(message) if failure in _WAITS else None)
            if wait is None and failure is Failure.RATE_LIMIT:
                wait = _AWAY
            said = f"{cause}: {detail}" if cause else detail
            return AgentError(failure, said, remedy=remedy.format(model=model), retry_after=wait)
    return AgentError(Failure.NO_ANSWER, detail or "the agent ended the turn without an answer and without a reason")


def refused(error: RequestError, *, model: str = "", secret: str = "") -> AgentError:
    """Name the failure behind an error of ACP's own."""
    data = error.data if isinstance(error.data, dict) else {}
    said = data.get("error") or data.get("details") or ""
    return from_agent("", f"{error}: {said}" if said else str(error), model=model, secret=secret)


@contextmanager
def writing() -> Iterator[None]:
    """Name the failure behind a data folder that can't be written.

    Raises:
        AgentError: It can't.
    """
    try:
        yield
    except OSError as error:
        raise AgentError(
            Failure.ENGINE,
            f"the data folder can't be written: {error}",
            remedy=f"free some space, or check its owner and mode{_KEPT}",
        ) from error


def no_protocol(error: ValidationError) -> AgentError:
    """Name the failure behind an answer that the agent's version should not give."""
    return AgentError(
        Failure.CRASHED,
        f"the agent answered something that is not ACP: {error.title} has {error.error_count()} faults",
        remedy="build the image again: nanokimi image build",
    )


_ONLY_AGENTS = "only available for coding agents"
_PLAN_SIGNS = ("access_terminated", "usage limit", "quota", "billing", "membership", "subscription")
_QUOTA_SIGNS = (
    *_PLAN_SIGNS,
    "exceeded_current_quota",
    "insufficient balance",
    "account balance",
    "recharge",
    "arrears",
)


def _agents_only(code: int | None, kind: str, message: str) -> bool:
    return code == 403 and _ONLY_AGENTS in message


def _balance(code: int | None, kind: str, message: str) -> bool:
    return code == 402


def _plan(code: int | None, kind: str, message: str) -> bool:
    return code == 403 and any(sign in kind or sign in message for sign in _PLAN_SIGNS)


def _quota(code: int | None, kind: str, message: str) -> bool:
    return "quota" in kind or (code == 429 and any(sign in message for sign in _QUOTA_SIGNS))


def _access_only(code: int | None, kind: str, message: str) -> bool:
    """What kimi-code says after a 401 where the login's file has no token by which it could refresh."""
    return code is None and "has no refresh_token" in message


def _rights(code: int | None, kind: str, message: str) -> bool:
    return code == 403


def _credentials(code: int | None, kind: str, message: str) -> bool:
    signs = ("oauth", "authentication required", "not logged in", "login", "invalid_grant", "unauthorized")
    return code == 401 or any(sign in kind or sign in message for sign in signs)


def _model(code: int | None, kind: str, message: str) -> bool:
    signs = ("llm is not set", "no model configured", "not configured in config.toml")
    return code == 404 or "llmnotset" in kind or any(sign in message for sign in signs)


def _too_many(code: int | None, kind: str, message: str) -> bool:
    return code == 429 or "ratelimit" in kind or "rate_limit" in kind


def _steps(code: int | None, kind: str, message: str) -> bool:
    return "maxsteps" in kind or "max steps" in message or "maxsteps" in message


def _away(code: int | None, kind: str, message: str) -> bool:
    signs = (
        "connection error",
        "connect error",
        "econnrefused",
        "enotfound",
        "fetch failed",
        "timed out",
        "overloaded",
    )
    lost = "connection" in kind or "timeout" in kind or "overloaded" in kind
    return code in (502, 503, 504, 529) or (code is None and (lost or any(sign in message for sign in signs)))


_Rule = Callable[[int | None, str, str], bool]
_RULES: tuple[tuple[_Rule, Failure, str, str], ...] = (
    (_steps, Failure.TOO_LONG, "", "if that is not enough, raise max_steps in [plugins.kimi_docker]"),
    (_balance, Failure.QUOTA, "the account's balance is used up, or its membership has ended", _TOP_UP),
    (_agents_only, Failure.QUOTA, "the server does not serve this agent", _AGENTS),
    (_plan, Failure.QUOTA, "the plan's quota is used up, or the plan has ended", _PLAN),
    (_quota, Failure.QUOTA, "the account's quota is used up", _QUOTA),
    (_model, Failure.MODEL, "", 'choose a model that the account has, "{model}" was asked for' + _KEPT),
    (_too_many, Failure.RATE_LIMIT, "the server wants fewer requests", _WAIT),
    (_away, Failure.RATE_LIMIT, "", _UNREACHED),
    (_access_only, Failure.CREDENTIALS, "the server takes this access token no longer (401)", _LOGIN),
    (_rights, Failure.CREDENTIALS, "the account may not do this", _RIGHTS),
    (_credentials, Failure.CREDENTIALS, "", _LOGIN),
)
_WAITS = (Failure.QUOTA, Failure.RATE_LIMIT)


def from_exit(left: Exit, *, program: str, limit: int, last_words: str) -> AgentError:
    """Name the failure behind a container that has ended.

    Args:
        left: How it stands.
        program: What it ran.
        limit: Its memory, in bytes.
        last_words: The end of its standard error.
    """
    remedy = "raise memory in [plugins.kimi_docker]"
    if left.out_of_memory:
        return AgentError(
            Failure.OUT_OF_MEMORY,
            f"the container was killed at its memory limit of {format_size(limit)}",
            remedy=remedy,
        )
    if "heap out of memory" in last_words:
        return AgentError(
            Failure.OUT_OF_MEMORY,
            f"the agent ran out of memory within its limit of {format_size(limit)}",
            remedy=remedy,
        )
    if left.code in NO_PROGRAM:
        return AgentError(
            Failure.ENGINE,
            f"the image has no {program}",
            remedy="build the image of the agent that the toml names: nanokimi image build",
        )
    how = "its container is gone" if left.gone else f"exit code {left.code}"
    if left.running:
        how = "the connection to its container was lost"
    said = f"; it last said: {redact(last_words)[-_LONGEST:]}" if last_words else ""
    return AgentError(
        Failure.CRASHED,
        f"the agent has ended ({left.error or how}){said}",
        remedy="look at: nanokimi debug logs",
    )
