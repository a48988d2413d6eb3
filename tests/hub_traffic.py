"""What goes over the wire of the stand-in hub: requests, answers, and what becomes of them on the way."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field, replace
from http import HTTPStatus

TICK = 0.02  # seconds: a throttled body goes in pieces of so long
PIECE = 64 * 1024  # bytes: another goes in pieces of so many


@dataclass
class Request:
    """A request as it came, and what was written in answer.

    Attributes:
        path: path and query, unquoted: a branch a/b reads a/b.
        token: what it bore as `Authorization: Bearer`.
        status: of the answer; 0 until there is one, and where the server hung up without one.
        served: bytes of the body that were written.
        received: bytes of the request's own body.
    """

    method: str
    path: str
    range: str | None = None
    token: str | None = None
    status: int = 0
    served: int = 0
    received: int = 0


@dataclass
class Fault:
    """Something that goes wrong: an error status, or an answer cut short, or with neither no answer at all.

    Attributes:
        path: a regular expression, searched in the request's path and query as in `Request.path`.
        status: answer with this status.
        cut: announce the whole body, send so many bytes of it and hang up; spent only on answers whose body is longer.
        method: of this method only.
        times: how often still; None: always.
        retry_after: seconds, sent with 429 and 503; None: no such header.
        code: `X-Error-Code`, by which the client tells errors of one status apart.
        message: `X-Error-Message`; by default the phrase that goes with the status.
    """

    path: str
    status: int | None = None
    cut: int | None = None
    method: str | None = None
    times: int | None = 1
    retry_after: int | None = 0
    code: str | None = None
    message: str | None = None

    def hits(self, request: Request, body: int) -> bool:
        """Return whether the fault is one of this request; `body` is the length of the response without the fault."""
        return (
            self.times != 0
            and self.method in (None, request.method)
            and (self.cut is None or body > self.cut)
            and re.search(self.path, request.path) is not None
        )

    def error_response(self, status: int) -> Response:
        """Return the error that is sent instead."""
        response = refusal(status, self.code, self.message or HTTPStatus(status).phrase)
        if status in (429, 503) and self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


@dataclass
class Response:
    """What is sent if nothing goes wrong; a 200 with `Accept-Ranges` is a file, of which parts can be asked for."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    throttled: bool = False


def refusal(status: int, code: str | None, message: str, **headers: str) -> Response:
    """Return an error as the hub words it: for the client in headers, for others in JSON."""
    sent = {"X-Error-Message": message, **headers} | ({"X-Error-Code": code} if code else {})
    return Response(status, json.dumps({"error": message}).encode(), sent)


def json_response(document: object) -> Response:
    """Return a document as the API sends it."""
    return Response(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


class RefusedError(Exception):
    """Carries the error out of wherever it was found."""

    def __init__(self, status: int, code: str | None, message: str, **headers: str) -> None:
        self.response = refusal(status, code, message, **headers)


def part(response: Response, byte_range: str | None) -> Response:
    """Return the part of a file that a Range header asks for; the whole of it where that is not one range of bytes."""
    match = re.fullmatch(r"bytes=(?:(\d+)-(\d*)|-(\d+))", byte_range or "")
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        return response
    size = len(response.body)
    first = int(match[1]) if match[1] else max(size - int(match[3]), 0)
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if first > last:
        return replace(response, status=416, body=b"", headers={"Content-Range": f"bytes */{size}"})
    headers = response.headers | {"Content-Range": f"bytes {first}-{last}/{size}"}
    return replace(response, status=206, body=response.body[first : last + 1], headers=headers)


class Traffic:
    """What has been asked for, what will go wrong, and how fast weights are sent.

    Attributes:
        requests: every one since the start, in the order they came.
        faults: the first that hits a request is spent on it; add to them at any time.
        bytes_per_second: of all bodies of LFS files together, as on one line; None: as fast as it goes. May be set at
            any time.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.bytes_per_second: float | None = None
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._free_at = 0.0

    def requests_for(self, pattern: str = "", method: str | None = None) -> list[Request]:
        """Return the requests so far that match, searched in `Request.path`."""
        return [r for r in self.requests if re.search(pattern, r.path) and method in (None, r.method)]

    def served(self, pattern: str = "") -> int:
        """Return how many bytes of bodies the matching requests have been sent."""
        return sum(request.served for request in self.requests_for(pattern))

    def fault(self, request: Request, body: int) -> Fault | None:
        """Spend a fault on this request, if there is one for it."""
        with self._lock:
            hit = next((fault for fault in self.faults if fault.hits(request, body)), None)
            if hit and hit.times is not None:
                hit.times -= 1
            return hit

    def take(self, length: int) -> int:
        """Wait until the throttled line is free; returns how many bytes of those wanted may go now.

        Raises:
            ConnectionAbortedError: the hub closes, and what has not gone by now does not go.
        """
        while (rate := self.bytes_per_second) is not None:
            with self._lock:
                time_now = time.monotonic()
                if self._free_at <= time_now:
                    piece = min(length, max(int(rate * TICK), 1))
                    # a tick of credit, lest every late wake-up slow the line down
                    self._free_at = max(self._free_at, time_now - TICK) + piece / rate
                    return piece
            if self.closing.wait(min(self._free_at - time_now, TICK)):
                raise ConnectionAbortedError
        return min(length, PIECE)
