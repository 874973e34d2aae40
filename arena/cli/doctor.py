"""`arena doctor`: what is installed, and the line that fixes what is not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from arena import __version__
from arena.cli import _options
from arena.cli._console import counted, print_json, say
from arena.core.errors import MissingPrerequisite

NEEDED = ("python", "cache")
"""Without these nothing works; everything else is for the uses named beside it."""

SUMMARY = "See what is installed, and how to get what is not."
EXAMPLES = ("arena doctor", "arena doctor --json", "arena doctor --clean")


class Finding(NamedTuple):
    """One line of the report: `fix` is what to type where something is missing."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def command(
    as_json: _options.Json = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what sandboxes of dead programs left, and do nothing else.")
    ] = False,
) -> int:
    """Look at this machine: Python, packages, engines, keys (never printed), cache; with the line that fixes each.

    Only Python and a writable cache are needed for the built-in games and for models behind a server; everything
    else serves the use named beside it. Exits with 3 if one of the two is missing.
    """
    if clean:
        return _clean()
    findings = [check() for check in CHECKS]
    if as_json:
        print_json([{**finding._asdict(), "needed": finding.name in NEEDED} for finding in findings])
    else:
        say(f"arena {__version__}\n")
        for finding in findings:
            mark = "ok" if finding.ok else "MISSING" if finding.name in NEEDED else "-"
            say(f"{mark:<8}{finding.name:<18}{finding.found}")
            if finding.fix:
                say(f"{'':<26}to get it: {finding.fix}")
    return 3 if any(not finding.ok and finding.name in NEEDED for finding in findings) else 0


def _clean() -> int:
    """Have each back end that works here remove its orphans."""
    from arena.sandboxes import Bubblewrap, Docker

    for back_end in (Docker, Bubblewrap):
        try:
            back_end.preflight()
        except MissingPrerequisite as error:
            say(f"{back_end.kind:<12}not here: {error.args[0]}")
        else:
            say(f"{back_end.kind:<12}{counted(back_end.cleanup_orphans(), 'orphan')} removed")
    return 0


def _python() -> Finding:
    version = platform.python_version()
    ok = tuple(int(part) for part in version.split(".")[:2]) >= (3, 11)
    return Finding("python", ok, version, "" if ok else "install Python 3.11 or newer")


def _package(name: str, use: str, extra: str) -> Callable[[], Finding]:
    def look() -> Finding:
        try:
            return Finding(name, True, f"{importlib.metadata.version(name)} ({use})")
        except importlib.metadata.PackageNotFoundError:
            return Finding(name, False, f"not installed ({use})", f'pip install "arena-gym[{extra}]"')

    return look


def _cuda() -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("cuda", False, "no NVIDIA driver: local models run on the CPU")
    gpus = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]).replace("\n", "; ")
    if not gpus:
        return Finding("cuda", False, "the NVIDIA driver gives no answer: local models run on the CPU", "nvidia-smi")
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if version.endswith("+cpu"):
        fix = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
        return Finding("cuda", False, f"{gpus}, but torch {version} does not use it", fix)
    return Finding("cuda", True, gpus)


def _docker() -> Finding:
    use = "software-engineering tasks"
    if shutil.which("docker") is None:
        return Finding("docker", False, f"no docker command ({use})", "apt-get install docker.io")
    version = _output(["docker", "version", "--format", "{{.Server.Version}}"])
    if not version:
        return Finding("docker", False, f"a client but no running engine ({use})", "systemctl start docker")
    return Finding("docker", True, f"engine {version}")


def _chromium() -> Finding:
    names = (os.environ.get("ARENA_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        return Finding("chromium", False, "not found (web tasks)", "apt-get install chromium, or set ARENA_CHROMIUM")
    return Finding("chromium", True, path)


def _program(name: str, program: str, use: str, package: str) -> Callable[[], Finding]:
    def look() -> Finding:
        path = shutil.which(program)
        return Finding(name, bool(path), path or f"not found ({use})", "" if path else f"apt-get install {package}")

    return look


def _key(variable: str, use: str) -> Callable[[], Finding]:
    def look() -> Finding:
        if os.environ.get(variable):
            return Finding(variable, True, f"set, not shown ({use})")
        return Finding(variable, False, f"not set ({use})", f"export {variable}=…")

    return look


def _cache() -> Finding:
    from arena.core.paths import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 2**30
            return Finding("cache", True, f"{folder}, {free:.0f} GiB free")
    except OSError as error:
        return Finding("cache", False, f"{folder}: {error.strerror}", "set ARENA_CACHE to a folder you can write to")


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _compilers() -> Finding:
    found = [name for name in ("gcc", "make") if shutil.which(name)]
    ok = len(found) == 2
    use = "TextWorld's interpreter is built from source"
    return Finding(
        "compiler", ok, f"{', '.join(found) or 'none'} ({use})", "" if ok else "apt-get install build-essential"
    )


def _here() -> Finding:
    folder = Path.cwd()
    ok = os.access(folder, os.W_OK)
    return Finding("runs", ok, str(folder / "runs"), "" if ok else "--out FOLDER, with a folder you can write to")


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _cache,
    _here,
    _package("textworld", "text games", "text"),
    _compilers,
    _package("torch", "local models, training", "train"),
    _package("transformers", "local models, training", "train"),
    _cuda,
    _docker,
    _chromium,
    _program("bubblewrap", "bwrap", "sandboxes without a daemon", "bubblewrap"),
    _program("java", "java", "ScienceWorld", "default-jre-headless"),
    _key("OPENAI_API_KEY", "openai: models"),
    _key("ANTHROPIC_API_KEY", "anthropic: models"),
)
