"""What the cluster serves, while a part of it does not answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from kubernetes import client

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.errors import Unavailable
from claude_mem_operator.kube.kinds import HTTP_ROUTE, SERVICE_MONITOR

GATEWAY = "/apis/gateway.networking.k8s.io/v1"


class Cluster(ThreadingHTTPServer):
    """Answers by path: what is not there is 404, and None is a server that is down."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, object | None] = {GATEWAY: {"resources": [{"name": "httproutes"}]}}


class _Handler(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path, ())
        self.send_response(404 if answer == () else 503 if answer is None else 200)
        body = json.dumps(answer).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def connected(cluster: Cluster, clock: list[float]) -> DynamicApi:
    configuration = client.Configuration(host=f"http://127.0.0.1:{cluster.server_port}")
    return DynamicApi(client.ApiClient(configuration), clock=lambda: clock[0])


def test_what_was_served_counts_as_served_while_its_server_is_down(cluster: Cluster) -> None:
    clock = [0.0]
    api = connected(cluster, clock)
    assert api.serves(HTTP_ROUTE)
    cluster.answers[GATEWAY] = None
    clock[0] += 61
    assert api.serves(HTTP_ROUTE)
    del cluster.answers[GATEWAY]
    clock[0] += 61
    assert not api.serves(HTTP_ROUTE), "its definition was removed"


def test_what_was_never_known_is_not_guessed(cluster: Cluster) -> None:
    cluster.answers["/apis/monitoring.coreos.com/v1"] = None
    with pytest.raises(Unavailable):
        connected(cluster, [0.0]).serves(SERVICE_MONITOR)


def test_groups_are_known_without_their_versions(cluster: Cluster) -> None:
    clock = [0.0]
    api = connected(cluster, clock)
    cluster.answers["/apis"] = {"groups": [{"name": "apps"}]}
    assert not api.serves_group("external.metrics.k8s.io")
    cluster.answers["/apis"] = {"groups": [{"name": "apps"}, {"name": "external.metrics.k8s.io"}]}
    clock[0] += 61
    assert api.serves_group("external.metrics.k8s.io")
