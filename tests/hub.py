"""A small stand-in for the Hugging Face Hub on loopback, near enough for the real client to take it for one.

    with hub({"org/model": Repo({"main": {"config.json": b"{}"}})}) as server:
        server.faults.append(Fault("config.json", status=503))
        hf_hub_download("org/model", "config.json", endpoint=server.endpoint)
        assert server.served("config.json") == 2

As on the hub, weights come from another origin than the API: a redirect that stays on the origin is followed by the
client before it has read what the redirect says of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from hub_http import listening
from hub_repo import DAY, Blob, Repo, Snapshot
from hub_traffic import Fault, RefusedError, Request, Response, Traffic, json_response, refusal
from hub_uploads import Uploads

__all__ = ["Fault", "Hub", "Repo", "Request", "hub"]

API = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+?)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.+))?|/(refs))?")
RESOLVE = re.compile(r"(?:/(dataset)s)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Hub(Traffic):
    """The repositories and the two servers that give them out.

    Attributes:
        endpoint: what the client is given as HF_ENDPOINT.
        cdn: where LFS files come from, for whoever knows their hash: at `/org/model/<revision>/<path>`, so that a
            pattern of revision and path matches there as well as at the endpoint.
        repos: by id; may be added to, and replaced, at any time.
        page: how many entries of a tree are listed at once (with `expand` 50 at most).
        uploads: what has been sent to it, and who may send.
    """

    def __init__(self, repos: Mapping[str, Repo]) -> None:
        super().__init__()
        self.endpoint = self.cdn = ""
        self.repos = dict(repos)
        self.page = 1000
        self.uploads = Uploads(self)
        self._stored: dict[str, bytes] = {}

    def at_endpoint(self, method: str, target: str, token: str | None, body: bytes) -> Response:
        """Return the response of huggingface.co to a request."""
        url = urlsplit(target)
        try:
            if method == "POST" and (response := self.uploads.respond(url.path, token, body)):
                return response
            if match := RESOLVE.fullmatch(url.path):
                repo = self._repo(match[1] or "model", match[2], token, files=True)
                return self._file(repo, target, unquote(match[3]), unquote(match[4]))
            if match := API.fullmatch(url.path):
                return self._api(match, parse_qs(url.query), token, parse_qs(body.decode()))
        except RefusedError as refused:
            return refused.response
        return refusal(404, None, "Sorry, we can't find the page you are looking for.")

    def at_cdn(self, method: str, target: str, token: str | None, body: bytes) -> Response:
        """Return the response of the storage: an address holds its own permission and outlives the revision."""
        if method == "PUT":
            return self.uploads.store(target, body)
        content = self._stored.get("".join(parse_qs(urlsplit(target).query).get("sha256", [])))
        if content is None:
            return Response(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        return Response(200, content, {"Accept-Ranges": "bytes"}, throttled=True)

    def _repo(self, kind: str, name: str, token: str | None, files: bool) -> Repo:
        repo = self.repos.get(name)
        if repo is None or repo.kind != kind:
            # the hub does not tell strangers what exists
            message = "Repository not found" if token else "Invalid username or password."
            raise RefusedError(404 if token else 401, "RepoNotFound", message)
        if repo.gated and files and (token is None or token != repo.token):
            restricted = f"Access to {kind} {name} is restricted"
            if token is None:
                raise RefusedError(401, "GatedRepo", f"{restricted}. You must have access to it and be authenticated.")
            raise RefusedError(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")
        if repo.token and not repo.gated and token != repo.token:
            if token is None:
                raise RefusedError(401, "RepoNotFound", "Invalid username or password.")
            raise RefusedError(401, None, "Invalid credentials in Authorization header")
        return repo

    def _snapshot(self, repo: Repo, revision: str) -> Snapshot:
        snapshot = repo.find(revision)
        if snapshot is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return snapshot

    def _file(self, repo: Repo, target: str, revision: str, path: str) -> Response:
        snapshot = self._snapshot(repo, revision)
        commit = {"X-Repo-Commit": snapshot.commit}
        blob = snapshot.blobs.get(path)
        if blob is None:
            # with the commit: the client keeps in its cache that this commit has no such file
            raise RefusedError(404, "EntryNotFound", "Entry not found", **commit)
        headers = commit | {"ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        return self._redirect(blob, blob.lfs, target, headers) if blob.lfs else Response(200, blob.content, headers)

    def _redirect(self, blob: Blob, lfs: dict[str, Any], target: str, headers: dict[str, str]) -> Response:
        self._stored[lfs["oid"]] = blob.content
        location = f"{self.cdn}{urlsplit(target).path.replace('/resolve/', '/', 1)}?sha256={lfs['oid']}"
        linked = {"X-Linked-Size": str(lfs["size"]), "X-Linked-ETag": f'"{lfs["oid"]}"', "ETag": f'"{lfs["oid"]}"'}
        return Response(302, b"", headers | linked | {"Location": location})

    def _api(
        self, match: re.Match[str], query: dict[str, list[str]], token: str | None, form: dict[str, list[str]]
    ) -> Response:
        kind, name, verb, revision, under, refs = match.groups()
        repo = self._repo(kind, name, token, files=False)
        if refs:
            return json_response(repo.refs())
        snapshot = self._snapshot(repo, unquote(revision or "main"))
        if verb == "tree":
            return self._tree(snapshot, match[0], unquote(under or ""), query)
        if verb == "paths-info":
            return json_response(snapshot.entries(form.get("paths", []), _yes(form, "expand")))
        return json_response(_info(repo, name, snapshot, query))

    def _tree(self, snapshot: Snapshot, url: str, under: str, query: dict[str, list[str]]) -> Response:
        expand = _yes(query, "expand")
        entries = snapshot.tree(under, _yes(query, "recursive"), expand)
        if entries is None:
            raise RefusedError(404, "EntryNotFound", f"{under} does not exist", **{"X-Repo-Commit": snapshot.commit})
        first = int(query.get("cursor", ["0"])[0])
        last = first + min(self.page, 50 if expand else self.page)
        response = json_response(entries[first:last])
        if last < len(entries):
            following = urlencode({**query, "cursor": [str(last)]}, doseq=True)
            response.headers["Link"] = f'<{self.endpoint}{url}?{following}>; rel="next"'
        return response


def _yes(query: dict[str, list[str]], name: str) -> bool:
    return query.get(name, ["false"])[0].lower() == "true"


def _info(repo: Repo, name: str, snapshot: Snapshot, query: dict[str, list[str]]) -> dict[str, Any]:
    info: dict[str, Any] = {"id": name, "author": name.split("/")[0], "sha": snapshot.commit, "tags": []}
    info |= {"gated": "manual" if repo.gated else False, "private": bool(repo.token) and not repo.gated}
    info |= {"disabled": False, "downloads": 0, "likes": 0}
    info |= {"createdAt": DAY, "lastModified": DAY, "siblings": snapshot.siblings(_yes(query, "blobs"))}
    expand = query.get("expand")
    return {key: value for key, value in info.items() if not expand or key in ("id", *expand)}


@contextmanager
def hub(repos: Mapping[str, Repo]) -> Iterator[Hub]:
    """Serve repositories, by id, until the end of the block."""
    server = Hub(repos)
    with listening(server, server.at_endpoint) as endpoint, listening(server, server.at_cdn) as cdn:
        server.endpoint, server.cdn = endpoint, cdn
        try:
            yield server
        finally:
            server.closing.set()  # nobody waits for the throttled line any longer
