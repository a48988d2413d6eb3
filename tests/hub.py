"""A small server on loopback that speaks the part of the hub's protocol that streaming a dataset needs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(datasets: dict[str, dict[str, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """Serve datasets, a table of files each; yields the endpoint and the list of requests as they come."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            path = unquote(urlparse(self.path).path)
            if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                self.file(datasets.get(match[1], {}).get(match[2]))
            elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/[^/]+/?(.*)", path):
                self.tree(datasets.get(match[1]), match[2])
            elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/[^/]+", path):
                self.tree(datasets.get(match[1]), None)
            elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+?)(/revision/[^/]+)?", path):
                self.info(match[1], datasets.get(match[1]))
            else:
                self.missing()

        do_HEAD = do_GET  # noqa: N815 - the handler's own naming

        def do_POST(self) -> None:
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def file(self, content: bytes | None) -> None:
            if content is None:
                self.missing("EntryNotFound")
                return
            status, part = 200, content
            if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(wanted[1]), int(wanted[2] or len(content) - 1)
                status, part = 206, content[first : last + 1]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            self.finish_with(part)

        def info(self, name: str, files: dict[str, bytes] | None) -> None:
            if files is None:
                self.missing("RepoNotFound")
                return
            self.send_json({"id": name, "sha": COMMIT, "siblings": [{"rfilename": f} for f in files], "tags": []})

        def tree(self, files: dict[str, bytes] | None, under: str | None) -> None:
            if files is None:
                self.missing("RepoNotFound")
                return
            if under is None:
                body = self.body.decode()
                asked_for = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
                files = {name: content for name, content in files.items() if name in asked_for}
            self.send_json(
                [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in files.items()
                    if not under or name.startswith(f"{under}/")
                ]
            )

        def missing(self, code: str = "EntryNotFound") -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.finish_with(b"")

        def send_json(self, document: object) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.finish_with(json.dumps(document).encode())

        def finish_with(self, body: bytes) -> None:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
