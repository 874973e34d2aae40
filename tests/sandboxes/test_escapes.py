"""Ways out of a sandbox that must not lead anywhere, on each back end."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from arena.sandboxes import SandboxSpec, SyncSandbox, _held

SPEC = SandboxSpec(processes=64, memory=128 << 20, disk=8 << 20, timeout=120)
SECRET = "sandbox-secret-71c2"


@pytest.fixture(scope="module")
def box(back_end):
    os.environ["ARENA_TEST_SECRET"] = SECRET
    try:
        with SyncSandbox(SPEC, back_end) as sandbox:
            yield sandbox
    finally:
        del os.environ["ARENA_TEST_SECRET"]


@pytest.fixture(scope="module")
def other(box, back_end):
    with SyncSandbox(SPEC, back_end) as sandbox:
        sandbox.write("/work/secret", SECRET)
        sandbox.write("/dev/shm/secret", SECRET)
        yield sandbox


def python(box, code):
    done = box.exec(["python3", "-"], stdin=code)
    assert done.exit_code == 0, done.error_text
    return done.text.strip()


def test_the_host_s_files_are_not_there(box, tmp_path):
    (tmp_path / "file").write_text(SECRET)
    paths: list[object] = [tmp_path, Path(__file__), Path(sys.prefix), _held.home(), "/boot/grub", "/mnt/*"]
    if box.inner.kind == "bubblewrap":  # an image has these of its own
        paths += ["/etc/shadow", "/root", "/var/lib", "/var/run", "/sys/kernel", "/boot", "/mnt"]
    for path in paths:
        assert box.exec(["test", "-e", str(path)]).exit_code == 1, path
    assert box.exec("ls /home").text == "agent\n"
    assert box.exec("cat /proc/sys/kernel/hostname").text == "sandbox\n"
    if box.inner.kind == "docker":
        mounts = box.exec("cut -d' ' -f2,3 /proc/mounts | grep -v -E ' (proc|sysfs|tmpfs|devpts|mqueue|cgroup2?)$'")
        assert mounts.text.split()[:2] == ["/", "overlay"]
        assert set(mounts.text.split()[2::2]) == {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}
        return
    assert box.exec("ls /").text.split() == sorted(
        [name for name in ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr") if os.path.lexists(f"/{name}")]
        + ["dev", "etc", "home", "proc", "run", "tmp", "var", "work"]
    )


def test_the_host_s_environment_is_not_there(box):
    assert SECRET not in box.exec("env; cat /proc/[0-9]*/environ; set").text


def test_there_is_no_socket_to_anybody(box):
    """The Docker socket above all."""
    assert box.exec("find / -xdev -type s; find /run /var /tmp /dev -type s").text == ""
    assert box.exec("ls /var/run/docker.sock /run/docker.sock").exit_code == 2


def test_other_sandboxes_are_out_of_sight(box, other):
    for path in ("/work", "/dev/shm", "/tmp"):
        assert SECRET not in box.exec(f"grep -rs {SECRET[:7]} {path}").text
    own_users = ",user" if box.inner.kind == "bubblewrap" else ""
    mine, theirs = (
        place.exec(f"readlink /proc/self/ns/{{pid,net,ipc,uts,mnt,cgroup{own_users}}}").text for place in (box, other)
    )
    assert not set(mine.split()) & set(theirs.split())
    assert not set(mine.split()) & {str(path.readlink()) for path in Path("/proc/self/ns").iterdir()}


def test_only_its_own_processes_are_there(box):
    pids = [int(pid) for pid in box.exec("ls /proc | grep '^[0-9]'").text.split()]
    assert len(pids) < 8
    assert str(os.getpid()) not in map(str, pids) or os.getpid() < 1000
    assert "python" not in box.exec(["cat", "/proc/1/cmdline"]).text


def test_commands_inherit_no_open_file(box):
    assert box.exec("ls /proc/self/fd; readlink /proc/self/fd/*").text.split()[:4] == ["0", "1", "2", "3"]
    assert box.exec("ls -l /proc/[0-9]*/fd").text.count("/tmp/arena-") == 0


@pytest.mark.parametrize("place", ["/usr/x", "/usr/bin/env", "/etc/passwd", "/run/arena/x", "/lib/x", "/x"])
def test_what_is_shown_cannot_be_changed(box, place):
    assert box.exec(f"echo x >>{place}; rm -f {place} && echo changed").text == (
        "changed\n" if place.endswith("/x") else ""
    )
    assert not Path(place).is_file() or Path(place).read_bytes()[-2:] != b"x\n"


def test_privileges(box):
    status = dict(
        line.split(":\t") for line in box.exec(["cat", "/proc/self/status"]).text.splitlines() if ":\t" in line
    )
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for program in (
        "su -c id",
        "mount -t tmpfs none /tmp",
        "chown 0 /work",
        "mknod /work/disk b 8 0",
        "unshare -Ur true",
    ):
        assert box.exec(program).exit_code != 0, program


def uid_of(pid):
    return int(Path(f"/proc/{pid}/status").read_text().partition("Uid:\t")[2].split()[0])


def test_the_user_is_nobody_on_the_host(box):
    """Root on the host would own files there; whoever gets out must not."""
    if box.inner.kind == "docker":
        assert uid_of(box.inner._api.inspect_container(box.inner.container)["State"]["Pid"]) == 1000
        return
    uid = uid_of(box.inner._bwrap.child)
    assert uid == os.geteuid() if os.geteuid() else uid > 1_000_000_000


def test_root_inside_is_no_root(back_end):
    with SyncSandbox(SandboxSpec(user="root", processes=32), back_end) as sandbox:
        assert sandbox.exec("id -u; echo $HOME").text == "0\n/root\n"
        assert sandbox.exec("mount -t tmpfs none /tmp; chroot / true; hostname x").exit_code != 0
        assert sandbox.exec("echo 1 >/proc/sys/kernel/panic").exit_code != 0


def test_network(box):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0arena-{os.getpid()}")
        abstract.listen()
        said = python(
            box,
            f"""
import socket
def attempt(family, kind, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
            print("CONNECTED", address)
    except OSError:
        pass
attempt(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", {server.getsockname()[1]}))
attempt(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80))
attempt(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53))
attempt(socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 80))
attempt(socket.AF_UNIX, socket.SOCK_STREAM, "\\0arena-{os.getpid()}")
try:
    print("RESOLVED", socket.getaddrinfo("example.org", 80))
except OSError:
    pass
print(socket.if_nameindex())
""",
        )
    assert said == "[(1, 'lo')]"


@pytest.mark.parametrize("family", ["AF_PACKET", "AF_VSOCK", "AF_ALG", "AF_BLUETOOTH", "AF_INET, socket.SOCK_RAW"])
def test_no_other_sockets(box, family):
    """AF_VSOCK would reach the host of a virtual machine: no namespace holds it."""
    said = python(
        box, f"import socket\ntry:\n    socket.socket(socket.{family}); print('OPEN')\nexcept OSError: print('refused')"
    )
    assert said == "refused"


CALLS = {
    "mount": (165, 40, "b'none', b'/tmp', b'tmpfs', 0, None"),
    "umount": (166, 39, "b'/proc', 0"),
    "pivot_root": (155, 41, "b'/tmp', b'/tmp'"),
    "chroot": (161, 51, "b'/tmp'"),
    "fsopen": (430, 430, "b'tmpfs', 0"),
    "open_tree": (428, 428, "-100, b'/', 1"),
    "unshare user": (272, 97, "0x10000000"),
    "clone user": (56, 220, "0x10000000, 0, 0, 0, 0"),
    "setns": (308, 268, "0, 0"),
    "ptrace": (101, 117, "16, 1, 0, 0"),
    "process_vm_readv": (310, 270, "1, None, 0, None, 0, 0"),
    "keyctl": (250, 219, "0, -3, 1"),
    "add_key": (248, 217, "b'user', b'x', b'y', 1, -3"),
    "request_key": (249, 218, "b'user', b'x', None, 0"),
    "bpf": (321, 280, "0, None, 0"),
    "perf_event_open": (298, 241, "None, 0, -1, -1, 0"),
    "userfaultfd": (323, 282, "1"),
    "io_uring_setup": (425, 425, "1, None"),
    "open_by_handle_at": (304, 265, "-100, None, 0"),
    "kexec_load": (246, 104, "0, 0, None, 0"),
    "init_module": (175, 105, "None, 0, b''"),
    "syslog": (103, 116, "3, None, 0"),
    "reboot": (169, 142, "0, 0, 0, None"),
    "TIOCSTI": (16, 29, "0, 0x5412, b'x'"),
    "limits of process 1": (302, 261, "1, 0, None, None"),
    "limits of process 1, in a long number": (302, 261, "ctypes.c_uint64(1 << 32 | 1), 0, None, None"),
    "processors of process 1": (203, 122, "1, 0, None"),
    "scheduler of process 1": (144, 119, "1, 0, None"),
    "scheduling of process 1": (142, 118, "1, None"),
    "scheduling of process 1, newer": (314, 274, "1, None, 0"),
    "priority of process 1": (141, 140, "0, 1, 19"),
    "priority of all the user's processes": (141, 140, "2, 0, 19"),
    "disk priority of process 1": (251, 30, "1, 1, 0"),
    "disk priority of all the user's processes": (251, 30, "3, 0, 0"),
}


def error_of_call(box, number, arguments):
    setup = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)"
    return int(python(box, f"{setup}\nlibc.syscall({number}, {arguments})\nprint(ctypes.get_errno())"))


@pytest.mark.parametrize("name", CALLS)
def test_system_calls_that_are_refused(box, name):
    """EPERM comes from the filter: without it most of these would fail with something else."""
    x86, arm, arguments = CALLS[name]
    number = arm if os.uname().machine == "aarch64" else x86
    assert error_of_call(box, number, arguments) == errno.EPERM


@pytest.mark.parametrize("number", [435, 0x40000000 + 39])
def test_system_calls_that_do_not_exist(box, number):
    """clone3, whose flags a filter cannot see, and x86-64's second table, which would go around it."""
    if box.inner.kind == "docker" and number != 435:
        call = f"import ctypes; ctypes.CDLL(None).syscall({number}, None, 0)"
        assert box.exec(["python3", "-c", call]).exit_code == 128 + signal.SIGSYS
    else:
        assert error_of_call(box, number, "None, 0") == errno.ENOSYS


@pytest.mark.parametrize(
    "file",
    [
        "sys/kernel/core_pattern",
        "sys/kernel/modprobe",
        "sys/vm/drop_caches",
        "sysrq-trigger",
        "1/mem",
        "irq/default_smp_affinity",
    ],
)
def test_proc_cannot_be_written(box, file):
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    assert box.exec(f"echo x >/proc/{file}").exit_code != 0 or file == "1/mem"
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    assert box.exec("echo fine").text == "fine\n"


@pytest.mark.parametrize(
    "attempt",
    [
        "timeout 5 cat /proc/1/fd/0",
        "echo forged >/proc/1/fd/1",
        "cat /proc/1/environ",
        "readlink /proc/1/exe /proc/1/cwd",
        "python3 -c \"open('/proc/1/mem', 'r+b')\"",
    ],
)
def test_the_supervisor_is_out_of_reach(box, attempt):
    """Who read its orders, or wrote into its memory, would turn a failure into an unscored episode."""
    done = box.exec(attempt)
    assert done.exit_code != 0
    assert "Permission denied" in done.error_text or not done.stdout
    assert box.exec("true").exit_code == 0
    assert box.exec("sleep 60", timeout=0.2).timed_out


def test_own_limits_and_priority_can_be_lowered(box):
    """The calls that would starve the supervisor are of use to honest programs."""
    code = "import os, resource; os.nice(1); os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    limit = "resource.prlimit(os.getpid(), resource.RLIMIT_CORE, (0, 0)); print('fine')"
    assert python(box, code + limit) == "fine"


def test_proc_says_nothing_of_the_machine(box):
    for name in ("kcore", "keys", "kallsyms", "timer_list"):
        assert box.exec(f"head -c 100 /proc/{name}").stdout == b"", name


def test_control_groups_are_out_of_reach(box):
    if box.inner.kind == "docker":
        places = "/sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/pids"
        assert box.exec(f"for place in {places}; do mkdir $place/mine && exit; done; false").exit_code == 1
        writing = "for file in $(find /sys/fs/cgroup -type f); do echo 1 >$file && exit; done; false"
        assert box.exec(f"{{ {writing}; }} 2>/dev/null").exit_code == 1
    else:
        assert box.exec("ls /sys").exit_code == 2
    for line in box.exec(["cat", "/proc/self/cgroup"]).text.splitlines():
        assert line.count("/") == 1, "the group's place on the host is shown"
    assert box.exec("mount -t cgroup2 none /tmp; mount -t cgroup -o memory none /tmp").exit_code != 0


def test_limits_cannot_be_raised(box):
    if box.inner.kind == "bubblewrap":  # the number of processes is the control group's affair in a container
        assert box.exec("ulimit -u 1000").exit_code != 0
    assert box.exec("ulimit -f unlimited").exit_code != 0
    assert box.exec("ulimit -n 100000").exit_code != 0
