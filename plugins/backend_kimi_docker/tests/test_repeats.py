"""What of a repeated turn goes to an agent, and whose word is taken for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_backend_kimi_docker import repeats
from nanokimi_backend_kimi_docker.agents import AGENTS, AcpAgent, KimiCli, KimiCode
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.conversations import Asked, Conversation, Conversations
from nanokimi_core import AgentError, Failure, Turn, prompt_text
from testbed.kimi import message, turn

SESSION = "s1"
FILES = {"kimi-code": f"sessions/w/{SESSION}/agents/main/wire.jsonl", "kimi-cli": f"sessions/w/{SESSION}/context.jsonl"}


def line(agent: str, text: Any, role: str = "user") -> str:
    said = {"role": role, "content": text}
    return json.dumps(said if agent == "kimi-cli" else {"type": "context.append_message", "message": said})


def write(home: Path, agent: str, *lines: str) -> Path:
    file = home / FILES[agent]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{one}\n" for one in lines))
    return file


def noted(text: str, start: int = 0) -> Asked:
    return Asked(repeats.digest(text), start, ("m1",))


def stands(home: Path, agent: str, *asked: Asked) -> list[Asked]:
    return list(repeats.standing(AGENTS[agent], home, SESSION, asked))


@pytest.mark.parametrize("agent", FILES)
def test_a_prompt_stands_in_a_record_as_text_or_in_parts_and_nowhere_else(agent: str, tmp_path: Path) -> None:
    images = [{"type": "text", "text": "[Ana] with a picture"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    write(
        tmp_path,
        agent,
        line(agent, "[Ana] one\r\n two "),
        line(agent, images),
        line(agent, "[Ana] quoted", role="assistant"),
        json.dumps({"type": "turn.prompt", "input": [{"type": "text", "text": "[Ana] lost"}], "of": "user"}),
        line(agent, 7),
        line(agent, [7, {"text": 7}, None]),
        '{"role":"user"',
        '["user"]',
        "[" * 5000 + '"user"',
    )
    found, picture = noted("[Ana] one\n two"), noted("[Ana] with a picture")
    lost = [noted(text) for text in ("[Ana] quoted", "[Ana] lost", "[Ana] one")]
    assert stands(tmp_path, agent, found, *lost, picture) == [found, picture]


@pytest.mark.parametrize("agent", FILES)
def test_what_stood_there_before_a_prompt_was_noted_is_not_that_prompt(agent: str, tmp_path: Path) -> None:
    again = line(agent, "[Ana] next")
    start = write(tmp_path, agent, again).stat().st_size
    assert repeats.length(AGENTS[agent], tmp_path, SESSION) == start
    assert stands(tmp_path, agent, noted("[Ana] next", start)) == []
    write(tmp_path, agent, again, again)
    assert stands(tmp_path, agent, noted("[Ana] next", start)) == [noted("[Ana] next", start)]


@pytest.mark.parametrize("agent", FILES)
def test_a_record_that_was_written_anew_and_shorter_is_read_from_its_beginning(agent: str, tmp_path: Path) -> None:
    write(tmp_path, agent, line(agent, "[Ana] next"))
    assert stands(tmp_path, agent, noted("[Ana] next", 10_000)) == [noted("[Ana] next", 10_000)]


@pytest.mark.parametrize("agent", FILES)
@pytest.mark.parametrize("trick", ["link", "link on the way", "pipe", "folder", "nothing"])
def test_an_agent_that_puts_something_else_in_the_place_of_its_record_is_not_believed(
    agent: str, trick: str, tmp_path: Path
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    real = write(elsewhere, agent, line(agent, "[Ana] next"))
    place = home / FILES[agent]
    if trick == "link on the way":
        (home / "sessions").symlink_to(elsewhere / "sessions")
    else:
        place.parent.mkdir(parents=True)
    if trick == "link":
        place.symlink_to(real)
    elif trick == "pipe":
        os.mkfifo(place)
    elif trick == "folder":
        place.mkdir()
    assert stands(elsewhere, agent, noted("[Ana] next")) == [noted("[Ana] next")]
    assert stands(home, agent, noted("[Ana] next")) == []
    assert repeats.length(AGENTS[agent], home, SESSION) == 0


def test_an_endless_record_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_MOST_READ", 1000)
    write(tmp_path, "kimi-cli", "x" * 1000, line("kimi-cli", "[Ana] next"))
    assert stands(tmp_path, "kimi-cli", noted("[Ana] next")) == []
    assert stands(tmp_path, "kimi-cli", noted("[Ana] next", 500)) != []


def test_kimi_codes_turn_is_written_when_its_end_stands_behind_its_beginning(tmp_path: Path) -> None:
    agent, end = AGENTS["kimi-code"], '{"type":"turn.ended","agentId":"main","turnId":0}'
    assert not agent.has_written(tmp_path, SESSION, 0)
    start = write(tmp_path, "kimi-code", line("kimi-code", "[Ana] one"), end).stat().st_size
    assert agent.has_written(tmp_path, SESSION, 0)
    assert not agent.has_written(tmp_path, SESSION, start)
    write(tmp_path, "kimi-code", line("kimi-code", "[Ana] one"), end, line("kimi-code", "x" * 100_000))
    assert not agent.has_written(tmp_path, SESSION, start)
    write(tmp_path, "kimi-code", line("kimi-code", "[Ana] one"), end, line("kimi-code", "x" * 100_000), end)
    assert agent.has_written(tmp_path, SESSION, start)


class Silent(AcpAgent):
    def settings(self, config: KimiDockerConfig) -> dict[str, Any]:
        return {}


def test_an_agent_whose_record_is_unknown_is_asked_in_full(tmp_path: Path) -> None:
    agent = Silent()
    assert repeats.standing(agent, tmp_path, SESSION, [noted("[Ana] next")]) == ()
    assert repeats.length(agent, tmp_path, SESSION) == 0
    assert agent.heard({"role": "user", "content": "x"}) is None
    assert agent.has_written(tmp_path, SESSION, 0)


@given(st.binary(max_size=200), st.sampled_from(list(AGENTS)))
def test_nothing_in_a_record_breaks_the_reader(data: bytes, agent: str) -> None:
    assert repeats.digest("never said") not in {
        repeats.digest(text) for text in repeats._texts(AGENTS[agent], data + b'\n{"role":"user"}\n' + data)
    }


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.dictionaries(st.sampled_from(["type", "message", "role", "content"]), JSON))
def test_no_line_of_a_record_breaks_an_agents_reader(parsed: Mapping[str, Any]) -> None:
    for agent in (KimiCode(), KimiCli()):
        agent.heard(parsed)
        agent.heard({"type": "context.append_message", "message": parsed})


def ask(asked: Turn, known: tuple[Asked, ...] = ()) -> tuple[repeats.Part, tuple[Asked, ...]]:
    """What goes to the agent, and what is noted of it."""
    part = repeats.part(asked, known)
    return part, repeats.note(part, part.reminder + prompt_text(part.turn), 0, "")


def test_a_new_question_is_asked_in_full_and_takes_the_place_of_the_last_one() -> None:
    first, second = turn("first"), turn("first")
    _, known = ask(first)
    part, noted_now = ask(second, known)
    assert part == repeats.Part(second)
    assert [one.messages for one in noted_now] == [(repeats.mark(second.messages[0]),)]


def test_a_repeated_question_is_reminded_of_whatever_its_turn_is_called() -> None:
    asked = turn("first")
    _, known = ask(asked)
    part, noted_now = ask(replace(asked, id="another"), known)
    assert part.turn.messages == ()
    assert part.reminder.startswith("[No answer to the last message ")
    assert noted_now == known


def test_a_question_that_was_edited_meanwhile_is_asked_in_full() -> None:
    asked = turn("first")
    _, known = ask(asked)
    edited = replace(asked, messages=(replace(asked.messages[0], text="first!"),))
    assert repeats.part(edited, known) == repeats.Part(edited)


def test_what_was_added_is_all_that_goes_along_and_is_known_the_next_time() -> None:
    one, two, before = message("one"), message("two"), message("before")
    _, known = ask(Turn("1", (one,)))
    part, known = ask(Turn("2", (one, two), (before,)), known)
    assert (part.turn.messages, part.turn.context) == ((two,), (before,))
    assert "the last message has" in part.reminder
    part, _ = ask(Turn("2", (one, two), (before,)), known)
    assert (part.turn.messages, part.turn.context) == ((), ())
    assert "the last 2 messages" in part.reminder


def test_the_notes_of_a_turn_that_never_succeeds_stay_few() -> None:
    known: tuple[Asked, ...] = ()
    messages = [message(str(number)) for number in range(50)]
    for number in range(1, 50):
        part, known = ask(Turn("t", tuple(messages[:number])), known)
        assert len(known) <= 20
        assert messages[number - 1] in part.turn.messages


def test_a_conversation_keeps_what_was_asked_and_one_from_before_still_counts(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "c")
    conversation = Conversation("kimi-code", "s1", "i", (Asked("t", 5, ("m1", "m2"), ("c1",), "j"), Asked("u", 9, ())))
    kept.put("console:me", conversation)
    assert Conversations(tmp_path / "c").get("console:me", "kimi-code") == conversation
    [file] = (tmp_path / "c").iterdir()
    file.write_text('{"agent": "kimi-code", "session": "s1", "instructions": "i"}')
    assert kept.get("console:me", "kimi-code") == Conversation("kimi-code", "s1", "i")
    file.write_text('{"agent": "kimi-code", "session": "s1", "asked": [{"text": "t"}]}')
    assert kept.get("console:me", "kimi-code") is None


def test_a_conversation_that_was_forgotten_or_replaced_meanwhile_is_not_changed(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "c")
    old, new = Conversation("kimi-code", "s1"), Conversation("kimi-code", "s2")
    kept.put("console:me", new)
    kept.change("console:me", replace(old, instructions="i"))
    assert kept.get("console:me", "kimi-code") == new
    kept.change("console:me", replace(new, instructions="i"))
    assert kept.get("console:me", "kimi-code") == replace(new, instructions="i")
    kept.drop("console:me", "kimi-code")
    kept.change("console:me", new)
    assert kept.get("console:me", "kimi-code") is None


def test_a_conversation_that_cant_be_noted_names_the_data_folder_and_is_not_the_backends_fault(tmp_path: Path) -> None:
    conversation = Conversation("kimi-code", "s1")
    (tmp_path / "c").write_text("in the way")
    broken = Conversations(tmp_path / "c")
    works: list[Callable[[], object]] = [
        lambda: broken.put("console:me", conversation),
        lambda: broken.change("console:me", conversation),
        lambda: broken.get("console:me", "kimi-code"),
        lambda: broken.drop("console:me", "kimi-code"),
    ]
    for work in works:
        with pytest.raises(AgentError, match="the data folder can't be") as caught:
            work()
        assert caught.value.kind is Failure.ENGINE
