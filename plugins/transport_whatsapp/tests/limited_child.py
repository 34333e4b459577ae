"""A child with shorter bounds than the real ones: the environment's ``CHILD_LIMITS`` holds them as JSON."""

from __future__ import annotations

from nanokimi_transport_whatsapp.child.streams import take_streams


def main() -> None:
    streams = take_streams()

    import json
    import os

    from pydantic import TypeAdapter

    from nanokimi_transport_whatsapp.child.limits import Limits
    from nanokimi_transport_whatsapp.child.main import run

    given = json.loads(os.environ["CHILD_LIMITS"])
    run(streams, TypeAdapter(Limits).validate_python(given))


if __name__ == "__main__":
    main()
