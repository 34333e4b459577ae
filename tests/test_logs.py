"""No secret and nothing that a terminal obeys gets into a log line, as text or as JSON."""

from __future__ import annotations

import io
import json
import logging
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretBytes, SecretStr

from nanokimi_core import Spec, logs
from nanokimi_core.config import Location, Settings
from nanokimi_core.instances import make
from nanokimi_core.plugins import PluginHost
from testbed.fakes import MemoryTransport, plugin, providing


class Said:
    """What has been written to the log since ``start``."""

    def __init__(self, form: logs.Form, capture: pytest.CaptureFixture[str]) -> None:
        self.form = form
        self.capture = capture
        self.read = ""

    def start(self) -> None:
        """Set up the log: by the test itself, since pytest adds a handler of its own before it."""
        logs.set_up(form=self.form)

    def __call__(self) -> str:
        self.read += self.capture.readouterr().err
        return self.read


@pytest.fixture(autouse=True)
def no_secrets_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", logs._Secrets())


@pytest.fixture(params=["text", "json"])
def said(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """Set up the log in each form, and give what it wrote."""
    root, project = logging.getLogger(), logging.getLogger("nanokimi")
    before, levels = root.handlers[:], (root.level, project.level)
    yield Said(request.param, capsys)
    root.handlers[:] = before
    root.setLevel(levels[0])
    project.setLevel(levels[1])


log = logs.instance_log("net")


def test_a_json_line_has_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    formatter = logs.JsonFormatter()
    try:
        raise ValueError("torn")
    except ValueError:
        record = logging.LogRecord("nanokimi.net", logging.ERROR, "", 0, "can't %s", ("read",), sys.exc_info())
    _, more = log.process("", {})
    vars(record).update(more["extra"])
    line = formatter.format(record)
    assert "\n" not in line
    shown = json.loads(line)
    assert datetime.fromisoformat(shown["time"]).utcoffset() is not None
    assert datetime.fromisoformat(shown["time"]).timestamp() == pytest.approx(record.created, abs=0.002)
    assert {key: shown[key] for key in ("level", "logger", "message", "instance")} == {
        "level": "ERROR",
        "logger": "nanokimi.net",
        "message": "can't read",
        "instance": "net",
    }
    assert shown["exception"].startswith("Traceback")
    assert shown["exception"].endswith("ValueError: torn")
    plain = json.loads(formatter.format(logging.LogRecord("nanokimi", logging.INFO, "", 0, "hello", None, None)))
    assert set(plain) == {"time", "level", "logger", "message"}


@given(st.text(), st.text())
def test_whatever_is_logged_is_one_json_object_a_line(message: str, argument: str) -> None:
    record = logging.LogRecord("nanokimi.x", logging.INFO, "", 0, "%s %s", (message, argument), None)
    line = logs.JsonFormatter().format(record)
    assert all(" " <= character <= "~" for character in line)
    assert isinstance(json.loads(line)["message"], str)


@given(st.text())
@example("a\n2026-01-01 00:00:00,000 ERROR nanokimi: forged\r\x1b[2J\x9b1m\u2028\u202e")
def test_no_line_of_text_can_command_a_terminal_or_forge_another_line(message: str) -> None:
    record = logging.LogRecord("nanokimi.x", logging.INFO, "", 0, "%s", (message,), None)
    for formatter in (logs.RedactingFormatter("%(levelname)s %(message)s"), logs.ShortFormatter()):
        first, *others = formatter.format(record).split("\n")
        assert all(line.startswith("    ") for line in others)
        assert first.startswith(("INFO ", "nanokimi: "))
        for line in (first, *others):
            assert all(character.isprintable() or character in "\t" or ord(character) >= 0xA0 for character in line)
            assert not set(line) & set("\u2028\u2029\u202e\u2066\x85")


def test_at_the_terminal_a_plugins_line_names_its_instance_once() -> None:
    def line(text: str) -> str:
        record = logging.LogRecord("nanokimi.work", logging.WARNING, "", 0, text, None, None)
        record.__dict__.update(logs.instance_log("work").process(text, {})[1]["extra"])
        return logs.ShortFormatter().format(record)

    assert line("there is no login") == line("work: there is no login") == "nanokimi: work: there is no login"


@pytest.mark.parametrize(
    "secret", ["correct-horse-battery", 'quo"ted\\pass\nword', "пароль-на-русском", "a/b?c=d&e f g h i"]
)
def test_a_known_secret_is_in_no_field(said: Said, secret: str) -> None:
    said.start()
    logs.keep_secret(secret)
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("plain %s, repr %r, in a list %s", secret, secret, [secret])
    logging.getLogger(f"nanokimi.{secret}").error({"key": secret})
    log.error("as JSON %s", json.dumps({"key": secret}))
    log.error("http://host/?key=%s", quote(secret, safe=""))
    shown = said()
    if shown.startswith("{"):
        lines = [json.loads(line) for line in shown.splitlines()]
        values = "\n".join(str(value) for line in lines for value in line.values())
    else:
        values = shown.replace("\n    ", "\n")
    for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")):
        assert form not in values
        assert form not in shown
    assert values.count("…") >= 8


UNKNOWN = {
    "an API key": ("using sk-abcdefghijklmnop1234 now", "abcdefghijklmnop"),
    "a project's key": ("sk-proj-Abc_def-ghi_jkl-mno_pqr", "ghi_jkl"),
    "a JWT": (
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "eyJzdWIi",
    ),
    "a header": ("Authorization: Bearer abc.def", "abc.def"),
    "a header in a dict": ("{'Authorization': 'Bearer 0123456789abcdef', 'Accept': '*/*'}", "0123456789abcdef"),
    "a header in JSON": ('{"authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz"),
    "a token by itself": ("sent bearer 0123456789abcdefXYZ", "0123456789abcdef"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_looks_like_a_secret_is_taken_out_although_nobody_named_it(said: Said, what: str) -> None:
    said.start()
    text, secret = UNKNOWN[what]
    log.error(text)
    log.error("%s", text)
    assert secret not in said()
    assert said().count("…") + said().count("\\u2026") == 2


@pytest.mark.parametrize(
    "text", ["the task-force-of-twenty-people-met", "sk-short", "the bearer of this letter", "eyJ is how it starts"]
)
def test_what_is_no_secret_stays(said: Said, text: str) -> None:
    said.start()
    log.error("%s", text)
    assert text in said()


class Inner(BaseModel):
    passwords: dict[str, list[SecretStr]]
    raw: SecretBytes


@dataclass
class Plain:
    token: SecretStr


class Table(BaseModel):
    inner: Inner = Inner(passwords={"a": [SecretStr("password-in-a-list")]}, raw=SecretBytes(b"bytes-that-are-secret"))
    key: SecretStr | None = SecretStr("key-of-the-table")
    plain: Plain = Plain(SecretStr("token-of-a-dataclass"))
    shown: str = "nothing-secret-here"


SECRET = ["password-in-a-list", "bytes-that-are-secret", "key-of-the-table", "token-of-a-dataclass"]


def test_every_secret_in_a_plugins_table_is_known_when_its_instance_is_made(tmp_path: Path) -> None:
    async def tell(key: str, text: str) -> None: ...

    host = PluginHost(
        [plugin("net", providing(transports=[Spec("net", lambda c, x: MemoryTransport(), config=Table)]))]
    )
    settings = Settings.model_validate({"transports": ["net"]})
    make("transport", "net", settings=settings, location=Location(None, tmp_path), host=host, tell=tell)
    for secret in SECRET:
        assert logs.redact(f"it is {secret}") == f"it is …{secret[-4:]}"
    assert logs.redact("nothing-secret-here") == "nothing-secret-here"
    for number in range(1000):
        logs.keep_secret(f"a token of this hour, {number}")
    assert logs.redact(SECRET[0]) != SECRET[0]


def test_a_secret_that_is_logged_as_an_object_is_known_from_then_on(said: Said) -> None:
    said.start()
    log.error(
        "table %s, secret %r in %s", Table(), SecretStr("only-in-the-arguments"), {"x": SecretBytes(b"byte-argument")}
    )
    log.error("only-in-the-arguments byte-argument key-of-the-table")
    for secret in ("only-in-the-arguments", "byte-argument", *SECRET):
        assert secret not in said()


def test_of_secrets_that_change_the_latest_are_known() -> None:
    for number in range(600):
        logs.keep_secret(f"token-number-{number:04}-of-the-account")
    assert logs.redact("token-number-0599-of-the-account") == "…ount"
    assert logs.redact("token-number-0100-of-the-account") == "…ount"
    assert "0000" in logs.redact("token-number-0000-of-the-account")


@pytest.mark.parametrize(("value", "shown"), [("1234567", "1234567"), ("12345678", "…"), ("x" * 12 + "tail", "…tail")])
def test_of_a_short_secret_nothing_is_shown_and_of_a_long_one_its_end(value: str, shown: str) -> None:
    logs.keep_secret(value)
    assert logs.redact(value) == shown


def test_a_secret_within_another_does_not_let_the_longer_one_through() -> None:
    for value in ("password", "password-with-more-to-it"):
        logs.keep_secret(value)
    assert logs.redact("password-with-more-to-it") == "…o-it"


def test_many_known_secrets_do_not_make_logging_slow() -> None:
    letters = string.ascii_letters + string.digits
    for number in range(512):
        logs.keep_secret("".join(letters[(number * 7 + place * place * 13) % 62] for place in range(40)) + str(number))
    text = "a line of a usual length, with words, numbers 12345 and some punctuation; " * 3
    logs.redact(text)
    begun = time.thread_time()
    for _ in range(1000):
        logs.redact(text)
    assert time.thread_time() - begun < 1, "more than a millisecond a line"


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "arguments"), [("%d apples", ("key-of-a-plugin",)), ("%s", (Broken(),)), ("%s %s", (1,))]
)
def test_a_line_that_cannot_be_formatted_says_so_and_shows_no_argument(
    said: Said, message: str, arguments: tuple[Any, ...]
) -> None:
    said.start()
    log.error(message, *arguments)
    assert "could not be filled in: " in said()
    assert "key-of-a-plugin" not in said()
    assert said().count("\n") == 1


def test_an_exception_without_a_text_is_logged_by_its_type(said: Said) -> None:
    said.start()
    log.error("failed", exc_info=BrokenError())
    assert "BrokenError" in said()


def test_a_line_is_bounded_and_its_length_is_said(said: Said) -> None:
    said.start()
    logs.keep_secret("secret-at-the-cut")
    log.error("x" * 32_760 + "secret-at-the-cut" + "y" * 10_000_000)
    assert len(said()) < 40_000
    assert "10032777 characters" in said()
    assert "secret-" not in said()


def test_a_stream_that_takes_no_more_harms_nobody(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    said.start()
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    closed = io.StringIO()
    closed.close()
    handler.setStream(closed)
    log.error("lost")
    assert said() == ""


def test_a_warning_and_what_a_thread_raises_are_lines_of_the_log_without_secrets() -> None:
    script = """
import threading, warnings
from nanokimi_core import logs
logs.set_up(form="json")
logs.keep_secret("hunter2-of-the-tests")
warnings.warn("the key is hunter2-of-the-tests")
def fail():
    raise ValueError("hunter2-of-the-tests")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["WARNING", "ERROR"]
    assert "ValueError" in lines[1]["exception"]
    assert "hunter2" not in done.stderr
