"""A child with shorter bounds than the real ones: the environment's ``CHILD_LIMITS`` holds them as JSON.

Beside them ``free`` may name a file that holds, as a number, how many bytes are free on every disk.
"""

from __future__ import annotations

from nanokimi_transport_whatsapp.child.streams import take_streams


def main() -> None:
    streams = take_streams()

    import json
    import os
    from pathlib import Path

    from pydantic import TypeAdapter

    from nanokimi_transport_whatsapp.child.limits import Limits
    from nanokimi_transport_whatsapp.child.main import run
    from nanokimi_transport_whatsapp.child.room import free_bytes

    given = json.loads(os.environ["CHILD_LIMITS"])
    told = given.pop("free", "")
    limits = TypeAdapter(Limits).validate_python(given)
    run(streams, limits, (lambda _: int(Path(told).read_text())) if told else free_bytes)


if __name__ == "__main__":
    main()
