"""The terminal: ``nanokimi whatsapp link``, ``unlink``, ``status`` and ``reconnect``, and the lines for the doctor."""
