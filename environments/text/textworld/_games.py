"""Games made once and kept in the cache folder.

Each game has a folder, named after what it was made from:

    textworld/1.7.0/coin_collector-5b7e0c9d2f31a846/
        game.z8, game.json      the story and the library's knowledge of it; both are needed
        manifest.json           the instance's name, and the checksums of the two files once they are there
        lock                    held while something is being made

The manifest is written last and in one go, so a process that is killed leaves nothing that looks
finished; files that do not agree with it are made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.core.errors import EnvironmentFailure, InfrastructureError
from arena.core.paths import cache_folder
from arena.environments.text.textworld import _making

_FILES = ("game.z8", "game.json")
_MAKING = "making-"


@dataclass
class CachedGame:
    """A game by what it is made from; nothing is made before it is asked for.

    Attributes:
        challenge, settings, seed: as for `_making.generate`.
    """

    challenge: str
    settings: Mapping[str, Any]
    seed: int

    @cached_property
    def folder(self) -> Path:
        """Where the game is kept."""
        version = _making.load_library()
        made_from = json.dumps([_making.REVISION, self.challenge, dict(self.settings), self.seed], sort_keys=True)
        name = hashlib.blake2b(made_from.encode(), digest_size=8).hexdigest()
        return cache_folder() / "textworld" / version / f"{self.challenge}-{name}"

    @cached_property
    def instance(self) -> str:
        """Names the game's content; empty where the library can make no game from this seed.

        Raises:
            InfrastructureError: the cache folder cannot be written.
        """
        manifest = self._manifest()
        if manifest is None:
            with self._locked():
                manifest = self._manifest()
                if manifest is None:
                    manifest = {"instance": self._name()}
                    self._write(manifest)
        return str(manifest["instance"])

    def story(self) -> Path:
        """The compiled `game.z8`, beside its `game.json`.

        Raises:
            EnvironmentFailure: the compiler refused the game.
            InfrastructureError: the cache folder cannot be written.
        """
        if not self._whole():
            with self._locked():
                if not self._whole():
                    self._make()
        return self.folder / "game.z8"

    def _name(self) -> str:
        try:
            return _making.instance_of(_making.generate(self.challenge, self.settings, self.seed))
        except _making.NoSuchGame:
            return ""

    def _manifest(self) -> dict[str, Any] | None:
        try:
            manifest = json.loads((self.folder / "manifest.json").read_bytes())
        except (OSError, ValueError):
            return None
        return manifest if isinstance(manifest, dict) and isinstance(manifest.get("instance"), str) else None

    def _whole(self) -> bool:
        manifest = self._manifest()
        if manifest is None or "files" not in manifest:
            return False
        try:
            return all(_checksum(self.folder / name) == manifest["files"].get(name) for name in _FILES)
        except OSError:
            return False

    def _make(self) -> None:
        for left_over in self.folder.glob(f"{_MAKING}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_MAKING, dir=self.folder) as making:
            try:
                game = _making.generate(self.challenge, self.settings, self.seed, Path(making))
            except _making.NoSuchGame as error:
                raise EnvironmentFailure(
                    f"textworld cannot make its {self.challenge} game {self.seed}: {error}"
                ) from error
            story = _making.compile_game(game, Path(making, "game"))
            for name in _FILES:
                (story.parent / name).replace(self.folder / name)
        files = {name: _checksum(self.folder / name) for name in _FILES}
        self._write({"instance": _making.instance_of(game), "files": files})

    def _write(self, manifest: dict[str, Any]) -> None:
        made_from = {"challenge": self.challenge, "settings": dict(self.settings), "seed": self.seed}
        part = self.folder / "manifest.json.part"
        part.write_text(json.dumps({**made_from, **manifest}, indent=1))
        part.replace(self.folder / "manifest.json")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process at a time makes this game; the lock goes with the process that holds it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise InfrastructureError(
                f"No game can be kept in {self.folder}: {error.strerror or error}. "
                "Make room there, or set ARENA_CACHE to a folder that can be written."
            ) from error


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
