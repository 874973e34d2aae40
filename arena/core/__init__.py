"""The nouns: environments, agents, models, tasks, episodes, and the contract they keep."""
