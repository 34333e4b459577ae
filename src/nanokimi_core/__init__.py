"""What plugin authors import; re-exports only.

Each name is imported from its module when it is first asked for: reading the version, or starting a command, costs no
more than it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanokimi_core.contracts.auth import (
        AgentCommands,
        Auth,
        AuthStatus,
        Grant,
        ImportsLogin,
        LogsIn,
        LogsOut,
        Mount,
        Need,
        Quota,
        Refreshes,
        ShowCode,
        TakesKey,
        UsesAgent,
    )
    from nanokimi_core.contracts.backend import (
        AgentConfig,
        AgentEvent,
        AgentModel,
        AgentProvider,
        Backend,
        BuildsImage,
        Chat,
        HasRoom,
        ImageStatus,
        Inspectable,
        OffersAgentCommands,
        Session,
        Text,
        Thought,
        Timing,
        ToolCall,
        Turn,
        Usage,
    )
    from nanokimi_core.contracts.plugin import Check, Context, HasBackgroundWork, Invocation, NoConfig, Progress
    from nanokimi_core.contracts.transport import (
        EditsDrafts,
        HasTraits,
        Inbox,
        KnowsOwner,
        ListsMembers,
        ShowsTyping,
        TellsState,
        Traits,
        Transport,
    )
    from nanokimi_core.conversation.prompt import prompt_text
    from nanokimi_core.errors import (
        AccountAway,
        AgentError,
        CommandError,
        ConfigError,
        Failure,
        FolderInUse,
        LoginNeeded,
        NanoKimiError,
        NetworkAway,
        NotAccepted,
        NotSent,
        PluginError,
        Undeliverable,
    )
    from nanokimi_core.files import private_folder, safe_name, write_private
    from nanokimi_core.hookspecs import Spec, hookimpl
    from nanokimi_core.logs import keep_secret
    from nanokimi_core.messages import Attachment, Inbound, Outbound, Receipt
    from nanokimi_core.quotas import balance_of, quotas_of, warnings_of
    from nanokimi_core.refusals import Refusals
    from nanokimi_core.settings import BaseUrl, Capability, ModelId, TomlPath, matching, refuse

__version__ = "0.1.0"

__all__ = [
    "AccountAway",
    "AgentCommands",
    "AgentConfig",
    "AgentError",
    "AgentEvent",
    "AgentModel",
    "AgentProvider",
    "Attachment",
    "Auth",
    "AuthStatus",
    "Backend",
    "BaseUrl",
    "BuildsImage",
    "Capability",
    "Chat",
    "Check",
    "CommandError",
    "ConfigError",
    "Context",
    "EditsDrafts",
    "Failure",
    "FolderInUse",
    "Grant",
    "HasBackgroundWork",
    "HasRoom",
    "HasTraits",
    "ImageStatus",
    "ImportsLogin",
    "Inbound",
    "Inbox",
    "Inspectable",
    "Invocation",
    "KnowsOwner",
    "ListsMembers",
    "LoginNeeded",
    "LogsIn",
    "LogsOut",
    "ModelId",
    "Mount",
    "NanoKimiError",
    "Need",
    "NetworkAway",
    "NoConfig",
    "NotAccepted",
    "NotSent",
    "OffersAgentCommands",
    "Outbound",
    "PluginError",
    "Progress",
    "Quota",
    "Receipt",
    "Refreshes",
    "Refusals",
    "Session",
    "ShowCode",
    "ShowsTyping",
    "Spec",
    "TakesKey",
    "TellsState",
    "Text",
    "Thought",
    "Timing",
    "TomlPath",
    "ToolCall",
    "Traits",
    "Transport",
    "Turn",
    "Undeliverable",
    "Usage",
    "UsesAgent",
    "balance_of",
    "hookimpl",
    "keep_secret",
    "matching",
    "private_folder",
    "prompt_text",
    "quotas_of",
    "refuse",
    "safe_name",
    "warnings_of",
    "write_private",
]

_HOMES = {
    "contracts.auth": (
        "AgentCommands",
        "Auth",
        "AuthStatus",
        "Grant",
        "ImportsLogin",
        "LogsIn",
        "LogsOut",
        "Mount",
        "Need",
        "Quota",
        "Refreshes",
        "ShowCode",
        "TakesKey",
        "UsesAgent",
    ),
    "contracts.backend": (
        "AgentConfig",
        "AgentEvent",
        "AgentModel",
        "AgentProvider",
        "Backend",
        "BuildsImage",
        "Chat",
        "HasRoom",
        "ImageStatus",
        "Inspectable",
        "OffersAgentCommands",
        "Session",
        "Text",
        "Thought",
        "Timing",
        "ToolCall",
        "Turn",
        "Usage",
    ),
    "contracts.plugin": (
        "Check",
        "Context",
        "HasBackgroundWork",
        "Invocation",
        "NoConfig",
        "Progress",
    ),
    "contracts.transport": (
        "EditsDrafts",
        "HasTraits",
        "Inbox",
        "KnowsOwner",
        "ListsMembers",
        "ShowsTyping",
        "TellsState",
        "Traits",
        "Transport",
    ),
    "conversation.prompt": ("prompt_text",),
    "errors": (
        "AccountAway",
        "AgentError",
        "CommandError",
        "ConfigError",
        "Failure",
        "FolderInUse",
        "LoginNeeded",
        "NanoKimiError",
        "NetworkAway",
        "NotAccepted",
        "NotSent",
        "PluginError",
        "Undeliverable",
    ),
    "files": (
        "private_folder",
        "safe_name",
        "write_private",
    ),
    "hookspecs": (
        "Spec",
        "hookimpl",
    ),
    "logs": ("keep_secret",),
    "messages": (
        "Attachment",
        "Inbound",
        "Outbound",
        "Receipt",
    ),
    "quotas": (
        "balance_of",
        "quotas_of",
        "warnings_of",
    ),
    "refusals": ("Refusals",),
    "settings": (
        "BaseUrl",
        "Capability",
        "ModelId",
        "TomlPath",
        "matching",
        "refuse",
    ),
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
