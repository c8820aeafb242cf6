"""What a run needs of the machine, besides the project's environment."""

import os
import resource
import shutil
import subprocess

from benchmarks.load import WRK
from benchmarks.mesh import BenchmarkFailed

_OPEN_FILES = 8192  # of this process, and of the gateway: a connection for each who watches


def wrk() -> None:
    """Make sure of wrk; it is installed where that is possible.

    Raises:
        BenchmarkFailed: it is missing.
    """
    if shutil.which(WRK) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing wrk …", flush=True)
        for command in (["update", "-qq"], ["install", "-y", "-qq", WRK]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(
                ["apt-get", *command], env=environment, stdout=subprocess.DEVNULL, check=False
            )
    if shutil.which(WRK) is None:
        raise BenchmarkFailed("The load comes from wrk, which is missing: apt install wrk.")


def open_files() -> None:
    """Allow as many open files as the watchers need, here and in what is started from here.

    Raises:
        BenchmarkFailed: the system does not let us.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES:
        raise BenchmarkFailed(f"At most {hard} files may be open; {_OPEN_FILES} must (ulimit -n).")
    if soft != resource.RLIM_INFINITY and soft < _OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, hard))
