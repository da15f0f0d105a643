"""A Kubernetes control plane without nodes: etcd, the API server and the controller manager as plain processes.

It starts in seconds on free ports of loopback, by any user, and enforces what a real cluster does: CRDs and
CEL, admission policies and webhooks (by URL), RBAC, ServiceAccount tokens, garbage collection, the end of
namespaces. Workloads get their children (a StatefulSet its Pod, a Pod its PodDisruptionBudget's count), but
nothing ever runs and no Service has an address behind it but those that a test gives it: that is what kind is for.
"""

from __future__ import annotations

import gc
import json
import secrets
import shutil
import ssl
import tempfile
import urllib.request
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.error import HTTPError

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes import client

from tests.support.kube.clients import connect
from tests.support.kube.kubectl import Kubectl
from tests.support.kube.scripts import programs
from tests.support.ports import free_port
from tests.support.processes import Process, ProcessEndedError

#: The warning of a client whose API server was killed while it connected.
CUT = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"
#: Seconds that one of the programs may take to answer on a busy machine.
START_S = 240.0
START_ATTEMPTS = 3
#: Seconds that a ServiceAccount's token is good for.
TOKEN_S = 7200


class ControlPlane:
    """One control plane with data of its own, running from its creation until ``close()``.

    ``kubeconfig`` is the administrator's; ``kubectl`` and ``client()`` use it.

    Parameters:
        api_server: further arguments of the API server.
        controllers: further arguments of the controller manager.

    Raises: UnavailableError where the programs are not built.
    """

    def __init__(self, *, api_server: Sequence[str] = (), controllers: Sequence[str] = ()) -> None:
        self._further = {"kube-apiserver": tuple(api_server), "kube-controller-manager": tuple(controllers)}
        self._programs = programs("control-plane")
        self.directory = Path(tempfile.mkdtemp(prefix="claude-mem-control-plane-"))
        self._token = secrets.token_hex(16)
        (self.directory / "tokens.csv").write_text(f'{self._token},admin,admin,"system:masters"\n')
        _write_key(self.directory / "service-accounts.key")
        self.kubeconfig = self.directory / "kubeconfig"
        self.kubectl = Kubectl(self._programs / "kubectl", self.kubeconfig)
        self._processes: dict[str, Process] = {}
        try:
            self._start_etcd()
            self._start_first_api_server()
            self._start_controllers()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_file(self) -> Path:
        """The certificate by which clients know the API server, in PEM."""
        return self.directory / "certificates" / "apiserver.crt"

    def client(self, kubeconfig: Path | None = None) -> client.ApiClient:
        """A client for the official library; the administrator's unless a kubeconfig is given."""
        return connect(kubeconfig or self.kubeconfig)

    def kill_api_server(self) -> None:
        """End the API server at once, as a crash would; etcd and the controllers stay."""
        self._processes.pop("kube-apiserver").close()

    def start_api_server(self) -> None:
        """Start the API server again on its old port, with its old certificate, and wait until it is ready."""
        process = self._start("kube-apiserver", *self._api_server_arguments())
        process.wait_until(self._is_ready, what="the API server to be ready", timeout=START_S)

    def create_namespace(self, *, prefix: str = "test") -> str:
        """Create a namespace with a name of its own, with its default ServiceAccount."""
        return self.kubectl.create_namespace(prefix=prefix)

    def delete_namespace(self, name: str) -> None:
        """Have a namespace deleted with all that is in it, without waiting for the end."""
        self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig that acts as a ServiceAccount, which may do what RBAC grants it and no more."""
        token = self.kubectl(
            "--namespace", namespace, "create", "token", name, f"--duration={TOKEN_S}s"
        ).strip()
        path = self.directory / f"{namespace}-{name}.kubeconfig"
        self._write_kubeconfig(path, token, user=f"{namespace}/{name}")
        return path

    def report(self) -> str:
        """The ends of what the programs wrote, for a test that failed."""
        return "\n".join(f"--- {name}\n{process.stderr[-4000:]}" for name, process in self._processes.items())

    def close(self) -> None:
        """Kill everything, the youngest first, and remove the data."""
        while self._processes:
            self._processes.popitem()[1].close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, name: str, *arguments: str) -> Process:
        further = self._further.get(name, ())
        process = Process([self._programs / name, *arguments, *further], cwd=self.directory)
        self._processes[name] = process
        return process

    def _start_etcd(self) -> None:
        for attempt in range(START_ATTEMPTS):
            self._etcd = f"http://127.0.0.1:{free_port()}"
            process = self._start(
                "etcd",
                *(f"--data-dir={self.directory / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"),
                *(f"--listen-client-urls={self._etcd}", f"--advertise-client-urls={self._etcd}"),
                "--listen-peer-urls=http://127.0.0.1:0",
            )
            try:
                process.wait_for_http(f"{self._etcd}/readyz", timeout=START_S)
            except ProcessEndedError:
                if attempt == START_ATTEMPTS - 1:
                    raise
                process.close()
            else:
                return

    def _start_first_api_server(self) -> None:
        for attempt in range(START_ATTEMPTS):
            self._port = free_port()
            try:
                self.start_api_server()
            except ProcessEndedError:
                if attempt == START_ATTEMPTS - 1:
                    raise
                self._processes.pop("kube-apiserver").close()
            else:
                break
        self._write_kubeconfig(self.kubeconfig, self._token, user="admin")

    def _start_controllers(self) -> None:
        key = self.directory / "service-accounts.key"
        process = self._start(
            "kube-controller-manager",
            *(f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0"),
            *(f"--service-account-private-key-file={key}", f"--root-ca-file={self.ca_file}"),
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        )
        process.wait_until(self._is_controlled, what="the controllers to work", timeout=START_S)

    def _api_server_arguments(self) -> list[str]:
        key = self.directory / "service-accounts.key"
        return [
            f"--etcd-servers={self._etcd}",
            f"--secure-port={self._port}",
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
            f"--cert-dir={self.directory / 'certificates'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            # Nothing listens behind the Service of the API server itself: pods do not run here.
            "--endpoint-reconciler-type=none",
            "--shutdown-delay-duration=0s",
        ]

    def _is_ready(self) -> bool:
        if not self.ca_file.exists():
            return False
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            request = urllib.request.Request(
                f"{self.url}/readyz", headers={"Authorization": f"Bearer {self._token}"}
            )
            with urllib.request.urlopen(request, context=context, timeout=20) as answer:
                return bool(answer.status == 200)
        except OSError as error:
            # An answer that is an error holds its connection, and would be collected in some other test.
            if isinstance(error, HTTPError):
                error.close()
        return False

    def _is_controlled(self) -> bool:
        found = self.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "--output", "name")
        return bool(found)

    def _write_kubeconfig(self, path: Path, token: str, *, user: str) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "control-plane",
            "clusters": [{"name": "control-plane", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "control-plane", "context": {"cluster": "control-plane", "user": user}}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=1))


def forget_cut_connections() -> None:
    """Have what clients kept of connections to a killed API server collected now: a later test would be blamed for it.

    A test that kills an API server marks itself with `CUT`, for the collector comes when it likes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _write_key(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
