"""Images for Docker sandboxes, without any registry of images.

The base image is made of the distribution's own packages by `mmdebstrap` and kept as an archive in Arena's cache,
under the hash of what went into it. Others are built from a Dockerfile, or imported from an archive of a root file
system. None is pulled unless that is asked for.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from arena.core.errors import MissingPrerequisite, SandboxUnavailable, UsageError
from arena.core.paths import cache_folder
from arena.sandboxes._docker_engine import SANDBOX, client, errors_of_ours, missing
from arena.sandboxes._held import temporary_folder
from arena.sandboxes._root import PATH

__all__ = ["PACKAGES", "base_name", "build", "build_base", "exists", "find", "import_archive"]

REPOSITORY = "arena/base"
PACKAGES = (
    *("base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "diffutils", "findutils", "gawk"),
    *("git", "grep", "gzip", "libc-bin", "libpython3-stdlib", "patch", "procps", "python3", "python3-minimal"),
    *("sed", "tar"),
)
"""A shell, the usual tools, git and Python; packages are unpacked, their installation scripts do not run."""
FINISH = """
ln -sf dash "$1/bin/sh"
ln -sf gawk "$1/usr/bin/awk"
mkdir -p "$1/home/agent" "$1/root" "$1/tmp" "$1/proc" "$1/sys" "$1/dev" "$1/run" "$1/work"
chmod 1777 "$1/tmp"
printf '%s\\n' root:x:0:0:root:/root:/bin/bash agent:x:1000:1000::/home/agent:/bin/bash \
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin >"$1/etc/passwd"
printf '%s\\n' root:x:0: agent:x:1000: nogroup:x:65534: >"$1/etc/group"
chroot "$1" /usr/bin/python3 -I -m compileall -qq /usr/lib/python3*
"""
"""What the installation scripts would have done that is needed. Without the last line every start of Python compiles
what it imports of the standard library, which is most of a short program's time."""
SETTINGS = (f"ENV PATH={PATH} LANG=C.UTF-8", f"LABEL {SANDBOX}=image")
INSTALL = "apt-get install mmdebstrap"
NAME = re.compile(r"([\w.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:\w[\w.-]{0,127})?", re.ASCII)
"""What an image may be called."""
ARG = re.compile(r"(?mi)^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)")
FROM = re.compile(r"(?mi)^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?")
PARTS_FROM = re.compile(r"(?mi)^\s*(?:COPY|RUN)\s+(?:\S+\s+)*?--(?:mount=\S*?)?from=([^\s,]+)")
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})")


def base_packages(more: Sequence[str] = ()) -> tuple[str, ...]:
    """The packages of a base image, in order."""
    return tuple(sorted({*PACKAGES, *more}))


def base_name(more: Sequence[str] = ()) -> str:
    """The name of the base image with some more packages, as this machine makes it."""
    parts = (_release()[0], platform.machine(), *base_packages(more), FINISH, *SETTINGS)
    return f"{REPOSITORY}:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"


def find(api: Any, image: str | None, pull: bool = False) -> str:
    """The image to use: the one named, or the base image; pulled only where that is asked for.

    Raises:
        MissingPrerequisite: the engine does not have it.
        SandboxUnavailable: it could not be pulled.
    """
    name = image or base_name()
    if exists(api, name):
        return name
    if pull and image:
        with errors_of_ours("given its image"):
            api.pull(*image.partition(":")[::2])
        return name
    how = "arena sandbox image build" if not image else f"arena sandbox image build FOLDER --tag {image}"
    raise MissingPrerequisite(f"The Docker engine has no image {name!r}, and images are not pulled unasked.", how)


def exists(api: Any, name: str) -> bool:
    """Whether the engine has an image of this name."""
    from docker.errors import APIError

    with errors_of_ours("given its image"):
        try:
            api.inspect_image(name)
        except APIError as error:
            if missing(error):
                return False
            raise
    return True


def build_base(more: Sequence[str] = (), say: Callable[[str], None] = lambda line: None) -> str:
    """See that the engine has the base image; what is there or cached already is not made again.

    Args:
        more: packages beyond `PACKAGES`.
        say: gets a line about each step.

    Returns:
        Its name.

    Raises:
        MissingPrerequisite: there is no mmdebstrap, or it could not make it.
    """
    name = base_name(more)
    if exists(client(), name):
        say(f"{name} is there already")
        return name
    archive = cache_folder() / "images" / f"{name.replace('/', '-').replace(':', '-')}.tar"
    if archive.exists():
        say(f"importing {archive}")
    else:
        say(f"making a root file system of {len(base_packages(more))} packages of {_release()[0]}")
        _make(archive, base_packages(more))
    return import_archive(archive, name)


def import_archive(archive: Path, name: str) -> str:
    """Make an image of the archive of a root file system.

    Raises:
        UsageError: there is no such file, it is no archive, or the image cannot be called so.
        SandboxUnavailable: the engine could not read it.
    """
    _check_name(name)
    if not archive.is_file():
        raise UsageError(f"There is no archive {str(archive)!r}.")
    if not tarfile.is_tarfile(archive):
        raise UsageError(f"{str(archive)!r} is no archive: the .tar of a root file system is read.")
    repository, _, tag = name.partition(":")
    with errors_of_ours("given its image"):
        said = client().import_image(str(archive), repository, tag or "latest", changes=list(SETTINGS))
    if not exists(client(), name):
        raise SandboxUnavailable(f"The engine could not make an image of {archive}: {str(said).strip()}")
    return name


def build(
    folder: Path,
    name: str,
    network: str | None = None,
    say: Callable[[str], None] = lambda line: None,
    pull: bool = False,
) -> str:
    """Build an image from a folder with a Dockerfile.

    Args:
        folder: what the build sees.
        name: what the image is called.
        network: what its RUN lines may reach: the engine's own choice, or `none`.
        say: gets the lines of the build.
        pull: whether images that it starts from may be fetched.

    Raises:
        UsageError: there is no Dockerfile, a line of it failed, or the image cannot be called so.
        MissingPrerequisite: it starts from an image that the engine does not have.
    """
    _check_name(name)
    if not (folder / "Dockerfile").is_file():
        raise UsageError(f"There is no Dockerfile in {str(folder)!r}.")
    if not pull:
        _check_bases(folder / "Dockerfile")
    options = {"labels": {SANDBOX: "image"}, "rm": True, "forcerm": True, "decode": True, "network_mode": network}
    lines: list[str] = []
    with errors_of_ours("given its image"):
        for event in client().build(path=str(folder.resolve()), tag=name, **options):
            text = event.get("stream", event.get("error", "")).strip()
            if text:
                lines.append(text)
                say(text)
            if "error" in event:
                last = "\n".join(lines[-10:])
                raise UsageError(f"The image could not be built from {folder / 'Dockerfile'}:\n{last}")
    return name


def started_from(dockerfile: str) -> list[str]:
    """The images that the engine needs for the text of a Dockerfile."""
    given = dict(ARG.findall(dockerfile))
    stages, found = {"scratch"}, []

    def filled(name: str) -> str:
        return VARIABLE.sub(lambda word: str(given.get(word[1] or word[2], word[3] or "")), name)

    for base, stage in FROM.findall(dockerfile):
        if filled(base).lower() not in stages:
            found.append(filled(base))
        stages.add(stage.lower())
    parts = map(filled, PARTS_FROM.findall(dockerfile))
    found += [part for part in parts if part.lower() not in stages and not part.isdigit()]
    return list(dict.fromkeys(found))


def _check_bases(dockerfile: Path) -> None:
    for base in started_from(dockerfile.read_text(encoding="utf-8")):
        if not exists(client(), base):
            reason = (
                f"{dockerfile} starts from {base!r}, which the engine does not have, and images are not pulled unasked"
            )
            raise MissingPrerequisite(f"{reason}.", f"docker pull {base}")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(f"An image cannot be called {name!r}: small letters and a tag, such as my-task:1.")


def _make(archive: Path, packages: Sequence[str]) -> None:
    program = shutil.which("mmdebstrap")
    if program is None:
        raise MissingPrerequisite("The base image is made by mmdebstrap, which is not installed.", INSTALL)
    suite, mirror = _release()
    archive.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(archive.parent) as folder:
        made = folder / "root.tar"
        mode = "root" if os.geteuid() == 0 else "unshare"
        options = [f"--mode={mode}", "--variant=extract", f"--include={','.join(packages)}", f"--extract-hook={FINISH}"]
        done = subprocess.run(
            [program, *options, suite, str(made), mirror], capture_output=True, text=True, check=False
        )
        if unknown := re.search(r"Unable to locate package (\S+)", done.stderr):
            raise UsageError(f"There is no package {unknown[1]!r} in {suite}, or its lists are old: apt-get update.")
        if done.returncode != 0:
            said = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise MissingPrerequisite(f"The base image could not be made:\n{said}", "apt-get update")
        made.replace(archive)


@cache
def _release() -> tuple[str, str]:
    """This distribution's code name and the address its packages come from.

    Raises:
        MissingPrerequisite: it is none with apt.
    """
    described = platform.freedesktop_os_release()
    suite = described.get("VERSION_CODENAME", "")
    if shutil.which("apt-get") and suite:
        fields = ["--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
        listed = subprocess.run(["apt-get", "indextargets", *fields], capture_output=True, text=True, check=False)
        for line in listed.stdout.splitlines():
            address, _, release = line.partition(" ")
            if release == suite:
                return suite, address
    raise MissingPrerequisite(
        "The base image is made of the packages of Debian or Ubuntu, and this system has none.",
        "arena sandbox image build FOLDER, with a Dockerfile in it",
    )
