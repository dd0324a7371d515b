"""Connections to the web, straight or over the proxy that the environment names."""

import threading
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from biasmask import __version__

AGENT = f"biasmask/{__version__} (research data download; python-urllib3)"


class WebPools:
    """Pools of connections; safe to be used by several threads.

    Args:
        connections: kept open per host.
        connect, stall: seconds for a connection, and without a byte.
    """

    def __init__(self, connections: int, connect: float, stall: float):
        timeout = urllib3.Timeout(connect=connect, read=stall)
        self._how: dict[str, Any] = {"num_pools": 32, "maxsize": connections, "timeout": timeout}
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask once: no redirect is followed, nothing is tried again, and the body is not read yet.

        Raises:
            urllib3.exceptions.HTTPError: no answer, or an address that can't be asked.
        """
        honest = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
        return self._pool(url).request("GET", url, headers=honest, preload_content=False, redirect=False, retries=False)

    def clear(self) -> None:
        """Close what is open."""
        for pool in self._pools.values():
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme, "")
        if proxy and proxy_bypass(parts.hostname or ""):  # NO_PROXY
            proxy = ""
        with self._lock:
            if proxy not in self._pools:
                made = urllib3.ProxyManager(proxy, **self._how) if proxy else urllib3.PoolManager(**self._how)
                self._pools[proxy] = made
            return self._pools[proxy]
