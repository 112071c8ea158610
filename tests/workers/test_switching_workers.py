"""A worker moves with a switch to another index."""

from __future__ import annotations

from typing import cast

from workers.lifecycle import Process, Runtime


class FakeRuntime:
    """A runtime of one index."""

    def __init__(self) -> None:
        self.outdated = False
        self.is_closed = False

    def is_outdated(self) -> bool:
        return self.outdated

    def close(self) -> None:
        self.is_closed = True


def test_after_a_switch_the_runtime_is_made_anew_and_the_old_one_closed() -> None:
    made: list[FakeRuntime] = []

    def make() -> Runtime:
        assert all(runtime.is_closed for runtime in made), "two models at once"
        made.append(FakeRuntime())
        return cast("Runtime", made[-1])

    process = Process(make)
    assert process.runtime() is process.runtime()
    made[0].outdated = True
    assert cast("object", process.runtime()) is made[1]
    assert [runtime.is_closed for runtime in made] == [True, False]
