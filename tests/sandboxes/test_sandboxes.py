"""What a sandbox does for a user, on each back end: commands, the shell, files, snapshots."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace

import pytest

from arena.core.errors import UsageError
from arena.sandboxes import SandboxSpec, SyncSandbox, _shell, load_snapshot

SPEC = SandboxSpec(processes=64, memory=128 << 20, disk=32 << 20, timeout=120)


@pytest.fixture(scope="module")
def box(back_end):
    with SyncSandbox(SPEC, back_end) as sandbox:
        yield sandbox


@pytest.fixture
def shell(box):
    shell = box.shell()
    yield shell
    shell.close()


# Commands


def test_a_program_gets_exactly_its_arguments(box):
    words = ["a b", "$HOME", "'", '"', "\\", "", "-n", "é\n", "*"]
    done = box.exec(["printf", "<%s>", *words])
    assert (done.exit_code, done.text) == (0, "".join(f"<{word}>" for word in words))


def test_both_streams_exit_code_and_input(box):
    done = box.exec("cat; echo oops >&2; exit 7", stdin=b"in\0put")
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"in\0put", b"oops\n")
    assert 0 < done.duration < 20


def test_merged_output_keeps_the_order_of_writing(box):
    assert box.exec("echo 1; echo 2 >&2; echo 3", merge=True).stdout == b"1\n2\n3\n"


def test_folder_and_variables_of_one_command(box):
    done = box.exec('pwd; echo "$A $HOME"; env | grep odd', cwd="/tmp", env={"A": "x y", "odd.name": "z"})
    assert done.text == "/tmp\nx y /home/agent\nodd.name=z\n"
    assert "A=" not in box.exec(["env"]).text


@pytest.mark.parametrize(
    ("command", "options", "code", "message"),
    [
        (["no-such-program"], {}, 127, "no-such-program: command not found\n"),
        (["/etc/passwd"], {}, 126, "/etc/passwd: Permission denied\n"),
        (["/etc/nothing"], {}, 127, "/etc/nothing: command not found\n"),
        (["true"], {"cwd": "/nowhere"}, 126, "/nowhere: cannot enter this folder\n"),
        ("kill -9 $$", {}, 137, ""),
        ("kill -TERM $$", {}, 143, ""),
    ],
)
def test_what_goes_wrong_in_a_command_is_its_result(box, command, options, code, message):
    done = box.exec(command, **options)
    assert (done.exit_code, done.error_text) == (code, message)


@pytest.mark.parametrize("wrong", [{"command": ["a\0b"]}, {"command": []}])
def test_what_the_caller_got_wrong_is_a_usage_error(box, wrong):
    with pytest.raises(UsageError):
        box.exec(**wrong)
    assert box.exec("echo fine").text == "fine\n"


def test_programs_can_be_interrupted_as_usual(box):
    """Background jobs of a plain shell ignore SIGINT, and so would every test suite that is run in here."""
    done = box.exec(["python3", "-c", "import signal; print(signal.getsignal(2) is signal.default_int_handler)"])
    assert done.text == "True\n"


def test_programs_can_be_interrupted_even_if_arena_runs_in_the_background(back_end):
    """`arena eval … &` in a script ignores SIGINT, and hands that on to all it starts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with SyncSandbox(SPEC, back_end) as sandbox:
            assert sandbox.exec("kill -INT $$; echo ignored").exit_code == 130
    finally:
        signal.signal(signal.SIGINT, before)


def test_commands_at_once(back_end):
    """Sixteen at once are told apart, and the timeout of one ends none of the others."""

    async def all_at_once():
        async with await back_end.create(SPEC) as sandbox:
            slow = sandbox.exec("sleep 0.6; echo slow")
            stuck = sandbox.exec("sleep 30 & sleep 30", timeout=0.2)
            quick = [sandbox.exec(["echo", str(number)]) for number in range(14)]
            return await asyncio.gather(slow, stuck, *quick)

    slow, stuck, *quick = asyncio.run(all_at_once())
    assert (slow.exit_code, slow.text, stuck.timed_out) == (0, "slow\n", True)
    assert [done.text for done in quick] == [f"{number}\n" for number in range(14)]


def test_a_command_that_starts_programs_all_the_time_outlives_the_timeouts_of_others(back_end):
    """Some of its programs end between two looks of whoever ends the others: such a gap must not cost it its life."""

    async def play():
        async with await back_end.create(SPEC) as sandbox:
            busy = asyncio.create_task(sandbox.exec("until [ -e stop ]; do (/bin/true | /bin/true); done; echo done"))
            stuck = [await sandbox.exec("sleep 30 & sleep 30", timeout=0.05) for _ in range(12)]
            await sandbox.exec("touch stop")
            return await busy, stuck

    busy, stuck = asyncio.run(play())
    assert (busy.exit_code, busy.text) == (0, "done\n")
    assert all(done.timed_out for done in stuck)


def test_a_cancelled_command_does_not_run_on(back_end):
    async def cancel():
        async with await back_end.create(SPEC) as sandbox:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sandbox.exec(["sleep", "30.25"]), 0.2)
            await asyncio.sleep(0.1)
            return (await sandbox.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).text

    assert "30.25" not in asyncio.run(cancel())


# The shell


def test_the_shell_keeps_its_state(shell):
    shell.run("cd /tmp; x='a b'; export y=2; f() { echo \"f $1\"; }; list=(1 '2 3'); set -o pipefail; false")
    assert shell.run('echo $? "$x" "$PWD"; f 1; echo "${list[1]}"; printenv y; set -o | grep pipefail').text == (
        "1 a b /tmp\nf 1\n2 3\n2\npipefail       \ton\n"
    )


def test_the_shell_keeps_jobs(shell):
    shell.run("(sleep 0.1; exit 5) & job=$!")
    assert shell.run("wait $job; echo $?").text == "5\n"


@pytest.mark.parametrize(
    "stuck", ["while :; do :; done", "sleep 30", "trap '' INT TERM; sleep 30 & wait", "cat <(sleep 30)"]
)
def test_the_shell_recovers_from_a_timeout(shell, stuck):
    """Folder and variables are those from before the command that took too long."""
    shell.run("cd /tmp; kept=1")
    done = shell.run(f"echo before; kept=2; cd /; {stuck}", timeout=0.3)
    assert (done.exit_code, done.timed_out, done.text) == (124, True, "before\n")
    assert shell.run("echo $kept $PWD; ls /proc | grep -c '^[0-9]'").text.split()[:2] == ["1", "/tmp"]


@pytest.mark.parametrize(
    ("end", "code"), [("exit 3", 3), ("set -e; false; echo no", 1), ("exec true", 0), ("kill -9 $$", 137)]
)
def test_the_shell_recovers_from_its_end(shell, end, code):
    shell.run("kept=1")
    assert shell.run(end).exit_code == code
    assert shell.run("echo $kept").text == "1\n"


@pytest.mark.parametrize(
    "odd", ["break", "continue", "return 3", "if", "exec 3>&- 4>&-", "unset PATH", "readonly x=1", "IFS=,"]
)
def test_odd_commands_do_not_break_the_shell(shell, odd):
    shell.run(odd)
    assert shell.run("builtin echo fine").text == "fine\n"


def test_a_poisoned_state_is_given_up(back_end, monkeypatch):
    """An agent that could keep the shell from starting would turn a failure into an unscored episode."""
    monkeypatch.setattr(_shell, "STATE_SECONDS", 2.0)
    with SyncSandbox(SPEC, back_end) as sandbox:
        shell = sandbox.shell()
        shell.run("true")
        shell.inner.state = b"builtin() { :; }\n"
        sandbox.exec("kill -9 -1")
        shell.inner.drop()
        assert shell.run("echo fine").text == "fine\n"


def test_the_shell_says_the_same_in_the_same_words(shell):
    """A message with a running number in it would make every replay differ."""
    assert len({shell.run("no-such-program").stderr for _ in range(3)}) == 1


def test_output_of_a_left_over_job_is_not_a_later_command_s(shell):
    shell.run("(sleep 0.1; echo late) &")
    assert shell.run("sleep 0.3; echo mine").text == "mine\n"


# Files


def test_files_come_back_as_they_were(box):
    for content in (b"", b"\0\xff\r\n" * 1000, os.urandom(3 << 20)):
        box.write("deep/er/file", content)
        assert box.read("/work/deep/er/file") == content


@pytest.mark.parametrize(
    ("path", "error"),
    [("missing", FileNotFoundError), ("/tmp", IsADirectoryError), ("locked", PermissionError), ("pipe", OSError)],
)
def test_reading_what_cannot_be_read(box, path, error):
    box.exec("echo x >locked; chmod 000 locked; [ -p pipe ] || mkfifo pipe")
    with pytest.raises(error):
        box.read(path)


def test_reading_stops_at_the_limit(box):
    box.exec("truncate -s 1M big")
    with pytest.raises(OSError, match="more than the limit"):
        box.read("big", max_bytes=1000)


@pytest.mark.parametrize("path", ["/usr/x", "/etc/passwd", "/run/arena/x", "/x"])
def test_writing_where_nothing_may_be_written(box, path):
    with pytest.raises(OSError, match=r"Read-only|Permission denied"):
        box.write(path, "x")


def test_trees_there_and_back(box, tmp_path):
    source = tmp_path / "source"
    (source / "a" / "empty").mkdir(parents=True)
    (source / "a" / "run.sh").write_text("echo ran")
    (source / "a" / "run.sh").chmod(0o755)
    (source / "link").symlink_to("a/run.sh")
    box.upload(source, "tree")
    assert box.exec("sh link", cwd="tree").text == "ran\n"
    brought = box.download("tree", tmp_path / "target")
    assert (brought.files, brought.bytes) == (1, 8)
    assert brought.refused == ("'./link': a link to 'a/run.sh'",)
    assert (tmp_path / "target/a/empty").is_dir()
    assert os.access(tmp_path / "target/a/run.sh", os.X_OK)
    assert box.download("tree/a/run.sh", tmp_path / "one").files == 1
    assert (tmp_path / "one/run.sh").read_text() == "echo ran"


def test_folders_to_read_cannot_be_changed(back_end, tmp_path):
    """Tests that grade what an agent wrote lie in one: whoever could change them would grade himself."""
    (tmp_path / "deep").mkdir(mode=0o700)
    (tmp_path / "deep" / "test.sh").write_text("echo graded\n")
    (tmp_path / "deep" / "test.sh").chmod(0o700)
    with SyncSandbox(replace(SPEC, read_only={"/tests": str(tmp_path)}), back_end) as sandbox:
        assert sandbox.exec(["/tests/deep/test.sh"]).exit_code != 127
        assert sandbox.exec("bash /tests/deep/test.sh").text == "graded\n"
        attempts = "echo x >/tests/new; echo x >/tests/deep/test.sh; rm -rf /tests/deep; chmod -R 777 /tests"
        assert sandbox.exec(attempts).exit_code != 0
        assert sandbox.exec("ls -R /tests; cat /tests/deep/test.sh").text.endswith("test.sh\necho graded\n")
    assert (tmp_path / "deep" / "test.sh").read_text() == "echo graded\n"
    with pytest.raises(UsageError, match="no folder"):
        SyncSandbox(replace(SPEC, read_only={"/tests": "/no/where"}), back_end)


# Snapshots


def test_one_snapshot_feeds_many_branches(box, back_end):
    shell = box.shell()
    shell.run("cd /work; rm -rf * && mkdir s && cd s && echo one >f && chmod 600 f && ln -s f l && x=1")
    snapshot = box.snapshot()
    assert box.stats().snapshots == 1
    assert snapshot.size > 0
    shell.run("echo two >f; x=2; cd /; mkdir -p /work/new/er; chmod 500 /work/new")
    look = "echo $x $PWD; cat f; stat -c %a f; readlink l; ls /work"
    with SyncSandbox(SPEC, back_end) as other:
        for place in (box, other):
            place.restore(snapshot)
            assert place.shell().run(look).text == "1 /work/s\none\n600\nf\ns\n"
    snapshot.release()
    snapshot.release()
    assert box.stats().snapshots == 0
    with pytest.raises(UsageError, match="released"):
        box.restore(snapshot)


def test_a_snapshot_travels_as_bytes(box, back_end):
    """To another process, or into a record: files, links and the shell's state are as they were."""
    shell = box.shell()
    shell.run("cd /work; printf 'a\\0b' >bytes; ln -s bytes link; cd /tmp; word='two\nlines'")
    snapshot = box.snapshot()
    data = snapshot.to_bytes()
    snapshot.release()
    with pytest.raises(UsageError, match="has been released"):
        snapshot.to_bytes()
    with SyncSandbox(SPEC, back_end) as other:
        loaded = load_snapshot(data)
        other.restore(loaded)
        loaded.release()
        said = other.shell().run('pwd; printf "%s" "$word"; cat /work/link')
        assert said.stdout == b"/tmp\ntwo\nlinesa\0b"
    for damaged in (b"", data[:-9], b"no snapshot"):
        with pytest.raises(UsageError, match="no snapshot of a sandbox, or they are damaged"):
            load_snapshot(damaged)


def test_a_snapshot_fits_sandboxes_with_the_same_folders(box, back_end):
    snapshot = box.snapshot()
    with (
        SyncSandbox(SandboxSpec(folders=("/work", "/data")), back_end) as other,
        pytest.raises(UsageError, match="work folders"),
    ):
        other.restore(snapshot)
    snapshot.release()


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"memory": -1},
        {"folders": ()},
        {"folders": ("work",)},
        {"folders": ("/usr/x",)},
        {"user": "A b"},
    ],
)
def test_specs_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        SandboxSpec(**wrong)


# Pause


def test_a_paused_sandbox_stands_still(back_end):
    """Nothing happens in it from the pause to the end of it, and then it goes on."""
    with SyncSandbox(SPEC, back_end) as sandbox:
        sandbox.shell().run("while :; do echo $EPOCHREALTIME >>times; sleep 0.01; done &")
        sandbox.pause()
        sandbox.pause()
        for use in (lambda: sandbox.exec("true"), lambda: sandbox.shell().run("true"), sandbox.snapshot):
            with pytest.raises(UsageError, match="paused"):
                use()
        sandbox.resume()
        sandbox.resume()
        sandbox.pause()
        begin = time.time()
        time.sleep(0.5)
        end = time.time()
        sandbox.resume()
        times = [0.0]
        while times[-1] < end:
            times = [float(line) for line in sandbox.read("times").split()]
        assert not [when for when in times if begin < when < end]


def test_no_pause_while_a_command_is_under_way(back_end):
    async def play():
        async with await back_end.create(SPEC) as sandbox:
            running = asyncio.create_task(sandbox.exec("sleep 0.5"))
            await asyncio.sleep(0.2)
            with pytest.raises(UsageError, match="under way"):
                await sandbox.pause()
            await running
            await sandbox.pause()  # and it is closed while paused

    asyncio.run(play())
