"""What others add to a cluster, as processes beside a test's control plane: cert-manager, Prometheus and its adapter.

The API server reaches a Service here as the nodes of a real cluster do, at the addresses of its EndpointSlices: with
`ROUTED`, and a slice that `expose` makes of a port of this machine.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from claude_mem_operator.kube.port import Manifest
from tests.support.certificates import make_certificates
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.scripts import script
from tests.support.processes import Process

#: Argument of an API server that is to reach Services at the addresses behind them: no node of it forwards anything.
ROUTED = ("--enable-aggregator-routing=true",)


#: For what the adapter asks the API server, as its flags name it.
_KUBECONFIGS = ("lister", "authentication", "authorization")
#: Seconds for a program to start on a busy machine.
START_S = 120.0


def addons() -> Path:
    """The directory with the programs.

    Raises: UnavailableError where they are not built.
    """
    return Path(script("addons", "--present").strip())


def cert_manager(plane: ControlPlane) -> Process:
    """cert-manager's controllers and its injector of authorities; its definitions have to be there."""
    process = Process([addons() / "cert-manager", plane.kubeconfig])
    process.wait_for_line("Starting workers", timeout=START_S)
    return process


def prometheus(directory: Path, port: int, config: Mapping[str, Any]) -> Process:
    """A Prometheus with its data in a directory of its own."""
    (directory / "prometheus.yaml").write_text(json.dumps(config))
    process = Process(
        [
            "prometheus",
            f"--config.file={directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
    )
    process.wait_for_http(f"http://127.0.0.1:{port}/-/ready", timeout=START_S)
    return process


def adapter(
    plane: ControlPlane, directory: Path, port: int, *, url: str, config: Mapping[str, Any]
) -> Process:
    """prometheus-adapter on a port, with rules, for the Prometheus at ``url``."""
    (directory / "rules.yaml").write_text(json.dumps(config))
    process = Process(
        [
            addons() / "adapter",
            *(f"--{purpose}-kubeconfig={plane.kubeconfig}" for purpose in _KUBECONFIGS),
            f"--prometheus-url={url}",
            f"--config={directory / 'rules.yaml'}",
            f"--cert-dir={directory / 'serving'}",
            f"--secure-port={port}",
            *("--metrics-relist-interval=2s", "--metrics-max-age=60s"),
        ]
    )
    process.wait_for_port(port, timeout=START_S)
    return process


def aggregation(directory: Path) -> tuple[str, ...]:
    """Arguments of an API server that passes requests on to others and tells them who asks."""
    made = make_certificates(directory)
    return (
        *ROUTED,
        f"--requestheader-client-ca-file={made.authority}",
        f"--proxy-client-cert-file={made.certificate}",
        f"--proxy-client-key-file={made.key}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    )


def address() -> str:
    """An address of this machine other than loopback, at which an EndpointSlice may point."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # RFC 5737; a datagram's socket sends nothing yet
        return str(probe.getsockname()[0])


def expose(plane: ControlPlane, namespace: str, service: str, *, port_name: str, port: int) -> None:
    """Put a port of this machine behind a Service."""
    slice_: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-host", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address()], "conditions": {"ready": True}}],
    }
    plane.kubectl.apply(slice_, namespace=namespace)
