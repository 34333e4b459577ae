"""``nanokimi debug``: the three questions that everyone debugging a Kimi container asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import anyio
import typer

from nanokimi_core.cli.guard import FAILED
from nanokimi_core.cli.opening import Setup, blamed, closed_after, find_setup
from nanokimi_core.cli.options import Config, Json, command, new_group
from nanokimi_core.cli.output import say, say_json, say_table
from nanokimi_core.contracts.backend import AgentConfig, Chat, Inspectable, Text, Timing
from nanokimi_core.conversation.turns import Seat
from nanokimi_core.errors import CommandError

T = TypeVar("T")

_PROMPT = "Answer with one word: ready?"

ChatId = Annotated[
    str,
    typer.Option("--chat", metavar="ID", help='The chat, as "transport:chat", whose rules, account and folder hold.'),
]

app = new_group(
    "Look at the agent in its container.", "nanokimi debug config", "nanokimi debug probe", "nanokimi debug logs"
)


@command(app, "config", "nanokimi debug config", 'nanokimi debug config --chat "line:desk"')
def config_(ctx: typer.Context, chat: ChatId = "console:local", json: Json = False, config: Config = None) -> None:
    """Print the config that the agent sees.

    Read in its container: default model, models, providers, whether each has a key or a login. Exits with 1 when
    something is missing there, and says what.
    """

    async def look(backend: Inspectable, seat: Chat) -> AgentConfig:
        return await backend.agent_config(seat)

    seen = _ask(find_setup(ctx, config), chat, look, "to read the agent's config")
    problems = missing_in(seen)
    if json:
        say_json({**asdict(seen), "problems": problems})
    else:
        _show_config(seen, problems)
    if problems:
        raise typer.Exit(FAILED)


@command(app, "probe", "nanokimi debug probe", 'nanokimi debug probe "Which model are you?"')
def probe(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to ask.", show_default=False)] = _PROMPT,
    chat: ChatId = "console:local",
    json: Json = False,
    config: Config = None,
) -> None:
    """Ask the agent one short thing, and time it.

    Straight to the agent, in a conversation of its own that is thrown away; each stage is timed.
    """
    timings: list[Timing] = []
    said: list[str] = []

    async def ask(backend: Inspectable, seat: Chat) -> None:
        async with closed_after(backend.probe(seat, text)) as events:
            async for event in events:
                if isinstance(event, Text):
                    said.append(event.delta)
                else:
                    timings.append(event)

    try:
        _ask(find_setup(ctx, config), chat, ask, "to probe the agent")
    finally:
        if timings and not json:
            _show_timings(timings)
    answer = "".join(said).strip()
    if json:
        say_json({"timings": [asdict(timing) for timing in timings], "answer": answer})
    else:
        say(f"\n{answer or 'The agent ended the turn without a word.'}")
    if not answer:
        raise typer.Exit(FAILED)


@command(app, "logs", "nanokimi debug logs", "nanokimi debug logs --lines 500")
def logs(
    ctx: typer.Context,
    chat: ChatId = "console:local",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="How many.")] = 100,
    config: Config = None,
) -> None:
    """Print the last lines of the agent's log."""

    async def read(backend: Inspectable, seat: Chat) -> str:
        return await backend.logs(seat, lines=lines)

    text = _ask(find_setup(ctx, config), chat, read, "to read the agent's log")
    if not text.strip():
        raise CommandError(f"the agent of {chat} has logged nothing yet", remedy="try first: nanokimi debug probe")
    say(text.rstrip("\n"))


def missing_in(seen: AgentConfig) -> list[str]:
    """Say what an agent's config lacks."""
    models = {model.name: model for model in seen.models}
    providers = {provider.name for provider in seen.providers}
    problems = []
    if not seen.default_model:
        problems.append("there is no default model: the agent will say that the LLM is not set")
    elif seen.default_model not in models:
        problems.append(f'the default model "{seen.default_model}" is not among the models: "LLM is not set"')
    problems += [
        f'the provider "{model.provider}" of the model "{model.name}" is not among the providers'
        for model in seen.models
        if model.provider not in providers
    ]
    problems += [
        f'the provider "{provider.name}" has neither a key nor a login'
        for provider in seen.providers
        if not (provider.has_key or provider.has_oauth)
    ]
    return problems


def _ask(setup: Setup, chat: str, question: Callable[[Any, Chat], Awaitable[T]], doing: str) -> T:
    """Put a question to the backend of a chat.

    Raises:
        CommandError: The chat is unknown, or its backend can't be looked into.
        AgentError: The agent can't be brought up.
        LoginNeeded: The account has no valid credentials.
    """
    rules = setup.settings.rules([chat])
    if ":" not in chat or not rules.known:
        raise CommandError(
            f'the toml knows no chat "{chat}"', remedy='name one as "transport:chat" that a table [chats."…"] lets in'
        )
    assistant = setup.assistant(transports=())

    async def ask() -> T:
        async with assistant.without_transports():
            seat: Seat = assistant.conversation.seats.seat(chat, rules)
            if not isinstance(seat.backend, Inspectable):
                raise CommandError(
                    f'the backend "{rules.backend}" has no agent to look into',
                    remedy="choose another backend with: nanokimi init",
                )
            with blamed(assistant.instances[f"backend {rules.backend}"].provided.plugin, doing):
                return await question(seat.backend, seat.chat)

    return anyio.run(ask)


def _show_config(seen: AgentConfig, problems: list[str]) -> None:
    say(f"agent          {seen.agent}\nconfig         {seen.path}\ndefault model  {seen.default_model or 'none'}\n")
    say_table(["model", "provider", "model of the server"], [[m.name, m.provider, m.model] for m in seen.models])
    say()
    say_table(
        ["provider", "type", "base URL", "key", "OAuth"],
        [[p.name, p.kind, p.base_url, _yes(p.has_key), _yes(p.has_oauth)] for p in seen.providers],
    )
    for problem in problems:
        say(f"\n-> {problem}")


def _show_timings(timings: list[Timing]) -> None:
    rows = []
    before = 0.0
    for timing in timings:
        rows.append([timing.stage, f"{timing.seconds - before:.3f} s", f"{timing.seconds:.3f} s"])
        before = timing.seconds
    say_table(["stage", "took", "since the start"], rows)


def _yes(there: bool) -> str:
    return "yes" if there else "no"
