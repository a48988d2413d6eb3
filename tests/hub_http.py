"""The wire of the stand-in hub: HTTP/1.1 on loopback that counts what it sends, and breaks off where it is told to."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from hub_traffic import PIECE, TICK, Request, Response, Traffic, part

Responder = Callable[[str, str, str | None, bytes], Response]  # method, path and query as sent, token, body


class Server(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1 that ends its connections, and their threads, when it is stopped."""

    daemon_threads = False  # for server_close() to wait for them
    request_queue_size = 128  # a client with many threads connects at once

    def __init__(self, traffic: Traffic, respond: Responder) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        # what the kernel takes off us counts as sent: keep that near to what the client has read
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
        self.traffic, self.respond = traffic, respond
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection: clients keep theirs alive for longer than the server lives."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be quiet about a client that went away, and about nothing else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Close everything and wait until no thread is left."""
        self.shutdown()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """Takes a request down, has it answered, and sends as much of the answer as the faults let through."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second must not wait for the first's ACK
    server: Server

    def do_GET(self) -> None:
        traffic, body = self.server.traffic, self._body()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        request = Request(self.command, unquote(self.path), self.headers.get("Range"), token, received=len(body))
        traffic.requests.append(request)
        response = self.server.respond(self.command, self.path, token, body)
        if self.command == "GET" and response.status == 200 and "Accept-Ranges" in response.headers:
            response = part(response, request.range)
        fault = traffic.fault(request, 0 if self.command == "HEAD" else len(response.body))
        if fault and fault.status:
            response = fault.error_response(fault.status)
        elif fault and fault.cut is None:
            self.close_connection = True
            return
        self._send(request, response, fault.cut if fault else None)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the base class's own naming

    def _body(self) -> bytes:
        """Return the body of the request, which may come in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, request: Request, response: Response, cut: int | None) -> None:
        request.status = response.status
        self.send_response(response.status)
        headers = response.headers | {"Content-Length": str(len(response.body)), "X-Request-Id": "Root=1-loopback"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        left = memoryview(b"" if self.command == "HEAD" else response.body[:cut])
        while left:
            piece = left[: self.server.traffic.take(len(left)) if response.throttled else PIECE]
            request.served += len(piece)  # before it goes: the client may ask for the count as soon as it has the bytes
            sent = 0
            try:
                sent = self.connection.send(piece)
            finally:
                request.served -= len(piece) - sent
            left = left[sent:]
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet; `Traffic.requests` is the log."""


@contextmanager
def listening(traffic: Traffic, respond: Responder) -> Iterator[str]:
    """Serve until the end of the block; yields the address."""
    server = Server(traffic, respond)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": TICK})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stop()
        thread.join()
