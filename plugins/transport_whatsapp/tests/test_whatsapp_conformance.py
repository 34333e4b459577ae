"""What the core wants of a transport, with the real library on the stand-in for WhatsApp's servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from whatsapp_testbed.rig import GroupRig, OwnNumberRig, Scene, WhatsAppRig

from nanokimi_core.testing import TransportSuite

pytestmark = pytest.mark.whatsapp


def all_but(*names: str) -> dict[str, str]:
    """Excuse a rig from all checks but these: the others are tried in the direct chat, and each starts a process."""
    if unknown := set(names) - {check.name for check in TransportSuite.checks}:
        raise ValueError(f"there are no such checks: {unknown}")
    return {check.name: "tried in the direct chat" for check in TransportSuite.checks if check.name not in names}


class OnAsyncio(WhatsAppRig):
    loops = ("asyncio",)


class OnTrio(WhatsAppRig):
    loops = ("trio",)
    excused = all_but(
        "delivers what somebody writes",
        "lets a refusal out of run",
        "sends several at once",
        "survives a send that is cancelled",
        "ends while it delivers",
        "delivers once however often it ran",
        "leaves nothing behind",
        "brings files",
    )


class InGroup(GroupRig):
    loops = ("asyncio",)
    excused = all_but(
        "delivers what somebody writes",
        "keeps the order",
        "shows what is sent",
        "shows typing and ends it",
        "brings an edit",
        "brings a reaction",
        "notices a mention",
    )


class OwnNumber(OwnNumberRig):
    loops = ("asyncio",)
    excused = all_but("delivers what somebody writes", "knows its own messages", "knows its owners chat")


@pytest.fixture(scope="module", autouse=True)
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server, one friend and one linked account for all."""
    with Scene(tmp_path_factory.mktemp("whatsapp")) as scene:
        WhatsAppRig.scene = scene
        yield scene
        WhatsAppRig.scene = None
        assert scene.server.strangers() == []


class TestDirectChat(TransportSuite):
    rig = OnAsyncio


class TestOnTrio(TransportSuite):
    rig = OnTrio


class TestGroup(TransportSuite):
    rig = InGroup


class TestOwnNumber(TransportSuite):
    rig = OwnNumber
