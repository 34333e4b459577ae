"""Lines for ``nanokimi doctor``."""

from __future__ import annotations

from collections.abc import Sequence

from anyio import to_thread

from nanokimi_auth_apikey.endpoints import MODELS
from nanokimi_auth_apikey.keys import KeyProblem, find_key, for_instance
from nanokimi_auth_apikey.settings import Settings
from nanokimi_core import Check, Context


async def check(settings: Settings, context: Context) -> Sequence[Check]:
    """Look for the key and say where it would go, without asking the server."""
    return [await _key(settings, context), _model(settings, context)]


async def _key(settings: Settings, context: Context) -> Check:
    name = f"{context.name}: key"
    try:
        key = await to_thread.run_sync(find_key, settings, context.folder)
    except KeyProblem as problem:
        return Check(name, "failed", problem.cause, for_instance(problem.remedy, context.name))
    return Check(name, "ok", f"{key.tail} from {key.source}, for {settings.endpoint}")


def _model(settings: Settings, context: Context) -> Check:
    name = f"{context.name}: model"
    if settings.model_id in MODELS or settings.context_size is not None:
        return Check(name, "ok", f"{settings.model_id}, context of {settings.known.context_size} tokens")
    cause = f"the context size of {settings.model_id} is not known here; {settings.known.context_size} tokens assumed"
    return Check(name, "warning", cause, f"set context_size in [plugins.{context.name}]")
