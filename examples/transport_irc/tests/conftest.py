"""A server and people for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nanokimi_transport_irc.trial.ircd import Ngircd
from nanokimi_transport_irc.trial.person import Person
from nanokimi_transport_irc.trial.proxy import Proxy


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ircd(tmp_path: Path) -> Iterator[Ngircd]:
    with Ngircd(tmp_path) as server:
        yield server


@pytest.fixture
def person(ircd: Ngircd) -> Iterator[Callable[..., Person]]:
    """Bring a person to the server: a nick, and channels."""
    with ExitStack() as people:
        yield lambda nick, *channels, port=ircd.port: people.enter_context(closing(Person(port, nick, *channels)))


@pytest.fixture
def proxy(ircd: Ngircd) -> Iterator[Proxy]:
    with closing(Proxy(ircd.port)) as line:
        yield line
