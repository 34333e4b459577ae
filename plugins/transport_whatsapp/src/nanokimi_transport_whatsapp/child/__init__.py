"""What runs in the child process: the spool, the lanes, media and sends, whatever library is the engine."""
