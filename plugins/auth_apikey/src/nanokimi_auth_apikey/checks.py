"""Lines for ``nanokimi doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from anyio import to_thread

from nanokimi_auth_apikey.endpoints import MODELS
from nanokimi_auth_apikey.keys import find_keys, for_instance
from nanokimi_auth_apikey.settings import Settings
from nanokimi_core import Check, Context


async def check(settings: Settings, context: Context) -> Sequence[Check]:
    """Look for the keys and say where they would go, without asking the server."""
    found = await to_thread.run_sync(find_keys, settings, context.folder)
    name = f"{context.name}: key"
    keys = [Check(name, "ok", f"{key.tail} from {key.source}, for {settings.endpoint}") for key in found.keys]
    outcome: Literal["warning", "failed"] = "warning" if keys else "failed"
    problems = [
        Check(name, outcome, problem.cause, for_instance(problem.remedy, context.name)) for problem in found.problems
    ]
    return [*keys, *problems, _model(settings, context)]


def _model(settings: Settings, context: Context) -> Check:
    name = f"{context.name}: model"
    if settings.model_id in MODELS or settings.context_size is not None:
        return Check(name, "ok", f"{settings.model_id}, context of {settings.known.context_size} tokens")
    cause = f"the context size of {settings.model_id} is not known here; {settings.known.context_size} tokens assumed"
    return Check(name, "warning", cause, f"set context_size in [plugins.{context.name}]")
