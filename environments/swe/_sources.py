"""Sources fetched once by hash, through pip and whatever index it is set to use, and kept in Arena's cache."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from arena.core.errors import InfrastructureError, UsageError
from arena.core.paths import cache_folder
from arena.environments.swe._manifest import Package, Wheel
from arena.sandboxes._held import temporary_folder

__all__ = ["PYTEST", "Tree", "fetch_archive", "fetch_unseen", "original_tree", "packages_folder", "write_tree"]

Tree = Mapping[str, bytes]
"""The files of a repository: path -> content."""

PYTEST = (
    Wheel("pytest", "8.3.5", "c69214aa47deac29fad6c2a4f590b9c4a9fdb16a403176fe154b79c0b4d4d820"),
    Wheel("pluggy", "1.6.0", "e920276dd6813095e9377c0bc5566d94c932c33b27a3e3945d8389c374dd4746"),
    Wheel("iniconfig", "2.1.0", "9deba5723312380e77435581c6bf4935c94cbfab9b1ed33ef8d238ea168eb760"),
    Wheel("packaging", "25.0", "29572ef2b1f17581046b3a2227d5c611fb25ec70ca1ba8554b24b0e69331a484"),
)
"""What runs the tests; this version of pytest needs nothing else, so that little is copied into each sandbox."""

FETCH_SECONDS = 300
LARGEST = 64 << 20
NOT_SOURCE = ("__pycache__", ".git", ".hg", ".tox", ".eggs")
"""Folders of an archive that are no part of the repository."""


def original_tree(package: Package) -> Tree:
    """The files of a package as released, without packaging metadata.

    Raises:
        InfrastructureError: the archive is not in the cache and cannot be fetched.
    """
    return _tree(package.name, package.version, package.sha256)


@lru_cache(maxsize=32)
def _tree(name: str, version: str, sha256: str) -> Tree:
    return unpack_archive(fetch_archive(f"{name}=={version}", sha256).read_bytes())


def packages_folder(wheels: Iterable[Wheel]) -> Path:
    """A folder with these wheels unpacked and compiled, to be imported from.

    Raises:
        InfrastructureError: as `original_tree`.
    """
    wanted = tuple(wheels)
    digest = hashlib.sha256("".join(wheel.sha256 for wheel in wanted).encode()).hexdigest()[:16]
    folder = _home() / f"compiled-{digest}"
    if not folder.exists():
        with temporary_folder(_made(_home())) as above:
            ready = above / "ready"
            ready.mkdir()
            for wheel in wanted:
                archive = fetch_archive(f"{wheel.name}=={wheel.version}", wheel.sha256, wheel=True)
                with zipfile.ZipFile(archive) as content:
                    content.extractall(ready)
            _compile(ready)
            _move(ready, folder)
    return folder


def fetch_archive(requirement: str, sha256: str, wheel: bool = False) -> Path:
    """An archive by its hash: from the cache, or fetched into it.

    Raises:
        InfrastructureError: it cannot be fetched, or is another than the one asked for.
    """
    place = _home() / "archives" / sha256
    if not place.exists():
        with temporary_folder() as folder:
            found = download_archive(requirement, folder, wheel)
            digest = hashlib.sha256(found.read_bytes()).hexdigest()
            if digest != sha256:
                raise InfrastructureError(
                    f"The archive of {requirement} has the sha256 {digest} instead of {sha256}: it is not the one that "
                    "the tasks were made from, and is not used."
                )
            keep_archive(found, sha256)
    return place


def fetch_unseen(requirement: str, wheel: bool = False) -> tuple[bytes, str]:
    """Fetch an archive whose hash nobody knows yet into the cache: its content and its sha256.

    Raises:
        InfrastructureError: it cannot be fetched.
    """
    with temporary_folder() as folder:
        archive = download_archive(requirement, folder, wheel)
        content = archive.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        keep_archive(archive, sha256)
    return content, sha256


def keep_archive(archive: Path, sha256: str) -> None:
    """Put an archive into the cache."""
    place = _made(_home() / "archives") / sha256
    partial = place.with_suffix(f".{os.getpid()}")
    partial.write_bytes(archive.read_bytes())
    partial.replace(place)


def download_archive(requirement: str, folder: Path, wheel: bool = False) -> Path:
    """Have pip fetch one archive, without what it depends on.

    Raises:
        InfrastructureError: pip could not.
    """
    form = "--only-binary=:all:" if wheel else "--no-binary=:all:"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", form, "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, requirement], capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise InfrastructureError(f"pip did not fetch {requirement} within {FETCH_SECONDS} seconds.") from error
    found = sorted(folder.iterdir())
    if done.returncode != 0 or len(found) != 1:
        raise InfrastructureError(
            f"pip could not fetch {requirement}: {done.stderr.strip()[-800:]}\n"
            "Set pip up for an index that has it, and `arena swe fetch` again."
        )
    return found[0]


def unpack_archive(data: bytes) -> dict[str, bytes]:
    """The regular files of a source archive below its one folder, in memory.

    Raises:
        UsageError: it is no archive, or a very large one.
    """
    found: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
                size += member.size
                if size > LARGEST:
                    raise UsageError(f"The source archive unpacks to more than {LARGEST >> 20} MiB.")
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and ".." not in path.parts and not _is_metadata(path):
                    found[str(path)] = content.read()
    except tarfile.TarError as error:
        raise UsageError(f"This is no source archive: {error}") from error
    return dict(sorted(found.items()))


def write_tree(tree: Tree, folder: Path) -> None:
    """Write the files under a folder."""
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _compile(folder: Path) -> None:
    """Compile what will be read-only, so that no start of pytest has to: for this Python, and the system's."""
    system = shutil.which("python3", path="/usr/bin:/bin")
    for python in dict.fromkeys([sys.executable, *([system] if system else [])]):
        command = [python, "-I", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash", str(folder)]
        subprocess.run(command, check=False, timeout=FETCH_SECONDS)  # what does not compile is as good without


def _is_metadata(path: PurePosixPath) -> bool:
    inside = any(part in NOT_SOURCE or part.endswith(".egg-info") for part in path.parts)
    return inside or path.name == "PKG-INFO" or path.suffix in (".pyc", ".pyo", ".so")


def _home() -> Path:
    return cache_folder() / "swe"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _move(ready: Path, folder: Path) -> None:
    """Give a folder its name; another program that was faster has made the same."""
    try:
        ready.rename(folder)
    except OSError:
        if not folder.exists():
            raise
