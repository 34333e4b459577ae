"""What a backend is made of, and how its answers come."""

from __future__ import annotations

from typing import Any

from nanokimi_core.contracts.backend import Text, Thought, ToolCall, Usage
from nanokimi_core.messages import Attachment
from nanokimi_core.testing.conformance.backend.asking import (
    Running,
    answer,
    answered,
    begun,
    entered,
    mid_answer,
    new_turn,
    new_word,
    running,
)
from nanokimi_core.testing.conformance.checks import Check, check, expect, in_words, saw, whether, within
from nanokimi_core.testing.conformance.rigs import BackendRig

_STATES = ("running", "done", "failed")


@check("backend")
async def has_its_methods(rig: BackendRig) -> None:
    """The object has session and forget; what session gives, entered, has prompt and cancel; prompt is a generator."""
    async with rig.made() as backend:
        _has(backend, "session", "forget")
        async with entered(rig, backend, rig.chat()) as session:
            _has(session, "prompt", "cancel")
            await begun(session, new_turn(rig.question("nothing"))).aclose()


def _has(value: object, *names: str) -> None:
    missing = [name for name in names if not callable(getattr(value, name, None))]
    expect(not missing, f"{type(value).__name__} has no {', '.join(missing)}")


@check("backend")
async def a_question_is_answered(rig: BackendRig) -> None:
    """A turn's question is answered, and the one after it as well, in Text events."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        await answered(rig, session, "in a new session")
        await answered(rig, session, "after an answer")


@check("backend")
async def an_answer_is_made_of_events(rig: BackendRig) -> None:
    """Prompt yields Text, Thought, ToolCall and Usage only, and what is in them is of the right type."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        turn = Running(rig, session, new_turn(rig.question(new_word())))
        with within(rig.wait, f"prompt had not ended after {rig.wait:g} s"):
            await turn.run()
    if turn.error is not None:
        saw(f"prompt raised {in_words(turn.error)}")
    expect(turn.events, "prompt ended without an event")
    for event in turn.events:
        expect(not (wrong := _wrong(event)), f"prompt yielded {event!r:.100}, {wrong}")


def _wrong(event: Any) -> str:
    """Say what is wrong with an event."""
    kind = type(event).__name__
    if not isinstance(event, (Text, Thought, ToolCall, Usage)):
        return f"a {kind}, which is no AgentEvent: yield Text(…)"
    value: Any = event
    if isinstance(event, (Text, Thought)):
        return "" if isinstance(value.delta, str) else f"whose delta is a {type(value.delta).__name__}, not a str"
    if isinstance(event, Usage):
        counts = (value.input_tokens, value.output_tokens)
        return "" if all(count is None or isinstance(count, int) for count in counts) else "whose counts are no int"
    if not all(isinstance(text, str) for text in (value.id, value.title)):
        return "whose id and title must be str"
    return "" if value.status in _STATES else f"whose status is none of {', '.join(_STATES)}"


@check("backend", "hold", "streams")
async def an_answer_comes_piece_by_piece(rig: Any) -> None:
    """What the agent says is yielded when it says it, and not only when it has said all."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        await rig.hold()
        async with running(rig, session, new_turn(rig.question(new_word()))) as turn:
            await mid_answer(rig, turn)
            if not await whether(lambda: turn.text, rig.wait):
                saw(f"the agent had begun its answer, and {rig.wait:g} s later prompt had yielded no Text of it")
            await rig.let_go()
            await turn.over("the agent had come to the end of its answer, and prompt had not ended")


@check("backend", "instructed")
async def the_agent_has_its_instructions(rig: Any) -> None:
    """The agent is given chat.instructions."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        await answer(rig, session, rig.question(new_word()))
        told = await rig.instructed()
    expect(rig.instructions in told, f'the agent was told "{told[:300]}", and "{rig.instructions}" is not in it')


@check("backend", "reading")
async def a_file_is_within_reach(rig: Any) -> None:
    """A file that came with a message, under chat.folder/workspace, can be read by the agent."""
    chat, word = rig.chat(), new_word()
    folder = chat.folder / "workspace" / "attachments"
    folder.mkdir(exist_ok=True)
    letter = folder / "a letter.txt"
    letter.write_text(f"The word in this letter is {word}.\n")
    file = Attachment("a letter.txt", "text/plain", letter, letter.stat().st_size)
    async with rig.made() as backend, entered(rig, backend, chat) as session:
        heard = await answer(rig, session, new_turn(await rig.reading(file), [file]))
    expect(word in heard, f'asked to read {letter.relative_to(chat.folder)}, the agent said "{heard[:200]}"')


SHAPE: tuple[Check, ...] = (
    has_its_methods,
    a_question_is_answered,
    an_answer_is_made_of_events,
    an_answer_comes_piece_by_piece,
    the_agent_has_its_instructions,
    a_file_is_within_reach,
)
