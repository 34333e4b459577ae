"""Several keys under a whole core: a turn whose key is refused is answered with the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import AgentError, AgentEvent, Failure, Text, Turn
from nanokimi_core.testing import Bot, ScriptedBackend, ScriptedSession

pytestmark = pytest.mark.anyio

KEYS = [f"odd-canary-{name}-0123456789-{name[0] * 4}" for name in ("first", "other", "third")]
REFUSALS = {
    "401": AgentError(Failure.CREDENTIALS, f"Error code: 401 - Invalid Authentication, unlike {KEYS[2]}"),
    "429": AgentError(Failure.QUOTA, f"Error code: 429 - insufficient balance, unlike {KEYS[2]}"),
}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Model(ScriptedBackend):
    """A model that refuses keys.

    Attributes:
        refuses: What each of these keys is answered with.
        keys: With which it was asked.
    """

    def __init__(self) -> None:
        super().__init__(self._answer, needs_grant=True)
        self.refuses: dict[str, AgentError] = {}
        self.keys: list[str] = []

    async def _answer(self, session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        assert session.grant is not None
        assert session.grant.api_key is not None
        key = session.grant.api_key.get_secret_value()
        self.keys.append(key)
        if key in self.refuses:
            raise self.refuses[key]
        yield Text(f"{turn.messages[-1].text} by {key[-4:]}")


def table(folder: Path) -> dict[str, Any]:
    files = []
    for number, key in enumerate(KEYS):
        file = folder / f"key-{number}"
        file.write_text(key)
        file.chmod(0o600)
        files.append({"file": str(file)})
    return {"plugins": {"apikey": {"keys": files, "base_url": "http://127.0.0.1:9/v1", "usage_minutes": 0}}}


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_turn_whose_keys_are_refused_is_answered_with_the_next_one_that_works(tmp_path: Path, why: str) -> None:
    model = Model()
    async with Bot(tmp_path / "bot", backend=model, auth="apikey", toml=table(tmp_path)) as bot:
        await bot.says("one")
        assert (await bot.answer()).text == "one by ffff"
        model.refuses = {KEYS[0]: REFUSALS[why], KEYS[1]: REFUSALS[why]}
        model.keys.clear()
        for text in ("two", "three"):
            await bot.says(text)
            assert (await bot.answer()).text == f"{text} by tttt"
        assert list(dict.fromkeys(model.keys)) == KEYS  # each in its turn, a refused one not again
        assert model.keys[-2:] == [KEYS[2]] * 2
        shown = "\n".join([*bot.log, *bot.told])
        assert "…ffff is set aside" in shown
        assert not any(key[:-4] in shown for key in KEYS)
