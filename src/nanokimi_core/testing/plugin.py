"""The pytest plugin: fixtures for tests of plugins. pytest finds it by itself where NanoKimi is installed.

It is imported in every run of pytest there, so what the fixtures need is imported when one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nanokimi_core.testing.bot import Bot
    from nanokimi_core.testing.clock import FakeClock


@pytest.fixture
def nanokimi_clock() -> FakeClock:
    """A clock that the test moves on; let ``anyio_backend`` return ``nanokimi_clock.backend()``."""
    from nanokimi_core.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def nanokimi_bot(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Bot]:
    """What makes a whole bot, in a folder of its own; its arguments are those of ``Bot``, which a test enters."""
    from nanokimi_core.testing.bot import Bot

    clock = request.getfixturevalue("nanokimi_clock") if "nanokimi_clock" in request.fixturenames else None
    bots = count(1)

    def make(**options: Any) -> Bot:
        return Bot(tmp_path / f"bot-{next(bots)}", **{"clock": clock, **options})

    return make
