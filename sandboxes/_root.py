"""What a bubblewrap sandbox is made of: the mounts, namespaces and variables, as arguments of `bwrap`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from arena.sandboxes._channels import INSIDE
from arena.sandboxes.spec import SandboxSpec

HOST_PARTS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
"""What a sandbox sees of the host's root without an image: programs and libraries."""
HOST_ETC = ("alternatives", "ld.so.cache", "localtime", "mime.types", "ssl/certs", "ssl/openssl.cnf")
"""What it sees of the host's /etc: nothing that names people, machines or secrets."""
OWN_PLACES = {"dev", "etc", "home", "lost+found", "proc", "root", "run", "sys", "tmp", "work"}
"""Places at the root that are the sandbox's own, whatever an image holds there."""
MASKED = ("acpi", "asound", "kallsyms", "kcore", "keys", "key-users", "sched_debug", "scsi", "timer_list")
"""Parts of /proc that speak of the machine; each is emptied where the kernel has it."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def user_id(name: str) -> int:
    """The user's number inside."""
    return 0 if name == "root" else 1000


def home(name: str) -> str:
    """The user's home folder inside."""
    return "/root" if name == "root" else f"/home/{name}"


def bash(root: Path) -> Path:
    """The bash of a root file system, on the host."""
    places = [root / folder / "bash" for folder in ("bin", "usr/bin", "usr/local/bin")]
    return next((place for place in places if place.is_file()), places[0])


def etc(spec: SandboxSpec) -> dict[str, str]:
    """The files of /etc that are the sandbox's own."""
    people = ["root:x:0:0:root:/root:/bin/bash", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"]
    groups = ["root:x:0:", "nogroup:x:65534:"]
    if spec.user != "root":
        people.insert(1, f"{spec.user}:x:1000:1000::{home(spec.user)}:/bin/bash")
        groups.insert(1, f"{spec.user}:x:1000:")
    return {
        "passwd": "\n".join(people) + "\n",
        "group": "\n".join(groups) + "\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "hostname": "sandbox\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "resolv.conf": "",
    }


def arguments(spec: SandboxSpec, control: Path, root: Path, given: Iterable[Path] = ()) -> list[str]:
    """Everything between `bwrap` and the program.

    The files of `etc` lie in `control`/etc, the folders that the spec has it read in `given`.
    """
    folders = zip(given, spec.read_only, strict=True)
    number = str(user_id(spec.user))
    return [
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup"),
        *("--disable-userns", "--uid", number, "--gid", number, "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
        *_variables(spec),
        *_programs(root),
        *_etc(spec, control, root),
        *("--proc", "/proc", "--dev", "/dev"),
        *_masks(),
        *_writable(spec),
        *("--ro-bind", str(control), INSIDE),
        *(word for path, place in folders for word in ("--ro-bind", str(path), place)),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", spec.folders[0]),
    ]


def _variables(spec: SandboxSpec) -> list[str]:
    variables = {
        "PATH": PATH,
        "HOME": home(spec.user),
        "USER": spec.user,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        **spec.env,
    }
    return ["--clearenv", *(word for item in variables.items() for word in ("--setenv", *item))]


def _programs(root: Path) -> list[str]:
    names = HOST_PARTS if root == Path("/") else _names(root, OWN_PLACES)
    found: list[str] = []
    for name in names:
        path = root / name
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), f"/{name}"]
        elif path.is_dir():
            found += ["--ro-bind", str(path), f"/{name}"]
    return found


def _names(folder: Path, hidden: Iterable[str]) -> list[str]:
    return sorted({path.name for path in folder.iterdir()} - set(hidden)) if folder.is_dir() else []


def _etc(spec: SandboxSpec, control: Path, root: Path) -> list[str]:
    own = etc(spec)
    shown = HOST_ETC if root == Path("/") else _names(root / "etc", own)
    found = [word for name in own for word in ("--ro-bind", str(control / "etc" / name), f"/etc/{name}")]
    for name in shown:
        path = root / "etc" / name
        if name.split("/")[0] not in own and path.exists():
            found += ["--ro-bind", str(path), f"/etc/{name}"]
    return found


def _masks() -> list[str]:
    masks: list[str] = []
    for name in MASKED:
        path = Path("/proc") / name
        if path.is_dir():
            masks += ["--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path)]
        elif path.exists():
            masks += ["--ro-bind", "/dev/null", str(path)]
    return masks


def _writable(spec: SandboxSpec) -> list[str]:
    places = ("/tmp", "/var/tmp", "/dev/shm", home(spec.user), *spec.folders)
    mounts: list[str] = []
    for place in sorted(set(places), key=len):  # a folder before those in it
        mode = "1777" if place in ("/tmp", "/var/tmp", "/dev/shm") else "0755"
        mounts += ["--perms", mode, "--size", str(spec.disk), "--tmpfs", place]
    return mounts
