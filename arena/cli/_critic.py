"""`--critic RUN`: who uses the critic depends on who plays."""

from __future__ import annotations

from typing import Any

from arena.core.errors import UsageError
from arena.core.specs import Spec


def with_critic(values: dict[str, Any], critic: str) -> dict[str, Any]:
    """The options of an evaluation with a critic in the agent's spec, or else in the local model's.

    Args:
        values: options, with the specs `agent` and perhaps `model`.
        critic: a training run, or a critic's folder.

    Raises:
        UsageError: neither takes one.
    """
    written = values.get("agent") or "random"
    agent = Spec.parse(written) if ":" in written else Spec(written)
    if agent.kind == "best_of_n":
        return {**values, "agent": _having(agent, critic)}
    model = values.get("model")
    if model is None:
        raise UsageError(
            f"--critic helps an agent that asks a model, and {agent} asks none: -a best_of_n:n=8 -m MODEL lets the "
            "critic choose among a model's answers."
        )
    parsed = Spec.parse(model)
    if parsed.kind != "hf":
        raise UsageError(
            f"{model} is not sampled here, so a critic cannot guide its tokens. It can choose among its answers: "
            "-a best_of_n:n=8."
        )
    return {**values, "model": _having(parsed, critic)}


def _having(spec: Spec, critic: str) -> str:
    if spec.options.get("critic", critic) != critic:
        raise UsageError(f"{spec} names a critic already, and --critic names {critic}: leave one of them out.")
    return str(Spec(spec.kind, spec.name, spec.url, {**spec.options, "critic": critic}))


__all__ = ["with_critic"]
