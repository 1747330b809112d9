"""How much memory a process may still take before the system ends it.

Output: bytes, or None where the system does not tell. The least is taken of what the machine has
available, what a container's limit leaves, and what the process's own limit (`ulimit -v`) leaves.
"""

from __future__ import annotations

from pathlib import Path

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def free_memory() -> int | None:
    """Return how many bytes can still be taken, None where the system does not tell.

    >>> free = free_memory()
    >>> free is None or free > 0
    True
    """
    known = [_of_machine(), _of_process(), *(_of_container(*pair) for pair in _CGROUPS)]
    found = [free for free in known if free is not None]
    return max(0, min(found)) if found else None


def _of_machine() -> int | None:
    return _kilobytes("/proc/meminfo", "MemAvailable:")


def _of_process() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = _kilobytes("/proc/self/status", "VmSize:")
    return None if limit == resource.RLIM_INFINITY or taken is None else limit - taken


def _of_container(limit: str, usage: str) -> int | None:
    try:
        # Files that the system keeps in memory count as used, though it gives them up when needed.
        stat = dict(line.split() for line in _lines(str(Path(limit).with_name("memory.stat"))))
        kept = int(stat.get("inactive_file", stat.get("total_inactive_file", 0)))
        return int(_lines(limit)[0]) - int(_lines(usage)[0]) + kept
    except (OSError, ValueError, IndexError):
        return None


def _kilobytes(path: str, name: str) -> int | None:
    try:
        for line in _lines(path):
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
