"""What plugin authors test with; re-exports only.

Everything here runs without Docker, without a network and without keys. Each name is imported from its module when it
is first asked for: pytest loads this package in every run where NanoKimi is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanokimi_core.testing.account import ScriptedAuth
    from nanokimi_core.testing.agent import (
        Answer,
        Gated,
        ScriptedBackend,
        ScriptedSession,
        Step,
        counting,
        failing,
        joining,
        mute,
        recalling,
        script,
        slow,
    )
    from nanokimi_core.testing.bot import Bot, BotChat
    from nanokimi_core.testing.clock import FakeClock
    from nanokimi_core.testing.conformance.auth.abilities import (
        Confirms,
        Declines,
        Expires,
        HasKeys,
        HasLoginFiles,
        Spoils,
    )
    from nanokimi_core.testing.conformance.backend.abilities import (
        BringsFailures,
        HearsQuestions,
        HoldsAnswers,
        ReadsFiles,
        SeesInstructions,
        SeesKeys,
    )
    from nanokimi_core.testing.conformance.backend.account import RigAccount
    from nanokimi_core.testing.conformance.checks import (
        CheckFailed,
        DoesNotApply,
        expect,
        saw,
        until,
        within,
    )
    from nanokimi_core.testing.conformance.rigs import AuthRig, BackendRig, ScriptedContext, TransportRig
    from nanokimi_core.testing.conformance.transport.abilities import (
        BringsAgain,
        BringsFiles,
        BringsReactions,
        ChangesMessages,
        CutsLines,
        FallsSilent,
        Forbids,
        HasThreads,
        LosesAnswers,
        Mentions,
        RefusesLines,
        RevokesMessages,
        SeesAcknowledgements,
        SeesTyping,
        ShowsFiles,
        Throttles,
        WritesAsAssistant,
        WritesGarbage,
        WritesToSelf,
    )
    from nanokimi_core.testing.conformance.transport.inbox import InboxRecord, ScriptedInbox
    from nanokimi_core.testing.installing import providing
    from nanokimi_core.testing.network import DraftingTransport, MemoryNetwork, MemoryTransport
    from nanokimi_core.testing.suites import AuthSuite, BackendSuite, TransportSuite

__all__ = [
    "Answer",
    "AuthRig",
    "AuthSuite",
    "BackendRig",
    "BackendSuite",
    "Bot",
    "BotChat",
    "BringsAgain",
    "BringsFailures",
    "BringsFiles",
    "BringsReactions",
    "ChangesMessages",
    "CheckFailed",
    "Confirms",
    "CutsLines",
    "Declines",
    "DoesNotApply",
    "DraftingTransport",
    "Expires",
    "FakeClock",
    "FallsSilent",
    "Forbids",
    "Gated",
    "HasKeys",
    "HasLoginFiles",
    "HasThreads",
    "HearsQuestions",
    "HoldsAnswers",
    "InboxRecord",
    "LosesAnswers",
    "MemoryNetwork",
    "MemoryTransport",
    "Mentions",
    "ReadsFiles",
    "RefusesLines",
    "RevokesMessages",
    "RigAccount",
    "ScriptedAuth",
    "ScriptedBackend",
    "ScriptedContext",
    "ScriptedInbox",
    "ScriptedSession",
    "SeesAcknowledgements",
    "SeesInstructions",
    "SeesKeys",
    "SeesTyping",
    "ShowsFiles",
    "Spoils",
    "Step",
    "Throttles",
    "TransportRig",
    "TransportSuite",
    "WritesAsAssistant",
    "WritesGarbage",
    "WritesToSelf",
    "counting",
    "expect",
    "failing",
    "joining",
    "mute",
    "providing",
    "recalling",
    "saw",
    "script",
    "slow",
    "until",
    "within",
]

_HOMES = {
    "conformance.auth.abilities": ("Confirms", "Declines", "Expires", "HasKeys", "HasLoginFiles", "Spoils"),
    "conformance.backend.abilities": (
        "BringsFailures",
        "HearsQuestions",
        "HoldsAnswers",
        "ReadsFiles",
        "SeesInstructions",
        "SeesKeys",
    ),
    "conformance.backend.account": ("RigAccount",),
    "conformance.transport.abilities": (
        "BringsAgain",
        "BringsFiles",
        "BringsReactions",
        "ChangesMessages",
        "CutsLines",
        "FallsSilent",
        "Forbids",
        "HasThreads",
        "LosesAnswers",
        "Mentions",
        "RefusesLines",
        "RevokesMessages",
        "SeesAcknowledgements",
        "SeesTyping",
        "ShowsFiles",
        "Throttles",
        "WritesAsAssistant",
        "WritesGarbage",
        "WritesToSelf",
    ),
    "conformance.transport.inbox": ("InboxRecord", "ScriptedInbox"),
    "conformance.checks": ("CheckFailed", "DoesNotApply", "expect", "saw", "until", "within"),
    "conformance.rigs": ("AuthRig", "BackendRig", "ScriptedContext", "TransportRig"),
    "account": ("ScriptedAuth",),
    "agent": (
        "Answer",
        "Gated",
        "ScriptedBackend",
        "ScriptedSession",
        "Step",
        "counting",
        "failing",
        "joining",
        "mute",
        "recalling",
        "script",
        "slow",
    ),
    "bot": ("Bot", "BotChat"),
    "clock": ("FakeClock",),
    "installing": ("providing",),
    "network": ("DraftingTransport", "MemoryNetwork", "MemoryTransport"),
    "suites": ("AuthSuite", "BackendSuite", "TransportSuite"),
}

if not TYPE_CHECKING:  # a type checker would take a module's __getattr__ for any name at all

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
