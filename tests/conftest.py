"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.cloud import Cloud


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as servers:
        yield servers
