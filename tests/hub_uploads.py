"""What the stand-in hub takes: new repositories, branches, large files by Git LFS, and commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from hub_repo import Blob, Repo
from hub_traffic import RefusedError, Response, json_response

if TYPE_CHECKING:
    from hub import Hub

WRITE = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+)/(preupload|commit|branch)/([^/]+)")
BATCH = re.compile(r"/(?:(dataset)s/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")
DATASET_LFS = (".safetensors", ".bin", ".gguf", ".parquet")
INITIAL = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}


class Uploads:
    """The part of a hub that is written to.

    Attributes:
        token: what a request must bear to write anything; None: nobody writes.
        objects: large files that were sent, by SHA-256, whether committed or not.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.token: str | None = None
        self.objects: dict[str, bytes] = {}

    def respond(self, path: str, token: str | None, body: bytes) -> Response | None:
        """Return the response to a POST request that writes; None where it is one of another kind."""
        if path == "/api/validate-yaml":
            return json_response({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(token, json.loads(body))
        if match := BATCH.fullmatch(path):
            self._writable(match[1] or "model", match[2], token)
            return self._batch(json.loads(body))
        if match := WRITE.fullmatch(path):
            repo, revision = self._writable(match[1], match[2], token), unquote(match[4])
            if match[3] == "branch":
                return self._branch(repo, revision, json.loads(body))
            if revision not in repo.branches:
                raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            if match[3] == "preupload":
                return self._preupload(repo, revision, json.loads(body)["files"])
            return self._commit(repo, match[2], revision, [json.loads(line) for line in body.splitlines()])
        return None

    def store(self, target: str, body: bytes) -> Response:
        """Keep a large file under its hash, which its address names."""
        name = urlsplit(target).path.rpartition("/")[2]
        if hashlib.sha256(body).hexdigest() != name:
            return Response(400)
        self.objects[name] = body
        return Response(200)

    def _create(self, token: str | None, wanted: dict[str, Any]) -> Response:
        if self.token is None or token != self.token:
            raise RefusedError(401 if token is None else 403, None, "You don't have the rights to create this dataset")
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.hub.repos:
            raise RefusedError(409, None, "You already created this dataset repo")
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.hub.repos[name] = Repo(
            {"main": dict(INITIAL)}, kind=wanted["type"], token=self.token if private else None, lfs=DATASET_LFS
        )
        return json_response({"url": f"{self.hub.endpoint}/{wanted['type']}s/{name}", "name": name, "id": "1"})

    def _writable(self, kind: str, name: str, token: str | None) -> Repo:
        repo = self.hub.repos.get(name)
        if repo is None or repo.kind != kind:
            raise RefusedError(404, "RepoNotFound", "Repository not found")
        if self.token is None or token != self.token:
            raise RefusedError(401 if token is None else 403, None, "Forbidden: pass a token with write permission")
        return repo

    def _branch(self, repo: Repo, branch: str, wanted: dict[str, Any]) -> Response:
        if branch in repo.branches:
            raise RefusedError(409, None, f"Reference already exists: refs/heads/{branch}")
        repo.branches[branch] = dict(repo.branches[wanted.get("startingPoint", "main")])
        return json_response({})

    def _preupload(self, repo: Repo, revision: str, files: list[dict[str, Any]]) -> Response:
        snapshot = repo.find(revision)
        there = snapshot.blobs if snapshot is not None else {}
        listed = []
        for file in files:
            assert base64.b64decode(file["sample"]) or not file["size"]
            mode = "lfs" if file["path"].endswith(repo.lfs) else "regular"
            blob: Blob | None = there.get(file["path"])
            oid = None if blob is None else blob.lfs["oid"] if blob.lfs else blob.oid
            entry = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            listed.append(entry | ({"oid": oid} if oid else {}))
        return json_response({"files": listed})

    def _batch(self, wanted: dict[str, Any]) -> Response:
        objects = []
        for item in wanted["objects"]:
            entry = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.cdn}/upload/{item['oid']}"}}
            objects.append(entry)
        return json_response({"transfer": "basic", "objects": objects})

    def _commit(self, repo: Repo, name: str, branch: str, lines: list[dict[str, Any]]) -> Response:
        header = lines[0]["value"]
        if header.get("parentCommit", repo.commit(branch)) != repo.commit(branch):
            raise RefusedError(412, None, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.branches[branch])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif files.pop(value["path"], None) is None:
                raise RefusedError(404, "EntryNotFound", "A file with this name doesn't exist")
        repo.push(branch, files)
        commit = repo.commit(branch)
        return json_response({"commitUrl": f"{self.hub.endpoint}/datasets/{name}/commit/{commit}", "commitOid": commit})
