"""A command runner that is played: what each command answers, and what was run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


class Played:
    """Stands for `commands.run`: answers by the longest known beginning of the command, and keeps the command."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.commands: list[str] = []

    def __call__(self, argv: list[str], **_options: float) -> str:
        """The played answer; an answer that is a function is called with the command, an exception is raised."""
        line = " ".join(argv)
        self.commands.append(line)
        known = [beginning for beginning in self.answers if line.startswith(beginning)]
        answer = self.answers[max(known, key=len)] if known else ""
        if isinstance(answer, Exception):
            raise answer
        return str(answer(argv)) if callable(answer) else str(answer)


@pytest.fixture
def played() -> Callable[..., Played]:
    """Makes a played runner from the answers."""
    return lambda **answers: Played({key.replace("_", " "): value for key, value in answers.items()})
