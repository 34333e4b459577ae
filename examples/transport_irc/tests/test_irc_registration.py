"""How a connection is opened: with any nick that is free, with the password told to nobody else, or not at all."""

from __future__ import annotations

import base64

import pytest
from irclib.parser import Message
from pydantic import SecretStr

from nanokimi_core import ConfigError
from nanokimi_transport_irc.registration import Registration
from nanokimi_transport_irc.settings import Settings


def begun(password: str | None = None, **table: object) -> Registration:
    settings = Settings.model_validate({"server": "irc.test", **table})
    registration = Registration(settings, "Kai", SecretStr(password) if password else None)
    registration.begin()
    return registration


def hear(registration: Registration, *lines: str) -> list[tuple[str, ...]]:
    return [command for line in lines for command in registration.hear(Message.parse(line))]


def test_it_says_its_nick_and_is_done_when_the_server_welcomes_it() -> None:
    registration = Registration(Settings(server="irc.test"), "Kai", None)
    assert registration.begin() == [("CAP", "LS", "302"), ("NICK", "Kai"), ("USER", "Kai", "0", "*", "Kai")]
    assert not registration.done
    assert hear(registration, ":irc.test 001 Kai :Welcome") == []
    assert registration.done


def test_it_answers_a_server_that_wants_a_pong_first() -> None:
    assert hear(begun(), "PING :12345") == [("PONG", "12345")]


def test_it_knows_the_nick_that_the_server_gave_it() -> None:
    registration = begun()
    hear(registration, ":irc.test 001 Ka :Welcome")
    assert registration.nick == "Ka"


@pytest.mark.parametrize("taken", ["433", "436", "437"])
def test_it_asks_for_other_nicks_while_one_is_taken_and_gives_up_in_the_end(taken: str) -> None:
    registration = begun()
    asked = [hear(registration, f":irc.test {taken} * Kai :taken")[0][1] for _ in range(9)]
    assert len(set(asked)) >= 8
    assert all(nick.startswith("Kai") and len(nick) <= 9 for nick in asked)
    with pytest.raises(ConnectionError, match=r"irc\.test:6697 has no nick for us"):
        hear(registration, f":irc.test {taken} * Kai :taken")


def test_a_nick_that_no_server_takes_is_said_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match='takes no nick "Kai"; set another nick'):
        hear(begun(), ":irc.test 432 * Kai :Erroneous nickname")


def test_capabilities_on_several_lines_are_asked_for_once_and_only_those_that_it_needs() -> None:
    registration = begun()
    assert hear(registration, ":irc.test CAP * LS * :sasl=PLAIN echo-message") == []
    assert hear(registration, ":irc.test CAP * LS :message-tags server-time") == [("CAP", "REQ", "message-tags")]
    assert hear(registration, ":irc.test CAP Kai ACK :message-tags") == [("CAP", "END")]
    assert hear(begun(), ":irc.test CAP * LS :multi-prefix") == [("CAP", "END")]
    assert hear(begun(), ":irc.test CAP * NAK :message-tags") == [("CAP", "END")]


def test_sasl_tells_the_account_and_the_password_before_the_welcome() -> None:
    registration = begun("sesame", account="helper")
    assert hear(registration, ":irc.test CAP * LS :sasl=PLAIN,EXTERNAL") == [("CAP", "REQ", "sasl")]
    assert hear(registration, ":irc.test CAP * ACK :sasl ") == [("AUTHENTICATE", "PLAIN")]
    ((command, told),) = hear(registration, "AUTHENTICATE +")
    assert command == "AUTHENTICATE"
    assert base64.b64decode(told) == b"\0helper\0sesame"
    assert hear(registration, ":irc.test 903 Kai :ok") == [("CAP", "END")]
    hear(registration, ":irc.test 001 Kai :Welcome")
    assert registration.done


def test_a_long_password_is_told_in_pieces() -> None:
    pieces = [told for _, told in hear(begun("x" * 600), "AUTHENTICATE +")]
    assert [len(piece) for piece in pieces[:-1]] == [400] * (len(pieces) - 1)
    assert base64.b64decode("".join(pieces)) == b"\0Kai\0" + b"x" * 600
    exact = [told for _, told in hear(begun("x" * 295), "AUTHENTICATE +")]
    assert [len(piece) for piece in exact] == [400, 1]


@pytest.mark.parametrize(
    "line", [":irc.test 904 Kai :SASL failed", ":irc.test 464 * :Password incorrect", ":irc.test 908 Kai EXTERNAL :no"]
)
def test_a_refused_password_is_said_with_the_remedy_and_not_shown(line: str) -> None:
    with pytest.raises(ConfigError, match="mend password and login") as refused:
        hear(begun("sesame"), line)
    assert "sesame" not in str(refused.value)


def test_without_sasl_it_does_not_go_on_without_its_account() -> None:
    registration = begun("sesame")
    assert hear(registration, ":irc.test CAP * LS :multi-prefix") == [("CAP", "END")]
    with pytest.raises(ConfigError, match="has no SASL"):
        hear(registration, ":irc.test 001 Kai :Welcome")


def test_a_password_for_nickserv_is_not_told_to_the_server() -> None:
    registration = Registration(Settings(server="irc.test", login="nickserv"), "Kai", SecretStr("sesame"))
    said = [*registration.begin(), *hear(registration, ":irc.test CAP * LS :sasl", "AUTHENTICATE +")]
    assert "sesame" not in str(said[:-1])
    hear(registration, ":irc.test 001 Kai :Welcome")
    assert registration.done


def test_a_server_that_closes_the_door_says_why() -> None:
    with pytest.raises(ConnectionError, match=r"irc\.test:6697 doesn't let us in: Closing Link: too many"):
        hear(begun(), "ERROR :Closing Link: too many")


@pytest.mark.parametrize("line", ["CAP", ":x CAP *", "001", "AUTHENTICATE", ":x 005", "PING", "NICK", ":", "433"])
def test_half_a_message_is_borne(line: str) -> None:
    hear(begun(), line)
