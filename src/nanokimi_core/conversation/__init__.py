"""What happens between a message and its answer: who may speak, the lanes, the sessions, the prompt."""
