"""A chat whose old messages go by themselves. Try it: `python -m examples.chat`."""
