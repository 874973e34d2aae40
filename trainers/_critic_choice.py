"""Which critic goes beside a policy: one word of a setting, or a folder, and whether it fits."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from arena.core.errors import UsageError
from arena.core.specs import Spec

if TYPE_CHECKING:
    from arena.agents.models.critic import Critic
    from arena.agents.models.critic_heads import HeadOptions
    from arena.trainers._policy import Policy

KINDS = ("copy", "shared", "head", "small")


def make_critic(spec: str, policy: Policy, heads: Mapping[str, HeadOptions], *, seed: int = 0) -> tuple[Critic, bool]:
    """A critic for a policy, and whether it leaves the policy's trunk alone.

    Args:
        spec: `copy`: a copy of the policy's trunk, trained on its own. `shared`: the policy's trunk, and gradients
            flow into it. `head`: the policy's trunk without that. `small[:hidden=64,layers=2,heads=4]`: a fresh
            small transformer. A folder: a pretrained model that reads the same ids, or a critic to go on with.
        policy: whose ids are read.
        heads: name -> what it is; those of a critic's folder must be among them as they are.
        seed: of what is drawn.

    Raises:
        UsageError: there is no such critic, or it reads other ids, fewer of them, or what comes later.
    """
    from arena.agents.models.critic import Critic, trunk_of

    tokenizer = policy.tokenizer
    kind = Spec.parse(spec).kind if spec.partition(":")[0] in KINDS else "folder"
    if kind in ("shared", "head"):
        return Critic.borrowing(policy.network, tokenizer, heads, seed=seed), kind == "head"
    if kind == "copy":
        trunk = copy.deepcopy(trunk_of(policy.merged()))
        return _placed(Critic.on(trunk, tokenizer, heads, seed=seed), policy), True
    if kind == "small":
        return _small(Spec.parse(spec), policy, heads, seed), True
    critic = _of_folder(spec, policy, heads, seed)
    _check_fits(critic, policy, heads, spec)
    return critic, True


def _small(spec: Spec, policy: Policy, heads: Mapping[str, HeadOptions], seed: int) -> Critic:
    from arena.agents.models._options import Options
    from arena.agents.models.critic import Critic, small_trunk

    given = Options(spec)
    sizes = {name: given.whole(name, usual, 1) for name, usual in (("hidden", 64), ("layers", 2), ("heads", 4))}
    given.done()
    trunk = small_trunk(policy.tokenizer, policy.context, **sizes, seed=seed)
    return _placed(Critic.on(trunk, policy.tokenizer, heads, seed=seed), policy)


def _placed(critic: Critic, policy: Policy) -> Critic:
    critic.to(policy.device)
    return critic


def _of_folder(name: str, policy: Policy, heads: Mapping[str, HeadOptions], seed: int) -> Critic:
    from arena.agents.models import _weights
    from arena.agents.models.critic import Critic, is_critic, load_trunk

    a_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if not Path(name).expanduser().is_dir() and (a_path or name.replace("_", "").isalpha()):
        raise UsageError(f"There is no critic {name!r}: {', '.join(KINDS)}, or the folder of a run or of a model.")
    device, dtype = str(policy.device), str(policy.network.dtype).removeprefix("torch.")
    if is_critic(Path(name, "critic")):
        name = str(Path(name, "critic"))
    if not is_critic(Path(name)):
        folder = _weights.find_folder(name)
        trunk = load_trunk(folder, device, policy.network.dtype)
        return Critic.on(trunk, _weights.load_tokenizer(folder), heads, seed=seed)
    critic = Critic.load(name, device=device, dtype=dtype)
    critic.requires_grad_(True)
    return critic


def _check_fits(critic: Critic, policy: Policy, heads: Mapping[str, HeadOptions], name: str) -> None:
    from arena.agents.models.critic import tokenizer_digest

    if tokenizer_digest(critic.tokenizer) != tokenizer_digest(policy.tokenizer):
        raise UsageError(
            f"{name} has another tokenizer than the policy, so it would read the policy's ids as other words. Take one "
            "of the policy's own family, one that was trained beside this policy, or critic=copy or critic=small."
        )
    if critic.context < policy.context:
        raise UsageError(
            f"{name} reads {critic.context} tokens, and the policy's conversations may have {policy.context}: set "
            f"policy.context={critic.context}, or take critic=copy or critic=small."
        )
    for head, options in heads.items():
        found = critic.heads[head].options if head in critic.heads else None
        if found != options:
            has = f"no head {head!r}" if found is None else f"for {head!r} {found.in_words()}"
            raise UsageError(
                f"The critic {name} has {has}, and this training needs {options.in_words()} there: go on with one of "
                "the same algorithm and settings, or take critic=copy or critic=small."
            )
    if critic.looks_ahead():
        raise UsageError(
            f"{name} lets every token see those after it, so a value would know what happens next. Take a causal "
            "model, critic=copy or critic=small."
        )


__all__ = ["KINDS", "make_critic"]
