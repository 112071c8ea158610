"""What the fixture `run` of the tests of command lines is."""

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""Takes arguments of any type; gives exit code, stdout and stderr."""
