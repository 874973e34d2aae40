"""Plays back what a model said, for environments that ask a model of their own."""

from __future__ import annotations

from collections.abc import Sequence

from arena.core.episode import Episode
from arena.core.errors import EnvironmentFailure
from arena.core.messages import Completion, Message, Sampling, Tool
from arena.core.model import Traits, conversation


class RecordedAnswers:
    """A model that gives the recorded answers of one role, in order, to the questions recorded with them."""

    def __init__(self, episode: Episode, role: str) -> None:
        self.spec = f"recorded {role}"
        self.traits = Traits(identity=self.spec, images=True, tools=True, seeded=True)
        self._episode = episode
        self._calls = iter([call for call in episode.calls if call.role == role and call.message is not None])

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[Tool] = (),
        after: Completion | None = None,
    ) -> Completion:
        """The next recorded answer.

        Raises:
            EnvironmentFailure: the environment asks something that it did not ask when it was recorded.
        """
        asked = conversation(messages, after)
        call = next(self._calls, None)
        if call is None or call.message is None or self._episode.prompt(call) != asked:
            raise EnvironmentFailure(f"The environment asks its model ({self.spec}) something else than was recorded.")
        answer = Completion(parts=self._episode.messages[call.message].parts)
        return answer.following(asked)

    async def aclose(self) -> None:
        """Nothing to release."""
