"""A hub on 127.0.0.1, which serves folders as the hub's API does."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PULL_REQUEST = "refs/pr/1"


@dataclass
class FakeHub:
    """What the hub holds and how it behaves.

    Attributes:
        models: folder of each model, by its id.
        gated: ids of models whose files are refused.
        breaks_at: bytes of a file after which the connection ends.
        asked: requests, with their range.
        store: folder of what is sent to the hub.
        read_only: whether nothing may be sent.
        refuses_cards: whether the metadata of cards are refused.
    """

    models: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    breaks_at: int | None = None
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    endpoint: str = ""
    store: Path = Path()
    read_only: bool = False
    refuses_cards: bool = False

    def files(self) -> list[str]:
        """Names of the files that were sent."""
        return sorted(
            {path.rpartition("/")[2] for method, path, _ in self.asked if method == "GET" and "api" not in path}
        )

    def start(self) -> ThreadingHTTPServer:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer()

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hub.asked.append(("POST", self.path, ""))
                parts = urlsplit(self.path).path.strip("/").split("/")
                if hub.read_only:
                    return self.send(b'{"error": "no"}', {"Content-Type": "application/json"}, 403)
                if parts[-1] == "create":
                    model = json.loads(content)["name"]
                    owner = json.loads(content).get("organization", "me")
                    hub.models.setdefault(f"{owner}/{model}", hub.store / model).mkdir(parents=True, exist_ok=True)
                    answer: object = {"url": f"{hub.endpoint}/{owner}/{model}"}
                elif parts[-1] == "validate-yaml":
                    if hub.refuses_cards:
                        return self.send(b'{"error": "license is none"}', {"Content-Type": "application/json"}, 400)
                    answer = {"errors": [], "warnings": []}
                elif "preupload" in parts:
                    names = [file["path"] for file in json.loads(content)["files"]]
                    answer = {
                        "files": [
                            {"path": name, "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                            for name in names
                        ]
                    }
                else:
                    for line in map(json.loads, content.splitlines()):
                        if line["key"] == "file":
                            place = hub.models["/".join(parts[2:4])] / line["value"]["path"]
                            place.write_bytes(base64.b64decode(line["value"]["content"]))
                    answer = {"commitUrl": f"{hub.endpoint}/{parts[2]}/{parts[3]}/commit/{COMMIT}", "commitOid": COMMIT}
                return self.send(json.dumps(answer).encode(), {"Content-Type": "application/json"})

            def answer(self) -> None:
                path = urlsplit(self.path).path
                hub.asked.append((self.command, unquote(path), self.headers.get("Range", "")))
                parts = [unquote(part) for part in path.strip("/").split("/")]  # a revision may have slashes
                if parts[:2] == ["api", "models"]:
                    self.api("/".join(parts[2:4]), parts[4:])
                elif parts[0] == "cdn":  # which knows the file by another name
                    path = hub.models["/".join(parts[1:3])] / parts[3]
                    self.content(path, {"ETag": '"of-the-cdn"', "Accept-Ranges": "bytes"})
                elif "resolve" in parts:
                    self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
                else:
                    self.send(b"", {})

            def api(self, model: str, rest: list[str]) -> None:
                if model not in hub.models:
                    return self.send(b"{}", {"X-Error-Code": "RepoNotFound"}, 404)
                if rest[1] not in ("main", PULL_REQUEST, COMMIT):
                    return self.send(b"{}", {"X-Error-Code": "RevisionNotFound"}, 404)
                files = [
                    (str(p.relative_to(hub.models[model])), p) for p in hub.models[model].rglob("*") if p.is_file()
                ]
                if rest[0] == "tree":
                    rows = [
                        {"type": "file", "path": name, "size": p.stat().st_size, "oid": digest(p)} for name, p in files
                    ]
                    return self.send(json.dumps(rows).encode(), {"Content-Type": "application/json"})
                about = {"id": model, "sha": COMMIT, "siblings": [{"rfilename": name} for name, _ in files]}
                return self.send(json.dumps(about).encode(), {"Content-Type": "application/json"})

            def file(self, model: str, revision: str, name: str) -> None:
                if model in hub.gated:
                    return self.send(b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}, 403)
                path = hub.models[model] / name
                if not path.is_file():
                    return self.send(b"", {"X-Error-Code": "EntryNotFound"}, 404)
                headers = {"ETag": f'"{digest(path)}"', "X-Repo-Commit": COMMIT}
                if name.endswith(".safetensors"):  # large files are elsewhere
                    headers = {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(path.stat().st_size)} | headers
                    place = hub.endpoint.replace("127.0.0.1", "localhost")  # another host
                    return self.send(b"", headers | {"Location": f"{place}/cdn/{model}/{name}"}, 302)
                return self.content(path, headers)

            def content(self, path: Path, headers: dict[str, str]) -> None:
                content = path.read_bytes()
                start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
                if start:
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                return self.send(content[start:], headers, 206 if start else 200)

            def send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command in ("GET", "POST"):
                    ends = hub.breaks_at is not None and len(content) > hub.breaks_at
                    self.wfile.write(content[: hub.breaks_at] if ends else content)
                    if ends:
                        self.close_connection = True

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
