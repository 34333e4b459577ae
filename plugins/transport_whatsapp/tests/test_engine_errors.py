"""What the library's errors mean: above all, whether a message may have gone out all the same."""

from __future__ import annotations

import pytest

from nanokimi_transport_whatsapp.neonize_engine.errors import TIME_LOCK, of_call, of_file, of_sending


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        ("server returned error 463", "refused", 463),
        ("server returned error 479", "refused", 479),
        ("server returned error 400", "refused", 400),
        ("server returned error 401", "refused", 401),
        ("server returned error 403", "refused", 403),
        ("server returned error 404", "refused", 404),
        ("server returned error 406", "refused", 406),
        ("server returned error 408", "later", 408),
        ("server returned error 429", "later", 429),
        ("server returned error 500", "later", 500),
        ("server returned error 503", "later", 503),
        ("no LID found for 1555@s.whatsapp.net from server", "refused", 404),
        ("failed to get group members: you're not participating in that group", "refused", 403),
        ("failed to get group members: that group does not exist", "refused", 404),
        ("failed to get group members: info query returned status 429: rate-overlimit", "later", 429),
        ("can't send message to unknown server x", "refused", 400),
        ("client is nil", "away", 0),
        ("the store doesn't contain a device JID", "away", 0),
        ("failed to get device list: failed to send usync query: websocket not connected", "away", 0),
        ("failed to get device list: websocket disconnected before info query returned response", "away", 0),
        ("failed to send message node: websocket not connected", "away", 0),
        ("failed to send message node: frame socket is closed", "away", 0),
        ("failed to get user info for 1@lid to fill LID cache: info query timed out", "later", 0),
        ("failed to get device list: something else", "failed", 0),
    ],
)
def test_a_message_that_certainly_was_not_sent_is_told_as_such(said: str, kind: str, code: int) -> None:
    error = of_sending(said)
    assert (error.kind, error.code) == (kind, code)


@pytest.mark.parametrize(
    "said",
    [
        "timed out waiting for message send response",
        "websocket disconnected before message send returned response",
        "websocket disconnected before message send (retry) returned response",
        "websocket not connected",
        "failed to send message node: write tcp: broken pipe",
        "something that nobody has heard of",
    ],
)
def test_a_message_that_may_have_been_sent_is_of_unknown_outcome(said: str) -> None:
    assert of_sending(said).kind == "unknown"


def test_the_time_lock_is_said_in_words() -> None:
    assert of_sending("server returned error 463").said == TIME_LOCK


def test_too_much_names_how_long_to_wait() -> None:
    assert of_sending("server returned error 429").seconds > 0


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("failed to download media from last host: download failed with status code 404", "refused"),
        ("failed to download media from last host: download failed with status code 410", "refused"),
        ("failed to download media from last host: download failed with status code 503", "later"),
        ("upload failed with status code 401", "later"),
        ("upload failed with status code 413", "refused"),
        ("invalid media hmac", "refused"),
        ("hash of media ciphertext doesn't match", "refused"),
        ("no url present", "refused"),
        ("didn't find any attachments in message", "refused"),
        ("failed to refresh media connections: failed to query media connections: websocket not connected", "away"),
        ("failed to refresh media connections: failed to query media connections: info query timed out", "later"),
        ("failed to execute request: dial tcp: connection refused", "later"),
    ],
)
def test_a_files_error_says_whether_to_try_again(said: str, kind: str) -> None:
    assert of_file(said).kind == kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("you're not participating in that group", "refused"),
        ("websocket not connected", "away"),
        ("info query returned status 400: bad-request", "refused"),
        ("info query timed out", "later"),
        ("can't send presence without PushName set", "failed"),
    ],
)
def test_another_calls_error_is_never_of_unknown_outcome(said: str, kind: str) -> None:
    assert of_call(said).kind == kind
