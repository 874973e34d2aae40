"""Where untrusted actions run: shell commands, patches and programs that a model wrote.

    from arena.sandboxes import Bubblewrap, SandboxSpec, SyncSandbox

`Sandbox` is the interface, `Bubblewrap` the back end that needs no daemon, `SyncSandbox` its synchronous face.
"""

from arena.core.errors import SandboxUnavailable
from arena.sandboxes._pool import Pool
from arena.sandboxes.bubblewrap import Bubblewrap
from arena.sandboxes.docker import Docker
from arena.sandboxes.facade import SyncSandbox, SyncShell
from arena.sandboxes.interface import (
    Capabilities,
    Download,
    ExecResult,
    Sandbox,
    SandboxSpec,
    Shell,
    Snapshot,
    Stats,
)

__all__ = [
    "Bubblewrap",
    "Capabilities",
    "Docker",
    "Download",
    "ExecResult",
    "Pool",
    "Sandbox",
    "SandboxSpec",
    "SandboxUnavailable",
    "Shell",
    "Snapshot",
    "Stats",
    "SyncSandbox",
    "SyncShell",
]
