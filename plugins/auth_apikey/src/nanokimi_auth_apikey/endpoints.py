"""Where an API key is good, and what runs there by default.

Model ids, context sizes and inputs are those of the model catalogue that kimi-code 2.1.0 ships (``moonshotai``,
``moonshotai-cn``, ``kimi-code-plan-cn``, ``kimi-code-plan-global``); the account's own ``GET {base_url}/models`` is
what counts, and ``model``, ``context_size`` and ``capabilities`` can be set. The platform has retired ``kimi-latest``
and the K2 previews.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Account = Literal["platform", "kimi-code"]
Region = Literal["cn", "ai"]

BASE_URLS: dict[tuple[Account, Region], str] = {
    ("platform", "cn"): "https://api.moonshot.cn/v1",
    ("platform", "ai"): "https://api.moonshot.ai/v1",
    ("kimi-code", "cn"): "https://api.kimi.com/coding/v1",
    ("kimi-code", "ai"): "https://api.kimi.ai/coding/v1",
}

DEFAULT_MODELS: dict[Account, str] = {"platform": "kimi-k2.6", "kimi-code": "kimi-for-coding"}
"""``kimi-k2.6``: general purpose, and its thinking can be switched off, which NanoKimi does by default; ``kimi-k3``
and ``kimi-k2.7-code`` think always."""


@dataclass(frozen=True)
class Model:
    """What is known of a model.

    Attributes:
        context_size: In tokens.
        capabilities: In words that both agents know.
    """

    context_size: int
    capabilities: frozenset[str]


_SEES = frozenset({"image_in", "video_in"})
_THINKS = frozenset({"thinking"})
_ALWAYS_THINKS = frozenset({"thinking", "always_thinking"})

MODELS: dict[str, Model] = {
    "kimi-k2.5": Model(262_144, _SEES | _THINKS),
    "kimi-k2.6": Model(262_144, _SEES | _THINKS),
    "kimi-k2.7-code": Model(262_144, _SEES | _ALWAYS_THINKS),
    "kimi-k2.7-code-highspeed": Model(262_144, _SEES | _ALWAYS_THINKS),
    "kimi-k3": Model(1_048_576, _SEES | _ALWAYS_THINKS),
    # The catalogue says 1,048,576; how much of it an account has depends on its plan, and this much all have.
    "kimi-for-coding": Model(262_144, _SEES | _THINKS),
    "kimi-for-coding-highspeed": Model(262_144, _SEES | _THINKS),
    "k3": Model(262_144, _SEES | _ALWAYS_THINKS),
    "k3-256k": Model(262_144, frozenset({"image_in"}) | _ALWAYS_THINKS),
}

UNKNOWN_MODEL = Model(131_072, frozenset())
"""Of a model that is not in the list: small enough for nearly all, since a size that is too large loses turns."""


def account_at(base_url: str) -> Account | None:
    """Say whose API a base URL is; ``None`` for a server that is not Moonshot's."""
    parts = urlsplit(base_url)
    if parts.hostname in ("api.kimi.com", "api.kimi.ai") and parts.path.startswith("/coding"):
        return "kimi-code"
    if parts.hostname in ("api.moonshot.cn", "api.moonshot.ai"):
        return "platform"
    return None
