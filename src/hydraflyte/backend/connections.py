"""How many connections each network door may hold: everybody on the machine can open one, and say nothing.

One rule: doors that strangers can reach never take the descriptors that running tasks need.
"""

from __future__ import annotations

import resource

PATIENCE_S = 5
"""How long a connection may be open before a whole request, or gRPC's handshake, has come."""
_FEWEST, _MOST = 32, 4096


def most_connections() -> int:
    """Return a quarter of the files that this process may open; both doors together take half of them."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_FEWEST, soft // 4) if 0 <= soft < 4 * _MOST else _MOST  # a limit of -1 is none
