"""A filter for system calls, as a classic BPF program: what no program under test needs, and kernels get broken by.

A list of refusals, not of permissions: every call not named here is allowed. Sources: the calls that Docker's
default profile and flatpak refuse; numbers from the kernel's `unistd` tables. struct seccomp_data is
{int nr; u32 arch; u64 instruction_pointer; u64 args[6]}, read here in little-endian 32-bit words.
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import Any

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ/JGE/JSET, BPF_RET
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
NUMBER, ARCHITECTURE, FIRST, SECOND = 0, 4, 16, 24  # offsets in seccomp_data

NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
CLONE_SIGNAL = 0xFF
"""The low byte of clone's flags is the exit signal: CLONE_NEWTIME lies in it and only `unshare` can use it."""
FAMILIES = (1, 2, 10, 16)
"""Socket families a program may have: UNIX, INET, INET6, NETLINK. AF_VSOCK would reach past every namespace."""
TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into somebody's terminal."""

# name: (x86-64, arm64); None where the architecture has no such call
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
SUPERVISOR = 1
"""The number of the process that ends others: what would starve it is refused, for the kernel asks for no more than
that its user is the same. {call: (x86-64, arm64)}, its first argument the process."""
OF_PROCESS = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
}
OF_KIND = {"ioprio_set": (251, 30, 3), "setpriority": (141, 140, 2)}
"""Their second argument is the process, unless the first one, a kind, says that it is a user: the last number here."""
DOCKER_REFUSES = (
    *("_sysctl", "create_module", "get_kernel_syms", "get_mempolicy", "mbind", "nfsservctl", "query_module"),
    *("set_mempolicy", "stime", "sysfs", "uselib", "ustat", "vm86", "vm86old"),
)
"""What Docker's own profile refuses beyond these."""
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""machine -> (column of the table, AUDIT_ARCH_…)"""
SOCKET, SOCKETPAIR, CLONE, IOCTL, CLONE3 = (41, 198), (53, 199), (56, 220), (16, 29), 435
LOW_HALF = 0xFFFFFFFF
FOREIGN = 0x40000000
"""Calls from here up are x86-64's second table (x32), with other numbers for the same things."""


def program(machine: str = "") -> bytes | None:
    """The filter for a machine (default: this one) as an array of `struct sock_filter`; None where there is none."""
    known = ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return None
    column, audit = known
    refuse, unknown = REFUSE | errno.EPERM, REFUSE | errno.ENOSYS
    # Programs of another architecture (32-bit ones) have other numbers: none of their calls exist here.
    lines = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, audit), (RETURN, 0, 0, unknown), (LOAD, 0, 0, NUMBER)]
    lines += [(AT_LEAST, 0, 1, FOREIGN), (RETURN, 0, 0, unknown)]
    # clone3 has its flags in memory, where no filter can see them; C libraries then fall back to clone.
    lines += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, unknown)]
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, refuse)]
    for numbers in OF_PROCESS.values():
        lines += [(EQUAL, 0, 4, numbers[column]), (LOAD, 0, 0, FIRST), (EQUAL, 0, 1, SUPERVISOR)]
        lines += [(RETURN, 0, 0, refuse), (RETURN, 0, 0, ALLOW)]
    for *by_machine, users in OF_KIND.values():
        lines += [(EQUAL, 0, 6, by_machine[column]), (LOAD, 0, 0, FIRST), (EQUAL, 2, 0, users)]
        lines += [(LOAD, 0, 0, SECOND), (EQUAL, 0, 1, SUPERVISOR), (RETURN, 0, 0, refuse), (RETURN, 0, 0, ALLOW)]
    namespaces = NEW_NAMESPACES & ~CLONE_SIGNAL
    lines += [(EQUAL, 0, 4, CLONE[column]), (LOAD, 0, 0, FIRST), (ANY_BIT, 0, 1, namespaces)]
    lines += [(RETURN, 0, 0, refuse), (RETURN, 0, 0, ALLOW)]
    lines += [(EQUAL, 0, 5, IOCTL[column]), (LOAD, 0, 0, SECOND)]
    lines += [(EQUAL, 1, 0, TERMINAL_INPUT[0]), (EQUAL, 0, 1, TERMINAL_INPUT[1])]
    lines += [(RETURN, 0, 0, refuse), (RETURN, 0, 0, ALLOW)]
    lines += [(EQUAL, 2, 0, SOCKET[column]), (EQUAL, 1, 0, SOCKETPAIR[column]), (RETURN, 0, 0, ALLOW)]
    lines += [(LOAD, 0, 0, FIRST)]
    lines += [(EQUAL, len(FAMILIES) - place, 0, family) for place, family in enumerate(FAMILIES)]
    lines += [(RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def profile() -> dict[str, Any]:
    """The same refusals as Docker takes them: by name, with conditions on arguments as it writes them."""

    def refused(names: list[str], number: int = errno.EPERM, **condition: int | str) -> dict[str, Any]:
        rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number}
        return {**rule, "args": [condition]} if condition else rule

    flags = [1 << bit for bit in range(32) if (NEW_NAMESPACES & ~CLONE_SIGNAL) >> bit & 1]
    between = [family for family in range(FAMILIES[-1]) if family not in FAMILIES]
    rules = [refused(sorted((*REFUSED, *DOCKER_REFUSES))), refused(["clone3"], errno.ENOSYS)]
    for flag in flags:
        rules.append(refused(["clone"], index=0, value=flag, valueTwo=flag, op="SCMP_CMP_MASKED_EQ"))
    numbers = [(name, 0, SUPERVISOR) for name in OF_PROCESS]
    numbers += [one for name, kind in OF_KIND.items() for one in ((name, 1, SUPERVISOR), (name, 0, kind[-1]))]
    for name, place, number in numbers:  # the kernel reads no more than the low half
        rules.append(refused([name], index=place, value=LOW_HALF, valueTwo=number, op="SCMP_CMP_MASKED_EQ"))
    for request in TERMINAL_INPUT:
        rules.append(refused(["ioctl"], index=1, value=request, op="SCMP_CMP_EQ"))
    for family in between:
        rules.append(refused(["socket", "socketpair"], errno.EAFNOSUPPORT, index=0, value=family, op="SCMP_CMP_EQ"))
    rules.append(refused(["socket", "socketpair"], errno.EAFNOSUPPORT, index=0, value=FAMILIES[-1], op="SCMP_CMP_GT"))
    names = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
    machines = [{"architecture": name, "subArchitectures": []} for name in names.values()]
    return {"defaultAction": "SCMP_ACT_ALLOW", "archMap": machines, "syscalls": rules}
