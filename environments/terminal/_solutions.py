"""A task's own solution, as one command for the agent's shell."""

from __future__ import annotations

import base64
import io
import tarfile

from arena.environments.terminal._formats import TerminalTask

__all__ = ["solution_of"]


def solution_of(task: TerminalTask) -> str | None:
    """The solution as one command: its script, with the files that lie beside it; None where there is none."""
    folder = task.solution
    if folder is None:
        return None
    if (folder / "solution.yaml").is_file() and not (folder / "solution.sh").is_file():
        import yaml

        steps = yaml.safe_load((folder / "solution.yaml").read_text(encoding="utf-8"))
        return "\n".join(str(step["command"]) for step in steps)
    if task.format == "terminal-bench":
        return _script((folder / "solution.sh").read_text(encoding="utf-8"))
    script = (folder / "solve.sh").read_text(encoding="utf-8")
    beside = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "solve.sh")
    if not beside:
        return _script(script)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in (folder / "solve.sh", *beside):
            member = tarfile.TarInfo(str(path.relative_to(folder)))
            member.size, member.mode = path.stat().st_size, 0o755
            with path.open("rb") as file:
                archive.addfile(member, file)
    text = base64.encodebytes(packed.getvalue()).decode()
    place = "/tmp/solution"
    return f"mkdir -p {place} && base64 -d <<'END' | tar -C {place} -xf -\n{text}END\nbash {place}/solve.sh"


def _script(text: str) -> str:
    return f"bash -s <<'END_OF_SOLUTION'\n{text.rstrip()}\nEND_OF_SOLUTION"
