"""Messages as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nanokimi_core.messages import Attachment, Inbound
from nanokimi_core.store.encoding import decode_message, encode_message, storable

TEXT = st.text(st.characters(codec=None), max_size=20)  # surrogates and controls included
NAMES = st.frozensets(TEXT, max_size=3)
ZONES = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
FILES = st.builds(Attachment, TEXT, TEXT, TEXT.map(lambda name: Path("/files") / name), st.integers(0, 2**60))
MESSAGES = st.builds(
    Inbound,
    id=TEXT,
    chat=TEXT,
    sender=TEXT,
    text=TEXT,
    event=st.sampled_from(["message", "edit", "revoke", "reaction"]),
    target=st.none() | TEXT,
    thread=st.none() | TEXT,
    sender_name=TEXT,
    chat_name=TEXT,
    sender_aliases=NAMES,
    chat_aliases=NAMES,
    kind=st.sampled_from(["direct", "group", "self"]),
    at=st.none() | st.datetimes(timezones=st.just(UTC) | ZONES),
    backlog=st.booleans(),
    mentions_me=st.booleans(),
    from_me=st.booleans(),
    reply_to=st.none() | TEXT,
    quoted=TEXT,
    attachments=st.lists(FILES, max_size=3).map(tuple),
)


@given(MESSAGES)
def test_every_message_comes_back_exactly_and_utf8_can_hold_it(message: Inbound) -> None:
    text = encode_message(message)
    text.encode()
    assert "\x00" not in text
    back = decode_message(text)
    assert back == message
    if message.at is not None and back.at is not None:
        assert back.at.utcoffset() == message.at.utcoffset()


def test_only_what_differs_from_its_default_is_written() -> None:
    assert json.loads(encode_message(Inbound("1", "c", "s", "t"))) == {
        "id": "1",
        "chat": "c",
        "sender": "s",
        "text": "t",
    }
    at = datetime(2026, 11, 21, tzinfo=UTC)
    assert json.loads(encode_message(Inbound("1", "c", "s", "t", at=at, backlog=True))).keys() == {
        "id",
        "chat",
        "sender",
        "text",
        "at",
        "backlog",
    }


@given(TEXT)
def test_a_storable_text_is_the_same_unless_utf8_cannot_hold_it(text: str) -> None:
    stored = storable(text)
    stored.encode()
    assert storable(stored) == stored
    if stored != text:
        assert any("\ud800" <= one <= "\udfff" for one in text)


def test_different_ids_stay_different() -> None:
    assert len({storable(text) for text in ("\ud800", "\ud801", "\udfff", "?", "\ufffd")}) == 5
