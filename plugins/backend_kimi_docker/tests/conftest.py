"""What the backend's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.cloud import Cloud
from testbed.engine import engine, kimi_cli_image, kimi_image
from testbed.kimi import Bench

__all__ = ["bench", "cli_bench", "engine", "kimi_cli_image", "kimi_image"]


@pytest.fixture
def bench(tmp_path: Path, cloud: Cloud, kimi_image: str, engine: Any) -> Iterator[Bench]:
    bench = Bench(tmp_path, cloud, kimi_image)
    yield bench
    bench.clean(engine)


@pytest.fixture
def cli_bench(tmp_path: Path, cloud: Cloud, kimi_cli_image: str, engine: Any) -> Iterator[Bench]:
    bench = Bench(tmp_path, cloud, kimi_cli_image, agent="kimi-cli")
    yield bench
    bench.clean(engine)
