"""Where untrusted actions run: shell commands, patches and programs that a model wrote.

    from arena.sandboxes import SandboxSpec, SyncSandbox, choose_back_end

`Sandbox` is the interface, `Docker` the full back end, `Bubblewrap` the one that needs no daemon; `choose_back_end`
finds the one for this machine. `SyncSandbox` is a synchronous face for any of them, `Pool` keeps some ready.
"""

from arena.core.errors import SandboxUnavailable
from arena.sandboxes._choice import choose_back_end
from arena.sandboxes._network import Network
from arena.sandboxes._pool import Pool
from arena.sandboxes._snapshot import load_snapshot
from arena.sandboxes.bubblewrap import Bubblewrap
from arena.sandboxes.docker import Docker
from arena.sandboxes.facade import SyncPool, SyncSandbox, SyncShell
from arena.sandboxes.interface import Sandbox, Shell, Snapshot
from arena.sandboxes.results import Capabilities, Download, ExecResult, Stats
from arena.sandboxes.spec import SandboxSpec

__all__ = [
    "Bubblewrap",
    "Capabilities",
    "Docker",
    "Download",
    "ExecResult",
    "Network",
    "Pool",
    "Sandbox",
    "SandboxSpec",
    "SandboxUnavailable",
    "Shell",
    "Snapshot",
    "Stats",
    "SyncPool",
    "SyncSandbox",
    "SyncShell",
    "choose_back_end",
    "load_snapshot",
]
