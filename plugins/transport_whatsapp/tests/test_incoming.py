"""What the network brings is what the core gets: names, ids, texts, files, and who is called."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from transport_driver import ANA, BO, GROUP, ME, message

from nanokimi_core import Inbound
from nanokimi_core.testing import ScriptedContext
from nanokimi_transport_whatsapp import Settings
from nanokimi_transport_whatsapp.identity import account_of, message_id, parts_of_id
from nanokimi_transport_whatsapp.incoming import Reader
from nanokimi_transport_whatsapp.names import Names
from nanokimi_transport_whatsapp.outgoing import SentIds
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.transcription import MOST_OUTPUT
from nanokimi_transport_whatsapp.values import (
    Contact,
    Contacts,
    Content,
    Location,
    Media,
    Message,
    Poll,
    Quoted,
    Text,
    Unsupported,
    Who,
)

pytestmark = pytest.mark.anyio
Number = Literal["own", "bot"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Rig:
    """A reader, and who it reads for."""

    def __init__(self, folder: Path, names: Names, table: dict[str, Any]) -> None:
        self.context, self.places, self.ours = ScriptedContext(folder), Places(folder), SentIds()
        self.settings = Settings.model_validate(table)
        self.reader = Reader(self.settings, self.context, self.places, names, self.ours)

    def takes(self, said: Message, number: Number = "bot") -> bool:
        return self.reader.concerns_us(said, account_of(ME, number, self.settings.self_chat))

    async def maybe(self, said: Message, number: Number = "bot") -> Inbound | None:
        return await self.reader.read(said, account_of(ME, number, self.settings.self_chat))

    async def read(self, said: Message, number: Number = "bot") -> Inbound:
        inbound = await self.maybe(said, number)
        assert inbound is not None
        return inbound

    def voice(self) -> Media:
        self.places.media.mkdir(exist_ok=True)
        (self.places.media / "v").write_bytes(b"OggS")
        return Media(what="voice", media_type="audio/ogg", path=str(self.places.media / "v"))


@asynccontextmanager
async def rig(folder: Path, **table: Any) -> AsyncIterator[Rig]:
    async with Names(folder / "names.db") as names:
        yield Rig(folder, names, table)


SELF: dict[str, Any] = {"chat": ME, "sender": ME, "chat_kind": "self", "from_me": True}


async def test_a_direct_message_comes_with_all_names_its_time_and_an_id_of_its_sender(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        inbound = await made.read(message("hi", id="A1", offline=True))
        assert inbound == Inbound(
            id="A1/100@lid",
            chat="100@lid",
            sender="100@lid",
            text="hi",
            sender_name="Ana",
            chat_name="Ana",
            sender_aliases=frozenset({"1100@s.whatsapp.net"}),
            chat_aliases=frozenset({"1100@s.whatsapp.net"}),
            at=datetime.fromtimestamp(1_700_000_000, UTC),
            backlog=True,
        )


async def test_a_group_message_comes_from_its_sender_in_the_group(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        inbound = await made.read(message("hi", id="A1", chat=GROUP, sender=BO))
        assert (inbound.chat, inbound.chat_name, inbound.kind, inbound.chat_aliases) == (
            GROUP.id, "Garden", "group", frozenset()
        )  # fmt: skip
        assert (inbound.id, inbound.sender, inbound.sender_aliases) == ("A1/200@lid", "200@lid", frozenset({BO.alias}))
        assert not inbound.mentions_me
        assert not inbound.shared_account


async def test_a_chat_keeps_its_name_when_its_hidden_id_is_learned_later(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        first = await made.read(message("1", sender=Who(id=ANA.alias)))
        second = await made.read(message("2", sender=ANA))
        third = await made.read(message("3", sender=Who(id=ANA.id)))
        assert {first.chat, second.chat, third.chat} == {ANA.alias}
        assert {second.chat_aliases, third.sender_aliases} == {frozenset({ANA.id})}


@pytest.mark.parametrize("name", [ME.id, ME.alias, "900:4@lid"])
async def test_a_mention_of_us_calls_us_and_shows_our_name(tmp_path: Path, name: str) -> None:
    async with rig(tmp_path) as made:
        digits = name.partition("@")[0].partition(":")[0]
        said = message(f"@{digits}, @200 and @{digits}1?", chat=GROUP, mentions=("200@lid", name))
        inbound = await made.read(said)
        assert inbound.mentions_me
        assert inbound.text == f"@Kai, @200 and @{digits}1?"
        assert not (await made.read(message("@200", chat=GROUP, mentions=("200@lid",)))).mentions_me


@pytest.mark.parametrize("name", [ME.id, ME.alias])
async def test_a_mention_of_an_own_number_is_of_its_person_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    async with rig(tmp_path) as made:
        digits = name.partition("@")[0]
        inbound = await made.read(message(f"@{digits}, are you there?", chat=GROUP, mentions=(name,)), "own")
        assert not inbound.mentions_me
        assert inbound.text == f"@{digits}, are you there?"


@pytest.mark.parametrize("number", ["own", "bot"])
async def test_an_answer_names_what_it_answers_and_calls_us_where_that_is_the_assistants(
    tmp_path: Path, number: Number
) -> None:
    async with rig(tmp_path) as made:
        made.ours.add("M1")
        ours = await made.read(message("1", chat=GROUP, quoted=Quoted(id="M1", sender=ME.alias, text="q")), number)
        assert (ours.reply_to, ours.quoted, ours.mentions_me) == ("M1/900@lid", "q", True)
        # an own number's person writes, too; a bot's number is the assistant's in any case
        persons = await made.read(message("2", chat=GROUP, quoted=Quoted(id="M2", sender=ME.id)), number)
        assert (persons.reply_to, persons.mentions_me) == ("M2/900@lid", number == "bot")
        others = await made.read(message("3", chat=GROUP, quoted=Quoted(id="M3", sender=BO.id)), number)
        assert (others.reply_to, others.mentions_me) == ("M3/200@lid", False)


async def test_an_edit_a_revocation_and_a_reaction_say_what_they_are_about(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await made.read(message("first", id="A1"))
        about: dict[str, Any] = {"target": "A1", "target_sender": ANA.alias}
        edit = await made.read(message("second", id="A2", event="edit", **about))
        assert (edit.id, edit.event, edit.target, edit.text) == ("A2/100@lid", "edit", "A1/100@lid", "second")
        revoke = await made.read(message(id="A3", event="revoke", content=None, target="A1"))
        assert (revoke.event, revoke.target, revoke.text) == ("revoke", "A1/100@lid", "")
        reaction = message(id="A4", event="reaction", content=Text(text="👍"), target="M1", target_sender=ME.alias)
        assert ((await made.read(reaction)).target, (await made.read(reaction)).text) == ("M1/900@lid", "👍")
        taken_back = await made.read(message(id="A5", event="reaction", content=Text(text=""), **about))
        assert (taken_back.event, taken_back.text) == ("reaction", "")


async def test_what_the_accounts_person_writes_is_heard_in_the_self_chat_alone(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        to_ana = message("psst", sender=ME, chat=ANA, from_me=True)
        in_group = message("psst", sender=ME, chat=GROUP, from_me=True)
        to_self = message("psst", **SELF)
        assert [made.takes(each, "own") for each in (to_ana, in_group, to_self)] == [False, False, True]
        assert [made.takes(each, "bot") for each in (to_ana, in_group, to_self)] == [False, False, False]
        inbound = await made.read(to_self, "own")
        assert (inbound.kind, inbound.chat, inbound.sender, inbound.from_me) == ("self", ME.id, ME.id, True)
        assert inbound.chat_aliases == inbound.sender_aliases == frozenset({ME.alias})
        assert not inbound.shared_account
        assert (await made.read(message("hi"), "own")).shared_account
        assert (await made.read(message("hi", chat=GROUP), "own")).shared_account


async def test_what_has_no_name_is_left_out_and_can_not_stop_what_comes_after_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        nobody = Who(id="")
        assert made.takes(message("hi"))
        assert not made.takes(message("hi", sender=nobody, chat=ANA))
        assert not made.takes(message("hi", chat=nobody))
        assert not made.takes(message("hi").model_copy(update={"id": ""}))


async def test_the_setting_opens_and_closes_the_self_chat(tmp_path: Path) -> None:
    async with rig(tmp_path, self_chat=True) as made:
        assert made.takes(message("hi", **SELF), "bot")
    async with rig(tmp_path, self_chat=False) as made:
        assert not made.takes(message("hi", **SELF), "own")


async def test_what_the_assistant_has_sent_itself_is_not_heard(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.ours.add("M1")
        assert not made.takes(message("echo", id="M1", **SELF), "own")
        assert made.takes(message("echo", id="M2", **SELF), "own")
        assert made.takes(message("👍", id="M3", event="reaction", target="M1", **SELF), "own")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (Location(latitude=52.52, longitude=13.4, name="Café X", address="A 1\nBerlin"),
         "[location: 52.52, 13.40, Café X, A 1 Berlin]"),
        (Location(latitude=-0.123456, longitude=0, live=True), "[live location: -0.123456, 0.00]"),
        (Contacts(contacts=(Contact(name="Ana", phones=("+491", "+492")),)), "[contact: Ana, +491, +492]"),
        (Contacts(contacts=(Contact(name="A]x"), Contact(name="B"))), "[contacts: A)x; B]"),
        (Poll(question="Tea?", options=("yes", "no")), "[poll: Tea?; options: yes | no; one may be chosen]"),
        (Poll(question="Tea?", options=("a", "b"), many=True), "[poll: Tea?; options: a | b; several may be chosen]"),
        (Unsupported(what="a call"), "[a message of a kind that can't be shown here: a call]"),
        (Media(what="image", media_type="image/png", trouble="larger than 64 MB, not fetched"),
         "[image: larger than 64 MB, not fetched]"),
        (Media(what="video", media_type="video/mp4", caption="look [1]", trouble="gone"), "look [1]\n[video: gone]"),
        (Media(what="audio", media_type="audio/mp4", path="/etc/passwd"), ""),
    ],
)  # fmt: skip
async def test_what_is_no_text_is_said_in_brackets(tmp_path: Path, content: Content, text: str) -> None:
    async with rig(tmp_path) as made:
        inbound = await made.maybe(message(content=content))
        assert (inbound.text if inbound else "") == text
        assert not (inbound and inbound.attachments)


@pytest.mark.parametrize("content", [None, Text(text="")])
async def test_a_message_without_anything_in_it_is_none(tmp_path: Path, content: Content | None) -> None:
    async with rig(tmp_path) as made:
        assert await made.maybe(message(content=content)) is None


async def test_a_file_comes_with_its_caption(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.places.media.mkdir()
        path = made.places.media / "f"
        await anyio.Path(path).write_bytes(b"12345")
        media = Media(what="document", media_type="application/pdf", caption="read", name="../a.pdf", path=str(path))
        inbound = await made.read(message(content=media))
        (file,) = inbound.attachments
        assert (inbound.text, file.name, file.media_type) == ("read", "../a.pdf", "application/pdf")
        assert (file.path, file.size) == (path, 5)
        nameless = media.model_copy(update={"name": "", "what": "image", "media_type": "image/png", "caption": ""})
        inbound = await made.read(message(content=nameless))
        assert (inbound.text, inbound.attachments[0].name) == ("", "image.png")


async def test_a_time_that_is_none_does_not_stop_a_message(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        assert (await made.read(message("hi", at=1e300))).at is None


async def test_a_voice_note_is_written_down_by_the_command(tmp_path: Path) -> None:
    program = "import sys; print(open(sys.argv[1]).read(), 'hello  there')"
    async with rig(tmp_path, transcribe=[sys.executable, "-c", program, "{file}"]) as made:
        inbound = await made.read(message(content=made.voice()))
        assert inbound.text == "[voice note] OggS hello  there"
        assert [file.name for file in inbound.attachments] == ["voice-note.ogg"]
        assert not made.context.told


async def test_the_command_sees_no_secret_and_no_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOONSHOT_API_KEY", "canary")
    program = "import os, sys; print(os.environ.get('MOONSHOT_API_KEY'), repr(sys.stdin.read()))"
    async with rig(tmp_path, transcribe=[sys.executable, "-c", program, "{file}"]) as made:
        assert (await made.read(message(content=made.voice()))).text == "[voice note] None ''"


async def test_of_a_command_that_writes_without_end_the_beginning_is_taken(tmp_path: Path) -> None:
    program = "while True: print('words', end=' ')"
    async with rig(tmp_path, transcribe=[sys.executable, "-c", program, "{file}"]) as made:
        with anyio.fail_after(60):
            text = (await made.read(message(content=made.voice()))).text
        assert text.startswith("[voice note] words words")
        assert MOST_OUTPUT - 20 < len(text) < MOST_OUTPUT + 20


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; print('half'); sys.exit(3)", "exit code 3"),
        ("pass", "wrote nothing"),
        ("import os, time; os.fork(); print('half', flush=True); time.sleep(600)", "not done within 1 s"),
        (None, "can't be run"),
    ],
)
async def test_a_command_that_fails_leaves_the_file_and_the_owner_is_told(
    tmp_path: Path, program: str | None, why: str
) -> None:
    command = [sys.executable, "-c", program, "{file}"] if program else [str(tmp_path / "nothing"), "{file}"]
    async with rig(tmp_path, transcribe=command, transcribe_seconds=1) as made:
        with anyio.fail_after(20):
            inbound = await made.read(message(content=made.voice()))
        assert inbound.text == ""
        assert len(inbound.attachments) == 1
        assert why in made.context.told["transcribe"]


async def test_other_audio_is_not_written_down(tmp_path: Path) -> None:
    async with rig(tmp_path, transcribe=[sys.executable, "-c", "print(1)", "{file}"]) as made:
        music = made.voice().model_copy(update={"what": "audio"})
        assert (await made.read(message(content=music))).text == ""


def test_an_id_gives_back_what_it_was_made_of() -> None:
    assert parts_of_id(message_id("3EB0/X", "100@lid")) == ("3EB0/X", "100@lid")
    assert parts_of_id("3EB0") == ("3EB0", "")


def test_an_account_whose_hidden_id_is_unknown_goes_by_its_number() -> None:
    assert account_of(Who(id="1900:3@s.whatsapp.net"), "own", None).name == "1900@s.whatsapp.net"
    assert not account_of(Who(id=""), "own", None).is_me("")
