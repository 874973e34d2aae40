"""Files in and out of a sandbox: the commands that run inside, and the archives they read and write.

Everything that comes out was written by whoever the sandbox holds, `tar` included: it is checked here.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from arena.sandboxes._held import temporary_folder

MISSING, FOLDER, FORBIDDEN, IRREGULAR = 81, 82, 83, 84
"""Exit codes by which the commands below say what is wrong with a path."""

TROUBLE = {
    MISSING: errno.ENOENT,
    FOLDER: errno.EISDIR,
    FORBIDDEN: errno.EACCES,
    IRREGULAR: errno.EINVAL,
}
PHRASES = {
    "No space left on device": errno.ENOSPC,
    "File too large": errno.EFBIG,
    "Permission denied": errno.EACCES,
    "Read-only file system": errno.EROFS,
    "Not a directory": errno.ENOTDIR,
    "Is a directory": errno.EISDIR,
    "File name too long": errno.ENAMETOOLONG,
}

READ = f"""[ -e "$1" ] || exit {MISSING}
[ -d "$1" ] && exit {FOLDER}
[ -f "$1" ] || exit {IRREGULAR}
[ -r "$1" ] || exit {FORBIDDEN}
exec cat "$1" """

WRITE = f"""[ -d "$1" ] && exit {FOLDER}
[ -e "$1" ] && [ ! -f "$1" ] && exit {IRREGULAR}
folder=${{1%/*}}
[ -d "${{folder:-/}}" ] || mkdir -p "$folder" || exit
exec cat >"$1" """

PACK = f"""[ -e "$1" ] || exit {MISSING}
[ -r "$1" ] || exit {FORBIDDEN}
[ -d "$1" ] && exec tar -C "$1" -cf - .
exec tar -C "${{1%/*}}/" -cf - -- "${{1##*/}}" """

UNPACK = 'mkdir -p "$1" && exec tar -C "$1" -xf - --no-same-owner'


def read_command(path: str) -> tuple[str, ...]:
    return ("sh", "-c", READ, "sh", path)


def write_command(path: str) -> tuple[str, ...]:
    return ("sh", "-c", WRITE, "sh", path)


def pack_command(path: str) -> tuple[str, ...]:
    return ("sh", "-c", PACK, "sh", path)


def unpack_command(path: str) -> tuple[str, ...]:
    return ("sh", "-c", UNPACK, "sh", path)


def raise_trouble(exit_code: int, message: str, path: str, too_large: bool = False) -> None:
    """Turn the end of one of the commands above into the error Python would have raised for the path."""
    if too_large:
        raise OSError(errno.EFBIG, "more than the limit given", path)
    if exit_code == 0:
        return
    number = TROUBLE.get(exit_code)
    if number is not None:
        raise OSError(number, os.strerror(number), path)
    number = next((number for phrase, number in PHRASES.items() if phrase in message), errno.EIO)
    raise OSError(number, message.strip() or f"the command that handled it ended with {exit_code}", path)


@contextmanager
def packed(sources: Mapping[str, Path]) -> Iterator[Path]:
    """An archive of host folders or files by their names in it, without owners; devices and the like are refused."""

    def plain(source: Path, name: str, member: tarfile.TarInfo) -> tarfile.TarInfo:
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            path = source / PurePosixPath(member.name).relative_to(name)
            raise OSError(errno.EINVAL, "neither a file, a folder nor a link", str(path))
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with temporary_folder() as folder:
        archive = folder / "tree.tar"
        with tarfile.open(archive, "w") as tar:
            for name, source in sources.items():
                tar.add(source, name, filter=partial(plain, source, name))
        yield archive


def copy_readable(source: Path, target: Path) -> None:
    """Copy a folder of the host so that everybody may read it; links stay links."""
    shutil.copytree(source, target, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


@contextmanager
def spool() -> Iterator[BinaryIO]:
    """A temporary file for an archive on its way out."""
    with tempfile.TemporaryFile(prefix="arena-download-") as file:
        yield file


def unpack(archive: BinaryIO, target: Path) -> tuple[int, int, list[str]]:
    """Write the regular files and folders of an untrusted archive under `target`.

    Returns:
        (files written, their bytes, a line for each member that was refused).

    Raises:
        OSError: EINVAL where it is no archive.
    """
    target.mkdir(parents=True, exist_ok=True)
    root = target.resolve()
    archive.seek(0)
    files, size, refused = 0, 0, []
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for member in tar:
                reason = _reason_against(member, root)
                if reason:
                    refused.append(f"{member.name!r}: {reason}")
                elif member.isdir():
                    (root / member.name).mkdir(parents=True, exist_ok=True)
                else:
                    content = tar.extractfile(member)
                    assert content is not None
                    _write(root / member.name, content, executable=bool(member.mode & 0o100))
                    files += 1
                    size += member.size
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise OSError(errno.EINVAL, f"what came out of the sandbox is no whole archive: {error}") from error
    return files, size, refused


def _reason_against(member: tarfile.TarInfo, root: Path) -> str:
    name = member.name
    if member.issym() or member.islnk():
        return f"a link to {member.linkname!r}"
    if not (member.isfile() or member.isdir()):
        return "neither a file nor a folder"
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        return "its path leads outside"
    path = root
    for part in posixpath.normpath(name).split("/"):
        path = path / part
        if path.is_symlink():
            return "the folder on the host holds a link in its place"
    if path.exists() and path.is_dir() != member.isdir():
        return "something else is in its place"
    return ""


def _write(path: Path, content: IO[bytes], executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o755 if executable else 0o644)
