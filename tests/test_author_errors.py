"""Errors that a plugin's author meets: each names the file and line, and says what to write instead."""

from __future__ import annotations

import re
import textwrap
from importlib import import_module
from types import FrameType

import anyio
import pytest

from nanokimi_core import ConfigError, PluginError
from nanokimi_core.logs import keep_secret, redact
from nanokimi_core.places import defined_at
from nanokimi_core.plugins import Kind, PluginHost
from nanokimi_core.shapes import flaw
from nanokimi_core.watchdog import culprit
from testbed.workshop import AUTH, BACKEND, GRANT, HOOKS, SEND, SESSION, TRANSPORT, Workshop, said, workshop

pytestmark = pytest.mark.anyio
__all__ = ["workshop"]  # the fixture


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


MADE: dict[str, tuple[Kind, str, str]] = {
    "no send": (
        "transport",
        TRANSPORT,
        "it gave Post ({@class}), which has no send(); add: async def send(self, message: Outbound) -> Receipt | None",
    ),
    "send is no method": (
        "transport",
        TRANSPORT + "\n    send = 'now'\n",
        "it gave Post ({@class}), whose send is no method but str; "
        "add: async def send(self, message: Outbound) -> Receipt | None",
    ),
    "send is a plain def": (
        "transport",
        TRANSPORT + "\n    def send(self, message):  #@here\n        return None\n",
        "it gave Post, whose send ({@here}) is a plain def; "
        "make it: async def send(self, message: Outbound) -> Receipt | None",
    ),
    "send has a yield": (
        "transport",
        TRANSPORT + "\n    async def send(self, message):  #@here\n        yield None\n",
        "it gave Post, whose send ({@here}) is a generator, since there is a yield in it; "
        "make it: async def send(self, message: Outbound) -> Receipt | None",
    ),
    "send takes no message": (
        "transport",
        TRANSPORT + "\n    async def send(self):  #@here\n        return None\n",
        "it gave Post, whose send ({@here}) is called with (message), and takes (); "
        "make it: async def send(self, message: Outbound) -> Receipt | None",
    ),
    "send takes more than it gets": (
        "transport",
        TRANSPORT + "\n    async def send(self, message, chat):  #@here\n        return None\n",
        "it gave Post, whose send ({@here}) is called with (message), and takes (message, chat); "
        "make it: async def send(self, message: Outbound) -> Receipt | None",
    ),
    "a claimed typing takes no chat": (
        "transport",
        TRANSPORT + SEND + "\n    async def typing(self, on):  #@here\n        pass\n",
        "it gave Post, whose typing ({@here}) is called with (chat, on), and takes (on); "
        "make it: async def typing(self, chat: str, on: bool) -> None",
    ),
    "a claimed draft is a plain def": (
        "transport",
        TRANSPORT + SEND + "\n    def draft(self, message: Outbound) -> None:  #@here\n        pass\n",
        "it gave Post, whose draft ({@here}) is a plain def; make it: async def draft(self, message: Outbound) -> None",
    ),
    "a claimed state is a coroutine": (
        "transport",
        TRANSPORT + SEND + "\n    async def state(self):  #@here\n        return ''\n",
        "it gave Post, whose state ({@here}) is a coroutine, and is called without await; make it: "
        "def state(self) -> str",
    ),
    "traits are a dict": (
        "transport",
        TRANSPORT + SEND + "\n    traits = {'max_text': 10}\n",
        "it gave Post ({@class}), whose traits are dict, not a Traits; write: traits = Traits(…)",
    ),
    "session is undecorated": (
        "backend",
        BACKEND
        + SESSION.replace("@asynccontextmanager  #@session\n    async", "async").replace("]:\n", "]:  #@here\n"),
        "it gave Post, whose session ({@here}) is an async generator, not an async context manager; "
        "put @asynccontextmanager (from contextlib) above it",
    ),
    "session is a coroutine": (
        "backend",
        BACKEND + "\n    async def session(self, chat):  #@here\n        return 7\n",
        "it gave Post, whose session ({@here}) is a coroutine, not an async context manager; make it: "
        "@asynccontextmanager async def session(self, chat: Chat) -> AsyncIterator[Session], with yield in it",
    ),
    "a claimed logs takes no lines": (
        "backend",
        BACKEND
        + "\n    async def agent_config(self, chat): ...\n    async def probe(self, chat, text):\n        yield\n"
        + "\n    async def logs(self, chat):  #@here\n        return ''\n"
        + SESSION,
        "it gave Post, whose logs ({@here}) is called with (chat, lines=…), and takes (chat); "
        "make it: async def logs(self, chat: Chat, *, lines: int) -> str",
    ),
    "background work wants an inbox": (
        "auth",
        AUTH + GRANT + "\n    async def run(self, inbox):  #@here\n        pass\n",
        "it gave Post, whose run ({@here}) is called with (), and takes (inbox); make it: async def run(self) -> None",
    ),
    "no grant": (
        "auth",
        AUTH,
        "it gave Post ({@class}), which has no grant(); add: async def grant(self, need: Need) -> Grant",
    ),
}


@pytest.mark.parametrize("what", MADE)
async def test_what_an_object_lacks_is_found_when_it_is_made(workshop: Workshop, what: str) -> None:
    kind, source, wanted = MADE[what]
    workshop.write(source + HOOKS[kind])
    workshop.publish()
    with pytest.raises(PluginError) as caught:
        await workshop.instance(kind).live(None)
    assert said(caught.value) == f'plugin "post" (nanokimi-post 1.0) failed to make "post": {workshop.told(wanted)}'


CREATED = {
    "gives nothing": (
        "def make(config, context):  #@make\n    Post(config, context)\n",
        "it gave NoneType, which has no run(); let create ({@make}) return the object",
    ),
    "is async": (
        "async def make(config, context):  #@make\n    return Post(config, context)\n",
        "it gave coroutine, which has no run(); "
        "let create ({@make}) return the object itself; what has to be awaited goes into __aenter__",
    ),
    "forgets to return itself when it is entered": (
        "class Kept(Post):\n"
        "    async def __aenter__(self):  #@here\n        self.open = True\n"
        "    async def __aexit__(self, *error): ...\n"
        "make = Kept\n",
        "it gave NoneType, which has no run(); let __aenter__ ({@here}) return the object",
    ),
    "is no context manager when it is left": (
        "class Kept(Post):  #@here\n    async def __aenter__(self):\n        return self\nmake = Kept\n",
        "it gave Kept ({@here}), which has __aenter__ and no __aexit__; "
        "add: async def __aexit__(self, *error: object) -> None",
    ),
    "gives the class": (
        "def make(config, context):  #@make\n    return Post\n",
        "it gave the class Post ({@class}), not an object of it; let create ({@make}) return Post(…)",
    ),
    "raises": (
        "def make(config, context):\n    return deeper()\ndef deeper():\n    raise LookupError('no ink')  #@here\n",
        "LookupError: no ink, at {@here} (deeper); mend or update it, or take it out of nanokimi.toml",
    ),
}


@pytest.mark.parametrize("what", CREATED)
async def test_a_create_that_gives_something_else_is_named_with_its_place(workshop: Workshop, what: str) -> None:
    source, wanted = CREATED[what]
    workshop.write(TRANSPORT + SEND + source + HOOKS["transport"].replace("Post)", "make)"))
    workshop.publish()
    with pytest.raises(PluginError) as caught:
        await workshop.instance().live(None)
    assert said(caught.value) == f'plugin "post" (nanokimi-post 1.0) failed to make "post": {workshop.told(wanted)}'


FINE = {
    "decorated": """
        def checked(method):
            async def around(*arguments):
                return await method(*arguments)
            return around
        class Post:
            @checked
            async def run(self, inbox): ...
            @checked
            async def send(self, message): ...
        """,
    "passes on": """
        class Client:
            async def send(self, message): ...
            async def run(self, inbox, more=None): ...
        class Post:
            def __init__(self):
                self.client = Client()
                self.send = self.client.send
            def run(self, inbox) -> Awaitable[None]:
                return self.client.run(inbox)
        """,
    "wraps without a word": """
        def wrapper(*arguments, **options): ...
        class Post:
            run = staticmethod(wrapper)
            async def send(self, message, *, retry=False): ...
        """,
    "has an attribute of its own that is called as a small contract's method": """
        class Post:
            typing = True
            async def run(self, inbox): ...
            async def send(self, message): ...
        """,
}


@pytest.mark.parametrize("what", FINE)
def test_an_object_that_works_is_not_refused_for_how_it_is_written(workshop: Workshop, what: str) -> None:
    workshop.write(textwrap.dedent(FINE[what]))
    post = import_module(workshop.module).Post
    assert defined_at(post).startswith(f"{workshop.file}:")
    assert flaw(post(), "transport") is None


async def test_a_secret_in_what_a_plugin_raises_is_not_shown_beside_the_place(
    workshop: Workshop,
) -> None:
    keep_secret("canary-of-a-secret")
    workshop.write(
        TRANSPORT.replace("inbox.ready()", "raise LookupError('canary-of-a-secret')  #@here")
        + SEND
        + HOOKS["transport"]
    )
    workshop.publish()
    it = workshop.instance()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            await tasks.start(it.live, lambda value: value.run(None))
            while not it.last_error:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    shown = redact(it.last_error)
    assert "canary" not in shown
    assert workshop.told("at {@here} (Post.run)") in shown


def test_a_plugin_that_the_core_brings_is_named_with_its_place_and_the_core_itself_is_not() -> None:
    echo = PluginHost().spec("backend", "echo").spec.create
    assert re.search(r"builtin/echo\.py:\d+$", defined_at(echo))
    assert defined_at(PluginHost.spec) == defined_at(PluginHost) == defined_at(re.compile) == ""


# --------------------------------------------------------------------- the table
TABLE = "\nclass PostConfig(BaseModel):  #@model\n    host: str\n    port: int = 1\n"
WITH_TABLE = "\n@hookimpl\ndef nanokimi_transports():\n    return [Spec('post', Post, config=PostConfig)]\n"


def test_a_needed_key_without_a_table_says_both_ways_to_give_it(workshop: Workshop) -> None:
    workshop.write(TRANSPORT + SEND + TABLE + WITH_TABLE)
    workshop.publish()
    with pytest.raises(ConfigError) as caught:
        workshop.instance()
    assert said(caught.value) == workshop.told(
        'nanokimi.toml: [plugins.post] "host" is needed: write host = … under [plugins.post], '
        "or let its author give it a default in PostConfig ({@model})"
    )


def test_a_needed_key_of_a_base_model_names_the_class_that_has_it(workshop: Workshop) -> None:
    source = TABLE + "\nclass Longer(PostConfig):\n    more: str = ''\n"
    workshop.write(TRANSPORT + SEND + source + WITH_TABLE.replace("PostConfig", "Longer"))
    workshop.publish()
    with pytest.raises(ConfigError) as caught:
        workshop.instance()
    assert said(caught.value).endswith(workshop.told("a default in PostConfig ({@model})"))


# --------------------------------------------------------------------- blocking
def test_who_blocks_the_loop_is_told_to_use_a_thread(workshop: Workshop) -> None:
    workshop.write(
        "import sys\n"
        + TRANSPORT
        + SEND
        + "\n    def block(self):\n        return sys._getframe()  #@here\n"
        + HOOKS["transport"]
    )
    workshop.publish()
    it = workshop.instance()
    frame: FrameType = import_module(workshop.module).Post(None, None).block()
    assert culprit(frame, [it]) == workshop.told(
        'plugin "post" (nanokimi-post 1.0) blocks the event loop at {@here} (Post.block); '
        "mend or update it, so that it awaits what takes time, or does it in a thread: "
        "await anyio.to_thread.run_sync(…); or take it out of nanokimi.toml"
    )
