"""The contract as a pytest class that authors of environments inherit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from arena.core.checks._runner import CHECKS, run_check
from arena.core.checks._subject import Subject


class EnvContract:
    """Inherit to test an environment; each check of the contract becomes one test.

    ```python
    from arena.core.checks import EnvContract

    class TestThing(EnvContract):
        env_id = "my_package.thing:mine/Thing-v0"
    ```

    Attributes:
        env_id: a registered id, or `module:namespace/Name-vN`.
        deep, params, seeds: as in `arena.core.checks.check`.
    """

    env_id: ClassVar[str] = ""
    deep: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Any]] = {}
    seeds: ClassVar[Sequence[int]] = ()
    _subject: ClassVar[Subject | None] = None

    @classmethod
    def subject(cls) -> Subject:
        """The environment under check, shared by the tests of this class."""
        if "_subject" not in cls.__dict__ or cls._subject is None:
            cls._subject = Subject(cls.env_id, cls.deep, cls.params, cls.seeds)
        return cls._subject


def _test(name: str) -> Callable[[EnvContract], None]:
    def test(self: EnvContract) -> None:
        import pytest

        result = run_check(self.subject(), name)
        if result.status == "failed":
            pytest.fail(f"{self.env_id}: {name}\n{result.detail}", pytrace=False)
        if result.status == "skipped":
            pytest.skip(result.detail)

    test.__name__, test.__doc__ = f"test_{name}", CHECKS[name].__doc__
    return test


for _name in CHECKS:
    setattr(EnvContract, f"test_{_name}", _test(_name))
