"""Runs a command that ends when the process which started it ends, however that happens.

A server started by `make run` or by a test must not outlive a `kill -9` of its parent. On Linux the
kernel sends the signal (`PR_SET_PDEATHSIG`); it watches the parent's *thread*, so start such a
command from the main one. Elsewhere the command simply runs. A small program that becomes the
command does this, rather than `preexec_fn`, because code of ours between fork and exec may deadlock
in a process with threads.
"""

import ctypes
import os
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_NOT_STARTED = 126  # what shells answer for a command that was found and could not be run


def wrap(
    command: Sequence[str],
    *,
    death_signal: int,
    uid: int = -1,
    gid: int = -1,
    reach_all_files: bool = False,
) -> list[str]:
    """The command line that runs `command` tied to this process, as user `uid` when that is not -1.

    `reach_all_files` lets that user open every file, as root may: for servers which refuse to be
    root but whose files lie in a folder only root can enter. It needs Linux and root.
    """
    options = [os.getpid(), int(death_signal), uid, gid, int(reach_all_files)]
    return [sys.executable, "-I", "-S", __file__, *map(str, options), *command]


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), "prctl: " + os.strerror(ctypes.get_errno()))


def _keep_only_file_access() -> None:
    """Keep, across exec, the one capability to open any file.

    capget(2) describes the two structures.
    """
    mask = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset: " + os.strerror(ctypes.get_errno()))
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE)


def _become(uid: int, gid: int, *, reach_all_files: bool) -> None:
    if reach_all_files:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if reach_all_files:
        _keep_only_file_access()


def main(argv: list[str]) -> None:
    parent, death_signal, uid, gid, reach_all_files = map(int, argv[:5])
    command = argv[5:]
    try:
        if uid != -1:
            _become(uid, gid, reach_all_files=bool(reach_all_files))
        if sys.platform == "linux":
            _prctl(_PR_SET_PDEATHSIG, death_signal)  # changing the user would have cleared it
        if os.getppid() != parent:
            sys.exit(_NOT_STARTED)  # the parent ended before it could be watched
        os.execvp(command[0], command)  # noqa: S606 - becoming the command, without a shell, is the point
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(_NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
