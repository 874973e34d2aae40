"""Each limit holds, gives its clear result, and the next command works. The bombs are small: so are the limits."""

from __future__ import annotations

import io
import tarfile
import time

import pytest

from arena.sandboxes import SandboxSpec, SyncSandbox, _files

MIB = 1 << 20
SPEC = SandboxSpec(processes=24, memory=64 * MIB, disk=8 * MIB, timeout=120, output=4 * MIB)


@pytest.fixture(scope="module")
def box(back_end):
    with SyncSandbox(SPEC, back_end) as sandbox:
        yield sandbox


@pytest.fixture(params=["exec", "shell"])
def run(request, box):
    """Both ways to run a command; afterwards both still work, and the shell has kept its variable."""
    shell = box.shell()
    shell.run(f"kept='{request.node.nodeid.encode().hex()}'")
    yield box.exec if request.param == "exec" else shell.run
    assert box.exec("echo fine").text == "fine\n"
    kept = shell.run("echo $kept").text
    # A command in a container is of the shell's user and may kill it before its state was looked at: it begins anew.
    killed = box.inner.kind == "docker" and "can_kill_the_sandbox" in request.node.name
    assert kept == f"{request.node.nodeid.encode().hex()}\n" or (killed and kept == "\n")


EAT = "python3 -c 'x = bytearray(200 << 20); x[::4096] = bytes(len(x[::4096])); print(len(x))'"


def test_memory_bomb(box, run):
    done = run(EAT)
    assert done.exit_code != 0
    assert not done.stdout
    if "control groups" in box.inner.capabilities().memory:
        assert (done.exit_code, done.oom_killed) == (137, True)
    else:
        assert "MemoryError" in done.error_text


def test_many_small_eaters(box, run):
    """The limit is the sandbox's: ten processes may not each have it."""
    if "control groups" not in box.inner.capabilities().memory:
        pytest.skip("without control groups memory is limited for each process alone")
    eat = "python3 -c 'x = b\"x\" * (30 << 20); import time; time.sleep(0.5)'"
    assert run(" & ".join([eat] * 8) + " & wait; true").oom_killed


@pytest.mark.parametrize(
    "bomb", [":() { : | : & }; :; sleep 0.4", "f() { f & f & wait; }; f", "while :; do sleep 9 & done"]
)
def test_fork_bomb(box, run, bomb):
    done = run(bomb, timeout=1)
    assert done.timed_out or done.out_of_processes or "Resource temporarily unavailable" in done.error_text
    assert box.stats().processes <= SPEC.processes + 8


def test_fork_bomb_that_outlives_its_command(box, run):
    run(":() { : | : & }; : >/dev/null 2>&1", timeout=10)
    time.sleep(0.2)
    run("true")
    assert run("(exit 3) | cat; echo ${PIPESTATUS[0]}").text == "3\n"


@pytest.mark.parametrize("folder", ["/work", "/tmp", "/home/agent", "/dev/shm"])
def test_disk_filler(box, folder):
    done = box.exec(f"head -c 20M /dev/zero >{folder}/full")
    assert done.exit_code == 1
    assert "No space left on device" in done.error_text
    with pytest.raises(OSError, match="No space left"):
        box.write(f"{folder}/more", b"x" * MIB)
    assert box.exec(f"rm {folder}/full {folder}/more; echo fine").text == "fine\n"


@pytest.mark.parametrize("place", ["/", "/dev", "/etc", "/run", "/var", "/home"])
def test_nothing_else_can_be_filled(box, place):
    assert box.exec(["touch", f"{place}/x"]).exit_code == 1


def test_output_flood(run):
    done = run("yes | head -c 50M; echo end >&2", max_output=MIB)
    assert (done.exit_code, done.truncated) == (0, True)
    assert done.stdout == (b"y\n" * MIB)[:MIB]
    assert done.error_text.endswith("end\n")


def test_a_gigabyte_of_output(box):
    done = box.shell().run("yes | head -c 1G", max_output=MIB, timeout=240)
    assert (done.exit_code, done.truncated, len(done.stdout)) == (0, True, MIB)
    assert box.shell().run("echo fine").text == "fine\n"


def test_endless_flood(run):
    done = run("yes", timeout=0.3, max_output=1000)
    assert (done.exit_code, done.timed_out, done.truncated, len(done.stdout)) == (124, True, True, 1000)


def test_endless_loop(run):
    done = run("while :; do :; done", timeout=0.3)
    assert (done.exit_code, done.timed_out) == (124, True)
    assert done.duration < 60


def test_signal_ignoring_child(run, box):
    done = run(
        "trap '' INT TERM HUP QUIT; setsid -f bash -c \"trap '' TERM; exec -a stubborn sleep 60\"; sleep 60",
        timeout=0.4,
    )
    assert done.timed_out
    assert "stubborn" not in box.exec("cat /proc/[0-9]*/cmdline").text


def test_background_daemon(run, box):
    """It outlives its command, does not hold it up, and its output goes nowhere; the next timeout ends it."""
    done = run("setsid -f bash -c 'while :; do echo noise; sleep 0.01; done'; echo started")
    assert done.exit_code == 0
    assert done.duration < 60
    assert "noise" not in run("sleep 0.1; echo next").text
    assert box.exec("pgrep -c -f noise").text == "1\n" or box.exec("grep -l noise /proc/[0-9]*/cmdline").stdout
    box.exec("sleep 60", timeout=0.2)
    assert b"noise" not in box.exec("cat /proc/[0-9]*/cmdline | tr -d '\\0' | sed s/cat.*//").stdout


@pytest.mark.parametrize("suicide", ["kill -9 -1", "kill -9 1; kill -TERM 1; kill -STOP 1", "kill -9 $PPID; sleep 0.1"])
def test_nobody_inside_can_kill_the_sandbox(run, suicide):
    """An agent that could break its sandbox for good would turn a failure into an unscored episode."""
    run(suicide)


HUNTER = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            try:
                os.kill(int(name), signal.SIGKILL)
            except OSError:
                pass
"""


def test_a_process_that_kills_all_others(back_end):
    """No command works beside it, and each gets a result, not an error that would leave the episode unscored."""
    with SyncSandbox(SPEC, back_end) as sandbox:
        sandbox.write("hunter.py", HUNTER)
        shell = sandbox.shell()
        shell.run("kept=1")
        snapshot = sandbox.snapshot()
        shell.run("setsid python3 hunter.py >/dev/null 2>&1 & sleep 5", timeout=5)
        for run in (sandbox.exec, shell.run):
            assert run("true", timeout=5).exit_code in (0, 124, 137)
        sandbox.restore(snapshot)
        snapshot.release()
        assert sandbox.exec("echo fine").text == "fine\n"
        assert shell.run("echo $kept").text == "1\n"


def test_the_supervisor_as_the_kernel_s_choice(back_end):
    """Out of memory with process 1 marked as the first to go: a result, whoever it hits."""
    with SyncSandbox(SPEC, back_end) as sandbox:
        done = sandbox.exec(f"echo 1000 >/proc/1/oom_score_adj; {EAT}")
        assert done.exit_code != 0
        assert not done.stdout
        assert isinstance(sandbox.exec("true").exit_code, int)


def test_binary_and_other_encodings(run):
    every = bytes(range(256))
    done = run("printf '\\377\\376\\0é'; cat", stdin=every)
    assert done.stdout == b"\xff\xfe\0" + "é".encode() + every
    assert done.text.startswith("\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\0é")


def test_huge_environment(box):
    many = {f"V{number}": "x" * 1000 for number in range(500)}
    assert box.exec("env | grep -c ^V", env=many).text == "500\n"
    done = box.exec("env", env={"HUGE": "x" * 3 * MIB})
    assert done.exit_code == 126
    assert "too long" in done.error_text
    assert box.exec("echo fine").text == "fine\n"


def test_huge_command(box):
    text = "x" * MIB
    assert box.shell().run(f": {text}; echo fine").text == "fine\n"


def test_ten_thousand_files(box, tmp_path):
    box.exec("mkdir many && cd many && seq 10000 | xargs touch && echo x >1")
    brought = box.download("many", tmp_path / "many")
    assert (brought.files, brought.bytes, brought.refused) == (10_000, 2, ())
    box.exec("rm -rf many")


def test_downloads_refuse_what_could_harm_the_host(box, tmp_path):
    box.exec(
        "mkdir out && cd out && echo x >file && ln -s /etc/passwd link && ln file hard && mkfifo pipe && ln -s / root"
    )
    brought = box.download("out", tmp_path / "out")
    assert brought.files == 1
    assert sorted(line.split("'")[1] for line in brought.refused)[1:] == ["./link", "./pipe", "./root"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[0] in ("file", "hard")
    box.exec("rm -rf out")


def hostile(*members):
    """An archive as only a forged `tar` would write it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            member.size = 1 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"x"))
    return file


@pytest.mark.parametrize(
    "members",
    [
        [("../out", tarfile.REGTYPE, "")],
        [("a/../../out", tarfile.REGTYPE, "")],
        [("/tmp/arena-out", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, ".."), ("link/out", tarfile.REGTYPE, "")],
        [("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [("null", tarfile.CHRTYPE, "")],
        [("disk", tarfile.BLKTYPE, "")],
        [("pipe", tarfile.FIFOTYPE, "")],
    ],
)
def test_forged_archives(tmp_path, members):
    target = tmp_path / "target"
    _files.unpack(hostile(*members), target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    for path in target.rglob("*"):
        assert not path.is_symlink()
        assert path.is_file() or path.is_dir()
    outside = target / "link" / "out"
    assert not outside.exists() or outside.resolve().is_relative_to(target.resolve())


def test_archives_never_write_through_a_link_that_was_there(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target" / "link").symlink_to(tmp_path / "elsewhere")
    _, _, refused = _files.unpack(hostile(("link/out", tarfile.REGTYPE, "")), tmp_path / "target")
    assert len(refused) == 1
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("rubbish", [b"", b"no tar"])
def test_rubbish_is_no_archive(tmp_path, rubbish):
    with pytest.raises(OSError, match="archive"):
        _files.unpack(io.BytesIO(rubbish), tmp_path / "target")


def test_a_download_stops_at_its_limit(box, tmp_path):
    """A sparse file takes no room inside and would take all of it outside."""
    box.exec("truncate -s 7M sparse; mkdir d; mv sparse d")
    with pytest.raises(OSError, match="more than the limit"):
        box.download("d", tmp_path / "d", max_bytes=MIB)
    box.exec("rm -rf d")
