"""Scripts that take part, each run in a process of its own; `contender` is what they share."""
