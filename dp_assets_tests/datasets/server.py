"""A web server on this machine that can be told to misbehave."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Shelf:
    """What the server offers, and how.

    Attributes
    ----------
    files : path -> content.
    breaks_after : close the connection after so many bytes of an answer; None for never.
    ranges : whether parts of a file can be asked for.
    compresses : whether files are sent as gzip to everybody who does not forbid it.
    requests : (path, Range header or None) of every request.
    """

    files: dict[str, bytes]
    breaks_after: int | None = None
    ranges: bool = True
    compresses: bool = False
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(shelf: Shelf) -> Iterator[Shelf]:
    """Serve the shelf; its `url` ends with a slash."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            shelf.requests.append((self.path, asked))
            data = shelf.files.get(self.path.lstrip("/"))
            if data is None:
                self.send_error(404)
                return
            tag = f'"{hash(data)}"'
            start = 0
            if asked and shelf.ranges and self.headers.get("If-Range") == tag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(data):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            if shelf.compresses and "gzip" in self.headers.get("Accept-Encoding", ""):
                data = gzip.compress(data)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(data[start:][: shelf.breaks_after])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield shelf
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
