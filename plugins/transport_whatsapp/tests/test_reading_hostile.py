"""Whatever a stranger sends: reading raises nothing but ``ValueError``, and what it gives is small and clean."""

from __future__ import annotations

from typing import Any

import pytest
from events import (
    E2E,
    FILE,
    ME,
    content,
    event,
    image,
    in_group,
    no_secret,
    reading,
    record,
    record_of_call,
    record_undecryptable,
    text,
    wrapped,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanokimi_transport_whatsapp.engine import Read
from nanokimi_transport_whatsapp.neonize_engine.keeping import MOST_QUOTABLE
from nanokimi_transport_whatsapp.neonize_engine.reading import read
from nanokimi_transport_whatsapp.neonize_engine.records import MESSAGE, pack
from nanokimi_transport_whatsapp.values import Message, Text

MOST_JSON = 1 << 20
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

STRINGS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["1@lid", "1.0:9@s.whatsapp.net", "3EB0", "\x00\u202e", "TEL:1\nFN:x", "x" * 70_000]),
)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    1: st.floats(width=64),
    2: st.floats(width=32),
    3: st.integers(-(2**63), 2**63 - 1),
    4: st.integers(0, 2**64 - 1),
    5: st.integers(-(2**31), 2**31 - 1),
    7: st.integers(0, 2**32 - 1),
    8: st.booleans(),
    9: STRINGS,
    12: st.binary(max_size=40) | st.just(b"s" * 32),
    13: st.integers(0, 2**32 - 1),
}
"""Values of a field by the number of its type (``FieldDescriptor.TYPE_…``)."""


def filled(draw: Any, message: Any, depth: int) -> Any:
    """Fill up to four fields of a protobuf, and of its parts."""
    fields = list(message.DESCRIPTOR.fields)
    for field in draw(st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda one: one.name)) if fields else ():
        if field.message_type is not None:
            if depth and not field.message_type.GetOptions().map_entry:
                part = getattr(message, field.name)
                filled(draw, part.add() if field.is_repeated else part, depth - 1)
                if not field.is_repeated:
                    part.SetInParent()
            continue
        enum = field.enum_type
        value = draw(st.sampled_from([one.number for one in enum.values]) if enum else SCALARS[field.type])
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def small_and_clean(found: Read) -> None:
    """Check what holds for all that is read."""
    if found.message is None:
        assert (found.media, found.quotable, found.secret) == (None, None, None)
        return
    written = found.message.model_dump_json()
    assert len(written) < MOST_JSON
    assert Message.model_validate_json(written) == found.message
    assert found.quotable is None or len(found.quotable) <= MOST_QUOTABLE
    assert found.secret is None or len(found.secret) == 32


@FUZZ
@given(st.data(), st.sampled_from(list(E2E.Message.DESCRIPTOR.fields)))
def test_any_content_of_any_field_is_read(data: st.DataObject, field: Any) -> None:
    message = filled(data.draw, E2E.Message(), 1)
    if field.message_type is None:
        message.conversation = data.draw(STRINGS)
    else:
        part = getattr(message, field.name)
        part.SetInParent()
        filled(data.draw, part, 4)
    small_and_clean(reading(message, where=in_group()))
    small_and_clean(reading(wrapped("ephemeralMessage", message), edit="8"))
    small_and_clean(reading(text("x", stanzaID="3EB0", quotedMessage=message)))
    edit = E2E.ProtocolMessage(key={"ID": "3EB0"}, type=14, editedMessage=message)
    small_and_clean(reading(E2E.Message(protocolMessage=edit)))


@FUZZ
@given(st.data())
def test_any_event_is_read_or_refused(data: st.DataObject) -> None:
    happening = event(image(caption="x"))
    filled(data.draw, happening, 4)
    try:
        small_and_clean(read(pack(MESSAGE, happening.SerializePartialToString()), no_secret, ME))
    except ValueError:
        return


SAMPLES = (
    record(image(caption="c", contextInfo=E2E.ContextInfo(stanzaID="3EB0", quotedMessage=text("q")))),
    record(text("x", mentionedJID=["1@lid"])),
    record_of_call(),
    record_undecryptable(unavailable=True),
)


@FUZZ
@given(st.sampled_from(SAMPLES), st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_a_damaged_record_is_read_or_refused(sample: bytes, at: int, damage: bytes) -> None:
    place = 2 + at % (len(sample) - 2)
    for broken in (sample[:place], sample[:place] + damage + sample[place + len(damage) :], sample[:2] + damage):
        try:
            small_and_clean(read(broken, no_secret, ME))
        except ValueError:
            continue


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x02\x11", b"\x01\x03", b"\x01\x11\xff", b"\x01\x11"])
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"no record|no event|names no chat"):
        read(raw, no_secret, ME)


def test_lists_without_end_are_cut() -> None:
    options = [E2E.PollCreationMessage.Option(optionName="o" * 300)] * 20_000
    poll = content(E2E.Message(pollCreationMessage=E2E.PollCreationMessage(name="q" * 5000, options=options)))
    assert (len(poll.options), len(poll.options[0])) == (50, 200)
    people = E2E.ContactsArrayMessage(contacts=[E2E.ContactMessage(displayName="x")] * 20_000)
    assert len(content(E2E.Message(contactsArrayMessage=people)).contacts) == 50
    found = reading(text("x", mentionedJID=[f"{number}@lid" for number in range(20_000)])).message
    assert found is not None
    assert len(found.mentions) == 1024


@pytest.mark.parametrize(
    "card",
    [
        "TEL;" + "a" * 1_000_000,
        "TEL;\n" * 200_000,
        "TEL:+1" + "0" * 1_000_000,
        "\n ".join(["TEL:"] * 200_000),
        "".join(f"TEL:{number}\n" for number in range(100_000)),
        "FN;ENCODING=QUOTED-PRINTABLE:" + "=C3" * 300_000,
        "a-" * 500_000 + ".TEL:1",
        "\r" * 1_000_000,
    ],
)
def test_a_card_of_a_megabyte_comes_to_a_small_contact(card: str) -> None:
    found = reading(E2E.Message(contactMessage=E2E.ContactMessage(vcard=card)))
    small_and_clean(found)
    contact = found.message and found.message.content
    assert contact is not None
    assert len(contact.model_dump_json()) < 1000


def test_wrappers_within_wrappers_are_opened_as_deep_as_clients_go_and_then_named() -> None:
    message = text("deep")
    for _ in range(7):
        message = wrapped("ephemeralMessage", message)
    assert content(message).text == "deep"
    for _ in range(20):
        message = wrapped("viewOnceMessage", message)
    assert content(message).what == "viewOnceMessage"


def test_an_event_that_is_nested_without_end_is_refused() -> None:
    def within(tag: bytes, inner: bytes) -> bytes:
        size = len(inner)
        return tag + bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14)) + inner

    deep = b""
    for _ in range(500):
        deep = within(b"\xc2\x02", within(b"\x0a", deep))  # ephemeralMessage, and its message
    sample = event(text("x")).SerializeToString()
    with pytest.raises(ValueError, match="no event"):
        read(pack(MESSAGE, sample + within(b"\x12", deep)), no_secret, ME)
    shallow = within(b"\xc2\x02", within(b"\x0a", b"\x0a\x02ok"))
    found = read(pack(MESSAGE, event(E2E.Message()).SerializeToString() + within(b"\x12", shallow)), no_secret, ME)
    assert found.message is not None
    assert found.message.content == Text(text="ok")


def test_a_size_that_no_file_has_is_cut() -> None:
    huge = E2E.AudioMessage(**(FILE | {"fileLength": 2**64 - 1}), seconds=2**32 - 1)
    found = content(E2E.Message(audioMessage=huge))
    assert (found.size, found.seconds) == (1 << 50, 1 << 30)
