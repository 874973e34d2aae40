"""Writing a run: episodes are appended, turns journalled, images kept once.

What a method has written survives the death of the process; it is on the disk itself within a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from arena.core.episode import Episode, ImagePart, Key, Message, Turn
from arena.core.errors import InfrastructureError, ResumeRefused, UsageError
from arena.records._config import config_difference, read_config, write_config
from arena.records._files import open_to_append, replace_file, write_all
from arena.records._frames import Damage, FrameCodec, cut_torn_tail, shard_name
from arena.records._index import Index, read_superseded, shard_paths
from arena.records._journal import Journal, read_journal
from arena.records._lock import RunLock
from arena.records.rows import Row, row_of

_SYNC_SECONDS = 1.0


def create_run(folder: str | os.PathLike[str], config: Mapping[str, Any]) -> RunWriter:
    """Begin a run in a new folder.

    Args:
        folder: where; it may exist but must not hold a run.
        config: the resolved configuration, written to `run.toml`. Values that look secret are left out.

    Raises:
        UsageError: the folder holds a run already.
        RunLocked: another process is about to write there.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    lock = RunLock(path)
    try:
        if (path / "run.toml").exists():
            raise UsageError(f"{path} already holds a run. Resume it with --resume {path}, or choose another folder.")
        for part in ("episodes", "blobs", "journal"):
            (path / part).mkdir(exist_ok=True)
        write_config(path, config)
        return RunWriter(path, lock)
    except BaseException:
        lock.release()
        raise


def resume_run(
    folder: str | os.PathLike[str], config: Mapping[str, Any], keys: Iterable[str] | None = None
) -> RunWriter:
    """Go on with a run. `run.toml` stays as it is; torn tails of the shards are cut off.

    Args:
        folder: the run.
        config: the resolved configuration of now.
        keys: the settings that must not have changed, dotted, each with all below it; None for all.

    Raises:
        ResumeRefused: they have changed; shows how.
        UsageError: the folder holds no run.
        RunLocked: another process is writing to it.
    """
    path = Path(folder)
    started_with, _ = read_config(path)
    if difference := config_difference(started_with, config, keys):
        lines = "\n  ".join(difference)
        raise ResumeRefused(
            f"{path} was started with another configuration:\n  {lines}\n"
            "Resume it with the settings it was started with, or start a new run."
        )
    lock = RunLock(path)
    try:
        return RunWriter(path, lock)
    except BaseException:
        lock.release()
        raise


def join_run(folder: str | os.PathLike[str], shard: str) -> RunWriter:
    """Write to a run that another process is writing to: one of several that work together.

    The writer it joins holds the run's lock and brings in order what earlier ones left; this one only appends
    episodes, turns and blobs.

    Args:
        folder: the run; on several machines in a file system that they share.
        shard: `RunWriter.shard_beside` of the writer that is joined, another for each that joins it.
    """
    return RunWriter(Path(folder), None, shard)


class RunWriter:
    """A writer of a run folder; made by `create_run`, `resume_run` and `join_run`. Safe to use from several threads.

    Attributes:
        folder: the run.
        damage: what was cut off the shards when the run was opened.
    """

    def __init__(self, folder: Path, lock: RunLock | None, shard: str | None = None) -> None:
        self.folder = folder
        self._run_lock = lock
        # Who joins a run leaves the index to the writer that holds the lock; readers bring it up to date.
        self._index = Index.open(folder) if lock is not None else None
        self.damage: tuple[Damage, ...] = tuple(self._cut(self._index)) if self._index is not None else ()
        self._shard = shard or self._next_shard()
        self._journal = Journal(folder / "journal" / f"{self._shard}.jsonl")
        self._descriptor, self._size = -1, 0
        self._codec = FrameCodec()
        self._lock = threading.Lock()
        self._blobs: set[str] = set()
        self._rows: list[Row] = []
        self._unsynced: list[Path] = []
        self._failure: OSError | None = None
        self._closed, self._dirty, self._ending = False, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep_synced, name=f"sync {folder.name}", daemon=True)
        self._thread.start()
        for damage in self.damage:
            self.log(f"cut off: {damage}")

    def append(self, episode: Episode) -> Row:
        """Write an episode's record, and forget its journal.

        Raises:
            InfrastructureError: the disk is full or failed; what was written before stands.
        """
        line = episode.model_dump_json().encode() + b"\n"
        with self._lock, self._writing():
            frame = self._codec.pack(line)
            if self._descriptor < 0:
                self._descriptor = open_to_append(self.folder / "episodes" / f"{self._shard}.jsonl.zst")
            try:
                write_all(self._descriptor, frame)
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                raise
            row = row_of(episode, self._shard, self._size, len(frame))
            self._size += len(frame)
            self._rows.append(row)
            self._journal.end(episode.key)
        self._dirty.set()
        return row

    def journal_start(self, key: Key, header: Mapping[str, Any]) -> None:
        """An episode begins.

        Args:
            key: its key; if it had begun before, that is forgotten.
            header: the fields of `Episode` known so far (task, seed, agents, models, briefs, started, …), as JSON
                data or records.
        """
        with self._lock, self._writing():
            self._journal.start(key, header)

    def journal(self, key: Key, turn: Turn, messages: Sequence[Message] = ()) -> None:
        """A turn is complete; `messages` are those new in the episode's table (`ConversationTable.take_new`)."""
        with self._lock, self._writing():
            self._journal.turn(key, turn, messages)

    def journal_drop(self, key: Key) -> None:
        """An episode is given up and will have no record."""
        with self._lock, self._writing():
            self._journal.drop(key)

    def blob(self, part: ImagePart) -> None:
        """Keep an image's bytes; a second time does nothing.

        Raises:
            ValueError: the part has no bytes with it.
        """
        if part.sha256 in self._blobs:
            return
        if part.data is None:
            raise ValueError(f"The image {part.sha256} has no bytes with it to keep.")
        if self.blob_bytes(part.data) != part.sha256:
            raise ValueError(f"The bytes with the image {part.sha256} have another SHA-256.")

    def blob_bytes(self, data: bytes) -> str:
        """Keep some bytes once; returns their SHA-256, which names them."""
        digest = hashlib.sha256(data).hexdigest()
        if digest in self._blobs:
            return digest
        path = self.folder / "blobs" / digest
        with self._lock, self._writing():
            if not path.exists():
                temporary = path.with_suffix(f".{os.getpid()}.new")
                temporary.write_bytes(data)
                temporary.replace(path)
                self._unsynced.append(path)
            self._blobs.add(digest)
        self._dirty.set()
        return digest

    def recover(self) -> list[Row]:
        """Record what earlier writers left unfinished, as cancelled, so that what it cost is counted.

        Their journals go; one is kept if its headers do not say enough for a record.
        """
        self.sync()
        recorded = {row.key for row in self._own_index().rows(newest=False)}
        rows = []
        for path in sorted((self.folder / "journal").glob("*.jsonl")):
            if path == self._journal.path:
                continue
            left = [found for found in read_journal(path) if found.key not in recorded]
            try:
                rows += [self.append(episode) for episode in [unfinished.episode() for unfinished in left]]
            except ValueError as error:
                self.log(f"kept journal/{path.name}: {error}")
                continue
            path.unlink()
        return rows

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json` in one step."""
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        replace_file(self.folder / "summary.json", text.encode() + b"\n")

    def log(self, text: str) -> None:
        """Add a line, with the time, to `log.txt`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock, (self.folder / "log.txt").open("a", errors="replace") as file:
            file.write(f"{now} {text}\n")

    def shard_beside(self, number: int) -> str:
        """The shard of the writer that joins this one as the `number`-th, from 1."""
        return f"{int(self._shard) + number:04d}"

    def offsets(self) -> dict[str, int]:
        """Shard -> its length in bytes: where the run stands now, for a checkpoint."""
        with self._lock:
            return {shard_name(path): path.stat().st_size for path in shard_paths(self.folder)}

    def supersede_after(self, offsets: Mapping[str, int]) -> None:
        """Let the episodes written after a checkpoint count no more.

        Args:
            offsets: what `offsets()` returned at the checkpoint; shards missing there are newer and go altogether.
        """
        index = self._own_index()
        self.sync()
        ranges = read_superseded(self.folder)
        for shard, size in self.offsets().items():
            start = offsets.get(shard, 0)
            if start < size:
                earlier = [span for span in ranges.get(shard, []) if span[0] < start]
                ranges[shard] = [*earlier, (start, size)]
        replace_file(self.folder / "superseded.json", json.dumps(ranges).encode())
        index.update(self.folder)

    def sync(self) -> None:
        """Bring everything written so far to the disk and into the index."""
        with self._lock:
            rows, self._rows = self._rows, []
            blobs, self._unsynced = self._unsynced, []
            size, descriptor = self._size, self._descriptor
        try:
            if rows:
                os.fsync(descriptor)
            for path in blobs:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            self._failure = error
        if rows and self._index is not None and not self._index.add(rows, self._shard, size):
            with self._lock:
                self._rows = rows + self._rows
            self._dirty.set()

    def close(self) -> None:
        """Bring everything to the disk and let the next writer in; a second call does nothing.

        Raises:
            InfrastructureError: the disk failed.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._ending.set()
        self._dirty.set()
        self._thread.join()
        self.sync()
        self._journal.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if self._index is not None:
            self._index.close()
        if self._run_lock is not None:
            self._run_lock.release()
        if self._failure is not None:
            raise InfrastructureError(f"The end of {self.folder} may not be on disk: {self._failure}.")

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Refuses to write to a closed run, or on after a failed disk; says so when the disk fails."""
        if self._closed:
            raise UsageError(f"The writer of {self.folder} is closed.")
        try:
            if self._failure is not None:
                raise self._failure
            yield
        except OSError as error:
            raise InfrastructureError(f"{self.folder} could not be written: {error}.") from error

    def _keep_synced(self) -> None:
        # `close` sets both events: where `clear` takes back its second, its first is seen before waiting again.
        while not self._ending.is_set() and self._dirty.wait() and not self._ending.wait(_SYNC_SECONDS):
            self._dirty.clear()
            self.sync()

    def _own_index(self) -> Index:
        if self._index is None:
            raise UsageError(
                f"Only the writer that holds the lock of {self.folder} may do this, not one that joined it."
            )
        return self._index

    def _cut(self, index: Index) -> Iterable[Damage]:
        torn = dict(index.torn_tails())
        for path in shard_paths(self.folder):
            if shard_name(path) in torn and (damage := cut_torn_tail(path, torn[shard_name(path)])):
                yield damage
        if torn:
            index.update(self.folder)

    def _next_shard(self) -> str:
        used = [*shard_paths(self.folder), *(self.folder / "journal").glob("*.jsonl")]
        numbers = [int(name) for name in map(shard_name, used) if name.isdigit()]
        return f"{max(numbers, default=-1) + 1:04d}"
