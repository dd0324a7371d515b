"""A local server that behaves as badly as those of the world: it stalls, cuts off, refuses, and changes its mind."""

import gzip
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = bytes(range(256)) * 1200  # 307 kB
SHA = hashlib.sha256(BODY).hexdigest()


class BadServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: Counter[str] = Counter()
        self.ranges: list[str | None] = []
        self.agents: set[str] = set()
        self.hosts: list[str] = []
        self.target = "/good"  # of a redirect
        self.release = threading.Event()  # lets go what waits for it
        self.at_once, self.most_at_once = 0, 0
        self.guard = threading.Lock()

    def handle_error(self, *_: object) -> None:
        pass  # a client that goes away is what is tested here

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BadServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, name = self.server, self.path.rpartition("/")[2]
        with server.guard:
            server.calls[name] += 1
            count = server.calls[name]
            server.ranges.append(self.headers.get("Range"))
            server.agents.add(str(self.headers.get("User-Agent")))
            server.hosts.append(str(self.headers.get("Host")))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            getattr(self, f"say_{name.split('-')[0]}")(count)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with server.guard:
                server.at_once -= 1

    def head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def body(self, etag: str = '"one"', ranges: bool = True, stop: int | None = None, stall: float = 0) -> None:
        asked, same = self.headers.get("Range"), self.headers.get("If-Range")
        start = int(asked[6:].split("-")[0]) if asked and ranges and same in (None, etag) else 0
        if start >= len(BODY):
            return self.head(416, 0, Content_Range=f"bytes */{len(BODY)}")
        extra = {"Content_Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if start else {}
        self.head(206 if start else 200, len(BODY) - start, ETag=etag, **extra)
        end = len(BODY) if stop is None else min(len(BODY), start + stop)
        self.wfile.write(BODY[start:end])
        self.wfile.flush()
        if end < len(BODY):
            time.sleep(stall)
            self.close_connection = True

    def say_good(self, count: int) -> None:
        self.body()

    def say_slow(self, count: int) -> None:
        time.sleep(0.15)
        self.body()

    def say_cut(self, count: int) -> None:
        self.body(stop=100_000)

    def say_stall(self, count: int) -> None:
        self.body(stop=None if count > 1 else 100_000, stall=3)

    def say_norange(self, count: int) -> None:
        self.body(ranges=False, stop=None if count > 1 else 100_000)

    def say_changed(self, count: int) -> None:
        self.body(etag=f'"{min(count, 2)}"', stop=None if count > 1 else 100_000)

    def say_gone(self, count: int) -> None:
        self.head(404, 0)

    def say_busy(self, count: int) -> None:
        if count < 3:
            return self.head(429, 0, Retry_After="0")
        self.body()

    def say_tomorrow(self, count: int) -> None:
        self.head(503, 0, Retry_After="86400")

    def say_soon(self, count: int) -> None:
        if count == 1:
            return self.head(503, 0, Retry_After="42")
        self.body()

    def say_held(self, count: int) -> None:
        self.head(200, len(BODY), ETag='"one"')
        self.wfile.write(BODY[:100_000])
        self.wfile.flush()
        self.server.release.wait(20)
        self.wfile.write(BODY[100_000:])

    def say_tiny(self, count: int) -> None:
        """A range that is shorter than the one asked for, whole in itself."""
        if count == 1:
            return self.body(stop=100_000)
        start = int(str(self.headers["Range"])[6:].split("-")[0])
        end = min(len(BODY), start + 90_000)
        self.head(206, end - start, ETag='"one"', Content_Range=f"bytes {start}-{end - 1}/{len(BODY)}")
        self.wfile.write(BODY[start:end])

    def say_shifted(self, count: int) -> None:
        """Answers the second request with a range that begins elsewhere."""
        if count != 2:
            return self.body(stop=100_000 if count == 1 else None)
        start = 100_010
        self.head(206, len(BODY) - start, ETag='"one"', Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.wfile.write(BODY[start:])

    def say_deaf(self, count: int) -> None:
        """Knows ranges, but no If-Range: the rest of another version."""
        if count == 1:
            self.head(200, len(BODY), ETag='"old"')
            self.wfile.write(b"o" * 100_000)
            self.close_connection = True
            return
        del self.headers["If-Range"]
        self.body(etag='"new"')

    def say_chunked(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(BODY) if count > 1 else 100_000, 50_000):
            piece = BODY[start : start + 50_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if count > 1:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def say_packed(self, count: int) -> None:
        packed = gzip.compress(BODY)
        self.head(200, len(packed), Content_Encoding="gzip")
        self.wfile.write(packed)

    def say_liar(self, count: int) -> None:
        page = b"\n<!DOCTYPE html><p>gone"
        self.head(200, len(page), Content_Type="image/jpeg")
        self.wfile.write(page)

    def say_empty(self, count: int) -> None:
        self.head(200, 0, Content_Type="image/jpeg")

    def say_mute(self, count: int) -> None:
        self.close_connection = True

    def say_never(self, count: int) -> None:
        self.head(503, 0)

    def say_page(self, count: int) -> None:
        self.head(200, 4, Content_Type="text/html; charset=utf-8")
        self.wfile.write(b"gone")

    def say_loop(self, count: int) -> None:
        self.head(302, 0, Location="/loop")

    def say_moved(self, count: int) -> None:
        self.head(302, 0, Location=self.server.target)

    def say_elsewhere(self, count: int) -> None:
        self.head(302, 0, Location="file:///etc/passwd")


@contextmanager
def bad_server() -> Iterator[BadServer]:
    """The server, on a free port of this machine."""
    server = BadServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, stop: threading.Event, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
