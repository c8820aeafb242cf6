"""How many files and connections a process may have open."""

import resource

WANTED = 65_536


def allow_many() -> int:
    """Raise the limit as far as the system lets us; answers how many may be open now.

    The usual limit is 1024, which is for programs that might use `select`: a thousand people who
    watch an event would keep everybody else from connecting.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return WANTED if soft == resource.RLIM_INFINITY else soft
