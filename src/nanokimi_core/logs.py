"""Log lines on stderr, as text or JSON, with secrets taken out: those that are known by value, others by their look."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

Form = Literal["text", "json"]

_SHORTEST = 8
_SHOWS_ITS_END = 16
_MOST = 512
_DEEPEST = 8
_LONGEST = 32_768
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# What a terminal obeys, other line ends than ours, and what turns the direction of writing.
_UNWRITTEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LOOKS_SECRET = re.compile(
    r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}(?P<key>[A-Za-z0-9_-]{4})"
    r"|(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*(?P<jwt>)"
    r"|(?P<header>authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)"
    r"(?!(?:bearer|basic|token)\s)[^\s\"',;}…]{4,}"
    r"|(?P<bearer>\bbearer\s+)[A-Za-z0-9._~+/=-]{16,}",
    re.IGNORECASE,
)


class _Secrets:
    """Values to look for: some for good, of others the latest ``most``. Their number doesn't make looking slower."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lasting: dict[str, None] = {}
        self._latest: dict[str, None] = {}
        self._by_head: dict[str, list[str]] = {}
        self._turn = threading.Lock()

    def keep(self, value: str, *, lasting: bool) -> None:
        with self._turn:
            known = self._lasting if lasting else self._latest
            if value in known or value in self._lasting:
                return
            known[value] = None
            while len(self._latest) > self._most:
                del self._latest[next(iter(self._latest))]
            self._by_head = _by_head({form for each in (*self._lasting, *self._latest) for form in _forms(each)})

    def redact(self, text: str) -> str:
        by_head = self._by_head
        if not by_head:
            return text
        parts, end = [], 0
        for at in [at for at in range(len(text) - _SHORTEST + 1) if text[at : at + _SHORTEST] in by_head]:
            found = next((value for value in by_head[text[at : at + _SHORTEST]] if text.startswith(value, at)), None)
            if found is not None and at >= end:
                parts += [text[end:at], _end(found)]
                end = at + len(found)
        return "".join([*parts, text[end:]])


def _forms(value: str) -> Iterator[str]:
    """Give a value as it is, and as it looks in a repr, in JSON and in a URL."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield quote(value, safe="", errors="replace")


def _by_head(values: Iterable[str]) -> dict[str, list[str]]:
    heads: dict[str, list[str]] = {}
    for value in sorted(values, key=len, reverse=True):
        heads.setdefault(value[:_SHORTEST], []).append(value)
    return heads


def _end(secret: str) -> str:
    return f"…{secret[-4:]}" if len(secret) >= _SHOWS_ITS_END else "…"


_secrets = _Secrets()


def keep_secret(value: str, *, lasting: bool = False) -> None:
    """From now on show this value in no log line; values under 8 characters are too short to look for.

    Args:
        value: The secret.
        lasting: Keep it for good, as what stands in the toml; of others, such as tokens that are renewed, the latest
            512 are kept.
    """
    if len(value) >= _SHORTEST:
        _secrets.keep(value, lasting=lasting)


def keep_secrets_of(value: object, *, lasting: bool = True) -> None:
    """Keep all secrets in a model, a dataclass or a collection, at most eight levels deep."""
    for secret in _secrets_in(value, _DEEPEST):
        keep_secret(secret, lasting=lasting)


def _secrets_in(value: object, depth: int) -> Iterator[str]:
    from pydantic import SecretBytes, SecretStr  # not above: commands that log nothing start without pydantic

    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("utf-8", "replace")
    elif depth:
        for part in _parts(value):
            yield from _secrets_in(part, depth - 1)


def _parts(value: object) -> Iterable[object]:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return [*vars(value).values(), *(value.model_extra or {}).values()]
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in fields(value)]
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, (list, tuple, set, frozenset)) else ()


def redact(text: str) -> str:
    """Take secrets out of a text: known ones, and what looks like a key or a token; the last characters stay."""
    return _LOOKS_SECRET.sub(_without, _secrets.redact(text))


def _without(found: re.Match[str]) -> str:
    before = found["header"] or found["bearer"] or ""
    return f"{before}…{found['key'] or ''}"


def printable(text: str) -> str:
    """Take out what a terminal would obey: all control characters but line ends and tabs."""
    return _CONTROL.sub("", text)


def _escaped(text: str) -> str:
    """Write what a terminal would obey in a form that it doesn't; a line that follows is indented, so it is no line."""
    return _UNWRITTEN.sub(lambda found: ascii(found[0])[1:-1], text).replace("\n", "\n    ")


def _bounded(text: str) -> str:
    """Cut before redacting, which takes its time with what is long, and again where a cut secret could show."""
    cut = redact(text[: _LONGEST + 4096])
    return cut if len(text) <= _LONGEST else f"{cut[:_LONGEST]}… ({len(text)} characters)"


def _message(record: logging.LogRecord) -> str:
    """Give a record's message; a plugin may have logged what can't be formatted."""
    if record.args:
        keep_secrets_of(record.args, lasting=False)
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  # a plugin boundary: the logger's name is the plugin's
        return f"{record.msg!r} could not be filled in: {type(error).__name__}"


def sentence(record: logging.LogRecord) -> str:
    """Give what a record says, without secrets."""
    return _bounded(_message(record))


class RedactingFormatter(logging.Formatter):
    """Formats a record, tracebacks included, and takes secrets and control characters out of the result."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        copy = logging.makeLogRecord(vars(record) | {"msg": _bounded(_message(record)), "args": None})
        return _escaped(redact(super().format(copy)))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        """Give the traceback."""
        return _traceback(super().formatException, ei)


class ShortFormatter(RedactingFormatter):
    """Formats a record as one sentence for the person at the terminal, which names a plugin's instance."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        said, instance = sentence(record), getattr(record, _INSTANCE, None)
        named = f"{redact(instance)}: " if isinstance(instance, str) and not said.startswith(f"{instance}: ") else ""
        return _escaped(f"nanokimi: {named}{said}")


class JsonFormatter(RedactingFormatter):
    """Formats a record as one JSON object in a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": redact(record.name),
            "message": _bounded(_message(record)),
        }
        if isinstance(instance := getattr(record, _INSTANCE, None), str):
            line["instance"] = redact(instance)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line).replace("\x7f", "\\u007f")


def _traceback(write: Any, exc_info: Any) -> str:
    try:
        return _bounded(write(exc_info))
    except Exception as error:  # noqa: BLE001  # a plugin's exception whose text can't be had
        return f"{exc_info[0].__name__}, whose traceback can't be shown: {type(error).__name__}"


class _Handler(logging.StreamHandler[Any]):
    """Writes to stderr; what it can't write is lost, since ``logging`` would show it as it is, secrets included."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Do nothing."""


def set_up(level: int = logging.INFO, *, short: bool = False, form: Form = "text") -> None:
    """Send the project's log lines from ``level`` up, and other libraries' warnings, to stderr.

    So go Python's own warnings and what a thread of a plugin's raises, which would be written there as they are.

    Args:
        level: Of the project's own lines.
        short: Only the sentences, for a person at the terminal; else with time, level, name and tracebacks.
        form: ``json`` writes one object a line: ``time`` (ISO 8601 with zone), ``level``, ``logger``, ``message``, and
            where there are, ``instance`` (a plugin's) and ``exception``.
    """
    handler = _Handler()
    service = RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(ShortFormatter() if short else JsonFormatter() if form == "json" else service)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("nanokimi").setLevel(level)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread


def _log_thread(told: threading.ExceptHookArgs) -> None:
    """Log what a thread raised, in place of writing it to stderr as it is."""
    if told.exc_value is None or isinstance(told.exc_value, SystemExit):
        return
    name = told.thread.name if told.thread is not None else "?"
    logging.getLogger("nanokimi").error("the thread %s ended: %s", name, told.exc_value, exc_info=told.exc_value)


_INSTANCE = "nanokimi_instance"


class InstanceLog(logging.LoggerAdapter[logging.Logger]):
    """A plugin instance's log: each line carries the instance's name."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Add the instance to the record; in a line of text, the logger's name has it."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


def instance_log(name: str) -> InstanceLog:
    """Make the log of a plugin instance."""
    return InstanceLog(logging.getLogger(f"nanokimi.{name}"), {_INSTANCE: name})
