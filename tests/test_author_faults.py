"""What a plugin does wrong while it runs is logged for its author: with file and line, and what to do instead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import Spec
from nanokimi_core.config import Location, Settings
from nanokimi_core.plugins import Kind, PluginHost, installed
from nanokimi_core.runtime import Assistant
from testbed.fakes import MemoryTransport, ScriptedAuth, ScriptedBackend, counting, plugin, providing
from testbed.workshop import AUTH, BACKEND, HOOKS, SEND, SESSION, TRANSPORT, Workshop, workshop

pytestmark = pytest.mark.anyio
__all__ = ["workshop"]  # the fixture


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


PROMPTS = {
    "is a coroutine": (
        "    async def prompt(self, turn):  #@here\n        return 'yes'\n",
        "whose prompt ({@here}) is a coroutine, not an async generator: there is no yield in it; "
        "make it: async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent], with yield in it",
    ),
    "is a plain generator": (
        "    def prompt(self, turn):  #@here\n        yield Text('yes')\n",
        "whose prompt ({@here}) is a plain generator, not an async one; "
        "make it: async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent], with yield in it",
    ),
    "takes no turn": (
        "    async def prompt(self):  #@here\n        yield Text('yes')\n",
        "whose prompt ({@here}) is called with (turn), and takes (); "
        "make it: async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent], with yield in it",
    ),
}


MET: dict[str, tuple[Kind, str, str]] = {
    **{
        f"prompt {what}": ("backend", BACKEND + SESSION + source, f"in the session of net:desk: it gave Talk, {wanted}")
        for what, (source, wanted) in PROMPTS.items()
    },
    "session gives what can't be entered": (
        "backend",
        BACKEND + "\n    def session(self, chat) -> AbstractAsyncContextManager:\n        return 7\n",
        "in the session of net:desk: it returned int, not an async context manager",
    ),
    "session gives an undecorated generator": (
        "backend",
        BACKEND
        + "\n    def session(self, chat) -> Any:\n        return self.talk()\n"
        + "\n    async def talk(self):  #@here\n        yield 7\n",
        "in the session of net:desk: it returned async_generator, not an async context manager; "
        "let Post.talk ({@here}) yield what it makes, with @asynccontextmanager above it",
    ),
    "a session can't be cancelled": (
        "backend",
        BACKEND + SESSION.replace("    async def cancel(self) -> None: ...", "    prompt = 7"),
        "in the session of net:desk: it gave Talk ({@talk}), whose prompt is no method but int; "
        "add: async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent], with yield in it",
    ),
    "session yields nothing": (
        "backend",
        BACKEND + SESSION.replace("        yield Talk()", "        yield"),
        "in the session of net:desk: it gave NoneType, which has no prompt(); "
        "let session ({@session}) yield the object",
    ),
    "prompt yields a str": (
        "backend",
        BACKEND + SESSION + "\n    async def prompt(self, turn):  #@here\n        yield 'yes'\n",
        "in a turn: its prompt gave str, which is no event; "
        "let Talk.prompt ({@here}) yield Text(…), Thought, ToolCall or Usage only",
    ),
    "prompt yields a text of a number": (
        "backend",
        BACKEND + SESSION + "\n    async def prompt(self, turn):  #@here\n        yield Text(7)\n",
        "in a turn: its prompt gave a Text of int, which is no event; let Talk.prompt ({@here}) yield Text(…)",
    ),
    "send gives a str": (
        "transport",
        TRANSPORT.replace("inbox.ready()", "await bring(inbox)")
        + "\n    async def send(self, message):  #@here\n        return 'sent'\n",
        "to send to desk: it returned str, not Receipt or None, in Post.send ({@here}); let it return Receipt or None",
    ),
    "grant gives a str": (
        "auth",
        AUTH
        + "\n    async def status(self): ...\n"
        + "\n    async def grant(self, need):  #@here\n        return 'yes'\n",
        "to give a grant: it returned str, not Grant, in Post.grant ({@here}); mend",
    ),
    "run raises": (
        "transport",
        TRANSPORT.replace("inbox.ready()", "self.listen()")
        + SEND
        + "\n    def listen(self):\n        json.loads('{')  #@here\n",
        'while "post" was running: JSONDecodeError: Expecting property name enclosed in double quotes: '
        "line 1 column 2 (char 1), at {@here} (Post.listen); mend",
    ),
    "run raises in a task of its own": (
        "transport",
        TRANSPORT.replace("inbox.ready()", "await self.listen()")
        + SEND
        + "\n    async def listen(self):\n        async with anyio.create_task_group() as tasks:\n"
        + "            tasks.start_soon(self.read)\n"
        + "\n    async def read(self):\n        raise LookupError('no ink')  #@here\n",
        'while "post" was running: LookupError: no ink, at {@here} (Post.read); mend',
    ),
    "send raises": (
        "transport",
        TRANSPORT.replace("inbox.ready()", "await bring(inbox)")
        + "\n    async def send(self, message):\n        raise LookupError('no ink')  #@here\n",
        "post could not send to desk (attempt 1): LookupError: no ink, at {@here} (Post.send)",
    ),
    "send raises behind a library's decorator": (
        "transport",
        TRANSPORT.replace("inbox.ready()", "await bring(inbox)")
        + "\n    @tried_again\n    async def send(self, message):\n        raise LookupError('no ink')  #@here\n",
        "post could not send to desk (attempt 1): LookupError: no ink, at {@here} (Post.send)",
    ),
    "grant raises in a task of its own": (
        "auth",
        AUTH
        + "\n    async def status(self): ...\n"
        + "\n    async def grant(self, need):\n        async with anyio.create_task_group() as tasks:\n"
        + "            tasks.start_soon(self.ask)\n"
        + "\n    async def ask(self):\n        raise LookupError('no ink')  #@here\n",
        'the account "post" has a fault: LookupError: no ink, at {@here} (Post.ask)',
    ),
    "prompt raises": (
        "backend",
        BACKEND
        + SESSION
        + "\n    async def prompt(self, turn):\n        raise LookupError('no ink')  #@here\n        yield\n",
        "backend post has a fault: LookupError: no ink, at {@here} (Talk.prompt)",
    ),
    "grant raises": (
        "auth",
        AUTH
        + "\n    async def status(self): ...\n"
        + "\n    async def grant(self, need):\n        raise LookupError('no ink')  #@here\n",
        'the account "post" has a fault: LookupError: no ink, at {@here} (Post.grant)',
    ),
}
LIBRARY = """
import functools
def tried_again(method):
    @functools.wraps(method)
    async def tried(*arguments):
        return await method(*arguments)
    return tried
"""
BRING = """
from post_library import tried_again
import json
from contextlib import AbstractAsyncContextManager
from typing import Any
import anyio
async def bring(inbox):
    inbox.ready()
    await inbox.deliver(Inbound('1', 'desk', 'ana', 'hello'))
    await anyio.sleep_forever()
"""


def assistant(folder: Path, kind: Kind, net: MemoryTransport) -> Assistant:
    """Put a plugin among others that do as they should."""
    others: dict[str, Any] = {
        "transports": ("net", net),
        "backends": ("brain", ScriptedBackend(counting, needs_grant=kind == "auth")),
        "auths": ("purse", ScriptedAuth()),
    }
    plugins = [
        plugin(name, providing(**{hook: [Spec(name, lambda config, context, it=value: it)]}))  # type: ignore[misc]
        for hook, (name, value) in others.items()
    ]
    used = {"transport": "net", "backend": "brain", "auth": "purse"} | {kind: "post"}
    toml = {
        "transports": [used.pop("transport")],
        **used,
        "chats": {"net:*": {}, "post:*": {}},
        "limits": {"max_attempts": 1, "send_attempts": 1},
    }
    host = PluginHost([*plugins, *(each for each in installed() if each.name == "post")])
    made = Assistant(Settings.model_validate(toml), Location(None, folder / "data"), host)
    made.prepare()
    return made


@pytest.mark.parametrize("what", MET)
async def test_what_a_plugin_does_wrong_is_logged_with_its_place(
    workshop: Workshop,
    tmp_path: Path,
    what: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, source, wanted = MET[what]
    monkeypatch.delitem(sys.modules, "post_library", raising=False)
    (workshop.folder / "post_library.py").write_text(LIBRARY)
    workshop.write(BRING + source + HOOKS[kind])
    workshop.publish()
    net = MemoryTransport()
    it = assistant(tmp_path, kind, net)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.run)
            if kind != "transport":
                await net.say("hello")
            while workshop.told(wanted) not in caplog.text:
                await anyio.sleep(0.01)
            it.stop()
