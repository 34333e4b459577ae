"""An engine that takes a connection and then says nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import pytest

from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_core import AgentError, Failure


@pytest.mark.anyio
async def test_an_engine_that_does_not_answer_is_to_be_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    engine = Engine(timeout=0.3)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place))
        silent.listen(5)
        with pytest.raises(AgentError) as caught, anyio.fail_after(30):
            await engine.call(lambda client: client.info(), "say how it is")
    assert caught.value.kind is Failure.ENGINE
    assert str(caught.value) == f"Docker could not say how it is: the engine at unix://{place} does not answer"
    assert caught.value.remedy == "restart Docker (for example: sudo systemctl restart docker)"
