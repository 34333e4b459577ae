"""The child process that looks at one plugin: ``python -m nanokimi_core.cli.look``, for ``plugins`` and ``doctor``.

It prints one line of JSON. Whatever the plugin does at import (prints, hangs, ends the process, crashes), it does here.

    plugin NAME               import it and name what it provides
    table NAME TOML           check the table of an instance that the toml doesn't use
    instance KIND NAME TOML   make an instance as the toml says, ask its checks and how many agents have room
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from nanokimi_core.errors import NanoKimiError
from nanokimi_core.plugins import PluginHost


def main() -> None:
    """Answer what the arguments ask, and end without waiting for threads that a plugin has started."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        answer = _answer(sys.argv[1:])
    except NanoKimiError as error:
        answer = {"error": {"cause": error.message, "remedy": error.remedy}}
    except OSError as error:
        answer = {"error": {"cause": str(error), "remedy": "mend that, and run it again"}}
    answers.write(json.dumps(answer, default=str) + "\n")
    answers.flush()
    sys.stderr.flush()
    os._exit(0)


def _answer(arguments: list[str]) -> dict[str, Any]:
    if arguments[0] == "plugin":
        return _plugin(arguments[1])
    from nanokimi_core.cli.look_instance import look_at_instance, look_at_table

    if arguments[0] == "table":
        return look_at_table(*arguments[1:])
    return look_at_instance(*arguments[1:])


def _plugin(name: str) -> dict[str, Any]:
    provides = [
        {"kind": each.kind, "name": each.spec.name, "commands": bool(each.spec.commands)}
        for each in PluginHost().provided(name)
    ]
    return {"provides": provides}


if __name__ == "__main__":
    main()
