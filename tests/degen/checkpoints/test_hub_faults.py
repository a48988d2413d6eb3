"""What goes wrong on the stand-in hub, held against the real client; and that it counts, throttles and ends well."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import hub_traffic
import pytest
from hub import Fault, Hub, Repo, hub
from hub_client import online
from hub_traffic import PIECE, TICK, Traffic
from huggingface_hub import HfApi, HfFileSystem, constants, get_session, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError
from safetensors.numpy import save
from waiting import wait_until

NAME = "org/model"
WEIGHTS = os.urandom(200_000)
CDN = "model/main/weights.bin"
ENDPOINT = "model/resolve/main/weights.bin"
FILES = {"config.json": b"{}" * 50, "weights.bin": WEIGHTS, "model.safetensors": save({})}


@pytest.fixture(autouse=True)
def pauses(tmp_path: Path) -> Iterator[list[float]]:
    with online(tmp_path / "cache") as made:
        yield made


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub({NAME: Repo({"main": FILES})}) as running:
        yield running


def refs(server: Hub) -> object:
    return HfApi(server.endpoint).list_repo_refs(NAME).branches[0].name


def info(server: Hub) -> object:
    return HfApi(server.endpoint).model_info(NAME).id


def paths(server: Hub) -> object:
    return HfApi(server.endpoint).get_paths_info(NAME, "config.json")[0].path


def tree(server: Hub) -> object:
    return [entry.path for entry in HfApi(server.endpoint).list_repo_tree(NAME)]


def weights(server: Hub) -> object:
    return Path(hf_hub_download(NAME, "weights.bin", endpoint=server.endpoint)).read_bytes()


def config(server: Hub) -> object:
    return Path(hf_hub_download(NAME, "config.json", endpoint=server.endpoint)).read_bytes()


def tensors(server: Hub) -> object:
    return HfApi(server.endpoint).parse_safetensors_file_metadata(NAME, "model.safetensors").tensors


def part(server: Hub) -> object:
    fs = HfFileSystem(endpoint=server.endpoint, skip_instance_cache=True)
    with fs.open(f"{NAME}/weights.bin", cache_type="none") as file:
        file.seek(1000)
        return file.read(500)


def whole(server: Hub) -> object:
    fs = HfFileSystem(endpoint=server.endpoint, skip_instance_cache=True)
    return fs.cat_file(f"{NAME}/weights.bin")


Call = Callable[[Hub], object]
GIVES: dict[Call, object] = {
    refs: "main",
    info: NAME,
    paths: "config.json",
    tensors: {},
    tree: sorted(FILES),
    part: WEIGHTS[1000:1500],
    whole: WEIGHTS,
    weights: WEIGHTS,
    config: FILES["config.json"],
}
TRIED_AGAIN = [(tree, "/tree/"), (part, CDN), (part, ENDPOINT), (whole, CDN)]
NOT_TRIED_AGAIN = [
    (refs, "/refs"),
    (info, "/api/models/"),
    (paths, "/paths-info/"),
    (tensors, "main/model.safetensors"),
]


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(("call", "path"), TRIED_AGAIN)
def test_an_error_that_passes_costs_one_more_attempt(
    server: Hub, pauses: list[float], call: Call, path: str, status: int
) -> None:
    server.faults.append(Fault(path, status=status, retry_after=7))
    assert call(server) == GIVES[call]
    assert pauses == [1 if status == 500 else 8]  # Retry-After and a second more
    assert [r.status for r in server.requests_for(path)].count(status) == 1


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize(("call", "path"), NOT_TRIED_AGAIN)
def test_library_calls_without_retries_fail_at_once(
    server: Hub, pauses: list[float], call: Call, path: str, status: int
) -> None:
    server.faults.append(Fault(path, status=status, message="come back later"))
    with pytest.raises(HfHubHTTPError, match="come back later"):
        call(server)
    assert not pauses
    assert call(server) == GIVES[call]


@pytest.mark.parametrize("cut", [0, 20, 90])
@pytest.mark.parametrize(("call", "path"), [*TRIED_AGAIN, (weights, CDN), (config, "config.json")])
def test_a_body_that_breaks_off_is_asked_for_again(server: Hub, call: Call, path: str, cut: int) -> None:
    server.faults.append(Fault(path, cut=cut))
    assert call(server) == GIVES[call]
    sizes = [request.served for request in server.requests_for(path, "GET")]
    if path == ENDPOINT:  # a redirect has no body to be cut
        assert (sizes, server.faults[0].times) == ([0], 1)
    else:
        assert sizes[0] == cut < sizes[-1]


@pytest.mark.parametrize("fault", [Fault("", cut=2), Fault("")])
@pytest.mark.parametrize("call", [refs, info, paths, tensors])
def test_a_response_that_breaks_off_is_an_error_where_nothing_is_tried_again(
    server: Hub, call: Call, fault: Fault
) -> None:
    server.faults.append(replace(fault))
    with pytest.raises(httpx2.RemoteProtocolError):
        call(server)
    assert call(server) == GIVES[call]


def test_a_hub_that_hangs_up_spoils_a_download_at_its_head_and_not_at_its_body(
    server: Hub, pauses: list[float]
) -> None:
    server.faults.append(Fault("weights.bin", method="HEAD"))
    with pytest.raises(httpx2.RemoteProtocolError):
        weights(server)
    server.faults.append(Fault("weights.bin", method="GET", times=2))
    assert weights(server) == WEIGHTS
    assert ([r.status for r in server.requests], pauses) == ([0, 302, 0, 0, 200], [1, 1])


def test_a_download_goes_on_where_it_was_cut(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what is in a chunk that was not filled is lost
    server.faults.append(Fault(CDN, cut=150_500))
    assert weights(server) == WEIGHTS
    assert [(r.range, r.served) for r in server.requests_for(CDN)] == [(None, 150_500), ("bytes=150000-", 50_000)]


def test_a_download_asks_again_for_what_it_is_and_once_for_what_it_holds(server: Hub, pauses: list[float]) -> None:
    server.faults.append(Fault("weights.bin", status=500, method="HEAD"))
    assert weights(server) == WEIGHTS
    assert (pauses, [r.status for r in server.requests]) == ([], [500, 302, 200])
    server.faults.append(Fault("config.json", status=500, method="GET"))
    with pytest.raises(HfHubHTTPError, match="500"):
        config(server)
    server.faults[:] = [Fault("", status=503, times=None)]
    assert weights(server) == WEIGHTS  # out of the cache
    with pytest.raises(LocalEntryNotFoundError):
        config(server)
    server.faults[:] = [Fault("config.json", status=403, code="GatedRepo")]
    with pytest.raises(GatedRepoError):
        config(server)


class Clock:
    """A clock that moves on where something waits for it, in place of `time` and of an event that never comes."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


def test_weights_come_at_the_rate_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, traffic = Clock(), Traffic()
    monkeypatch.setattr(hub_traffic, "time", clock)
    monkeypatch.setattr(traffic, "closing", clock)
    traffic.bytes_per_second = 500_000
    left = 200_000
    while left:
        left -= traffic.take(left)
    assert clock.now == pytest.approx(200_000 / 500_000, abs=3 * TICK)  # it may begin and end within a tick
    traffic.bytes_per_second = None
    before = clock.now
    assert [traffic.take(left) for left in (10, 10 * PIECE)] == [10, PIECE]
    assert clock.now == before


def test_weights_alone_are_slowed_down_until_the_line_is_free_again(server: Hub) -> None:
    server.bytes_per_second = 1

    def free_line() -> None:
        wait_until(lambda: server.served(CDN))
        server.bytes_per_second = None

    threading.Thread(target=free_line).start()
    assert refs(server) == "main"
    assert config(server) == FILES["config.json"]
    assert whole(server) == WEIGHTS


def test_bytes_that_nobody_reads_are_not_counted(server: Hub) -> None:
    server.repos[NAME].push("main", {"weights.bin": bytes(30_000_000)})
    with get_session().stream("GET", f"{server.endpoint}/{NAME}/resolve/main/weights.bin") as response:
        assert next(response.iter_bytes(1000)) == bytes(1000)
    assert server.served() < 10_000_000


def test_the_stand_in_hub_ends_at_once_and_leaves_nothing() -> None:
    before, failed = set(threading.enumerate()), threading.Event()

    def wait_for_weights(endpoint: str) -> None:
        with pytest.raises(httpx2.RemoteProtocolError):
            get_session().get(f"{endpoint}/{NAME}/resolve/main/weights.bin")
        failed.set()

    with hub({NAME: Repo({"main": FILES})}) as running:
        refs(running)  # and its connection stays open
        running.bytes_per_second = 1
        client = threading.Thread(target=wait_for_weights, args=[running.endpoint])
        client.start()
        wait_until(lambda: running.served(CDN))
    client.join()
    assert failed.is_set()
    assert set(threading.enumerate()) == before
    for address in (running.endpoint, running.cdn):
        with pytest.raises(httpx2.ConnectError):
            get_session().get(address)
