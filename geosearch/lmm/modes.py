"""Which way of asking for JSON each model takes: found by trying, remembered, safe for threads."""

from __future__ import annotations

import threading

from geosearch.lmm.calls import AnswerMode
from geosearch.lmm.config import Deployment

_ORDER = tuple(AnswerMode)


class ModeMemory:
    """The strictest mode that each model has not refused.

    What LiteLLM's list says of a model is not asked: it is wrong for most local ones. A setting is:
    `model_info: {supports_response_schema: false}` begins with JSON mode.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mode: dict[str, AnswerMode] = {}
        self._proven: set[tuple[str, AnswerMode]] = set()

    def mode_for(self, deployment: Deployment) -> AnswerMode:
        """The mode to ask with now."""
        with self._lock:
            found = self._mode.get(_key(deployment))
        if found is not None:
            return found
        is_schema = deployment.info.get("supports_response_schema", True)
        return AnswerMode.SCHEMA if is_schema else AnswerMode.JSON

    def note_taken(self, deployment: Deployment, mode: AnswerMode) -> None:
        """The model has replied in this mode: from now on a refusal has another reason."""
        with self._lock:
            self._mode.setdefault(_key(deployment), mode)
            self._proven.add((_key(deployment), mode))

    def may_step_down(self, deployment: Deployment, mode: AnswerMode) -> bool:
        """Whether a refused request is worth repeating in a looser mode, which then is the mode."""
        with self._lock:
            key = _key(deployment)
            if mode is AnswerMode.PLAIN:
                if (key, mode) not in self._proven:
                    self._mode.pop(key, None)  # no mode helps, so the mode was not the reason
                return False
            if (key, mode) in self._proven:
                return False
            self._mode[key] = _ORDER[_ORDER.index(mode) + 1]
            return True


def _key(deployment: Deployment) -> str:
    return f"{deployment.name}\n{deployment.model}"
