"""Critics of tokens: heads as wide as the vocabulary, on a trunk of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arena.core.errors import UsageError

if TYPE_CHECKING:
    from arena.agents.models.critic import Critic
    from arena.agents.models.local import LocalModel
    from arena.trainers._policy import Policy


def check_own_trunk(spec: str) -> None:
    """Refuse a critic on the policy's trunk: the policy stays as it is, and its trunk with it.

    Raises:
        UsageError: says what there is instead.
    """
    if spec.partition(":")[0] in ("shared", "head"):
        raise UsageError(
            f"critic={spec} reads the policy's trunk, and when playing both are computed side by side: take "
            "critic=copy, critic=small or a folder."
        )


def vocabulary(policy: Policy) -> int:
    """How many tokens the policy chooses among: the width of its logits."""
    return int(policy.network.get_output_embeddings().weight.shape[0])


def guided_model(policy: Policy, critic: Critic, beta: float) -> LocalModel:
    """A model that samples from the policy with the critic's lead; both stay where they are."""
    from arena.agents.models._guided import guided
    from arena.agents.models.local import LocalModel, Options

    network = guided(policy.network, policy.tokenizer, critic, beta, "of this training")
    held = Options(context=policy.options.context, deterministic=policy.options.deterministic)
    traits = policy.model.traits
    return LocalModel.of(network, policy.tokenizer, held, identity=traits.identity, spec=policy.model.spec)


__all__ = ["check_own_trunk", "guided_model", "vocabulary"]
