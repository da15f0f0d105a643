"""The chart's cert-manager mode with the real cert-manager: issued, injected, renewed, and taken up by who serves.

The operator runs as a process with its chart's rights, behind the chart's own Service; the API server calls it there.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import SECRET, WEBHOOK_CONFIGURATION
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.helm import Helm
from tests.support.kube.addons import ROUTED, addons, cert_manager, expose
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.kubectl import KubectlError
from tests.support.kube_engine import resource
from tests.support.kube_operator import Installation, OperatorProcess
from tests.support.ports import free_port
from tests.support.processes import Process, wait_until

PATIENCE_S = 180.0
#: Good for the definition's rules, and wrong for the webhook.
ONLY_THE_WEBHOOK_KNOWS = {"env": [{"name": "CLAUDE_MEM_POSTGRES_SSL", "value": "sometimes"}]}


class Served:
    """The operator behind its Service, with a certificate of cert-manager's."""

    def __init__(self, plane: ControlPlane, helm: Helm) -> None:
        self.plane = plane
        self.api = DynamicApi(plane.client())
        self.installation = Installation(
            plane,
            helm,
            webhook=True,
            values={"webhook": {"enabled": True, "certificate": {"source": "cert-manager"}}},
            also={"Certificate", "Issuer", "Service"},
        )
        self.settings = self.installation.webhook_settings
        self.port = free_port()
        self.namespace = plane.create_namespace()
        service = self.settings["WEBHOOK_SERVICE"]
        expose(plane, self.installation.namespace, service, port_name="webhook", port=self.port)

    def secret(self) -> dict[str, bytes]:
        """What the certificate's Secret holds; nothing while there is none."""
        ref = ObjectRef(SECRET, self.installation.namespace, self.settings["WEBHOOK_SECRET"])
        data = (self.api.get(ref) or {}).get("data", {})
        return {name: base64.b64decode(value) for name, value in data.items()}

    def delete_secret(self) -> None:
        """As `cmctl renew` has it made again, and as somebody's mistake."""
        self.api.delete(ObjectRef(SECRET, self.installation.namespace, self.settings["WEBHOOK_SECRET"]))

    def bundle(self) -> bytes:
        """By which authority API servers know the webhook."""
        found = self.api.get(ObjectRef(WEBHOOK_CONFIGURATION, None, self.installation.name))
        assert found is not None
        return base64.b64decode(found["webhooks"][0]["clientConfig"].get("caBundle", ""))

    def presented(self) -> x509.Certificate:
        """The certificate that the listener shows to who trusts the bundle."""
        context = ssl.create_default_context(cadata=self.bundle().decode())
        name = f"{self.settings['WEBHOOK_SERVICE']}.{self.installation.namespace}.svc"
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown)

    def is_believed(self) -> bool:
        """Whether the listener shows a certificate of the authority that is in the bundle."""
        try:
            self.presented()
        except ssl.SSLCertVerificationError:
            return False
        return True

    def refusal(self, wrong: Manifest) -> str:
        """What the API server says to a resource; empty where it takes it."""
        command = ("apply", "--server-side", "--dry-run=server", "--filename", "-")
        try:
            self.plane.kubectl(*command, stdin=json.dumps(wrong))
        except KubectlError as error:
            return error.stderr
        return ""

    def admits(self) -> None:
        """Wait until the API server asks the webhook, and believes its answers."""
        wrong = resource("wrong", self.namespace, worker=ONLY_THE_WEBHOOK_KNOWS)
        wait_until(
            lambda: "spec.worker.env[0].value" in self.refusal(wrong),
            what="the webhook to refuse",
            timeout=PATIENCE_S,
        )
        assert self.refusal(resource("good", self.namespace)) == ""


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(api_server=ROUTED) as started:
        started.kubectl("apply", "--server-side", "--filename", str(addons() / "crds.yaml"))
        for name in ("certificates", "issuers", "certificaterequests", "clusterissuers"):
            started.kubectl.wait(f"crd/{name}.cert-manager.io", "condition=Established", timeout=60)
        install_crd(started.kubectl)
        yield started


@pytest.fixture(scope="module")
def manager(plane: ControlPlane) -> Iterator[list[Process]]:
    """cert-manager, in a list, so that a test may have another in its place."""
    running = [cert_manager(plane)]
    yield running
    running.pop().close()


@pytest.fixture(scope="module")
def served(plane: ControlPlane, helm: Helm, manager: list[Process]) -> Iterator[Served]:
    made = Served(plane, helm)
    yield made
    made.installation.close()


@pytest.fixture(scope="module")
def operator(served: Served) -> Iterator[OperatorProcess]:
    """One replica through all tests: whatever happens to the certificate, it is not started again."""
    settings = {**served.settings, "LISTEN_WEBHOOK": str(served.port)}
    with served.installation.replica(**settings) as process:
        process.wait_until_ready()
        yield process
        assert process.is_well
        assert process.forbidden() == []


def test_the_api_server_asks_the_webhook_by_its_service_under_the_managers_certificate(
    served: Served, operator: OperatorProcess
) -> None:
    assert served.settings["WEBHOOK"] == "provided"
    served.admits()
    secret = served.secret()
    assert served.bundle() == secret["ca.crt"]
    shown = served.presented()
    assert shown == x509.load_pem_x509_certificate(secret["tls.crt"])
    authority = x509.load_pem_x509_certificate(secret["ca.crt"])
    assert shown.issuer == authority.subject
    assert (shown.not_valid_after_utc - shown.not_valid_before_utc).days == 90


def test_a_renewed_certificate_is_taken_up_by_the_process_that_runs(
    served: Served, operator: OperatorProcess
) -> None:
    before = served.presented().serial_number
    served.delete_secret()
    wait_until(
        lambda: served.presented().serial_number != before, what="the new certificate", timeout=PATIENCE_S
    )
    assert served.presented() == x509.load_pem_x509_certificate(served.secret()["tls.crt"])
    served.admits()


def test_while_the_manager_is_away_a_lost_certificate_goes_on_being_served(
    served: Served, operator: OperatorProcess, manager: list[Process]
) -> None:
    before = served.presented().serial_number
    looked = _looks(operator)
    manager.pop().close()
    served.delete_secret()
    wait_until(lambda: _looks(operator) >= looked + 3, what="it to look in vain", timeout=PATIENCE_S)
    assert served.secret() == {}
    assert served.presented().serial_number == before
    served.admits()
    manager.append(cert_manager(served.plane))
    wait_until(
        lambda: served.presented().serial_number != before, what="the new certificate", timeout=PATIENCE_S
    )
    served.admits()


def test_a_new_authority_is_injected_and_believed(served: Served, operator: OperatorProcess) -> None:
    before = served.bundle()
    authority = ObjectRef(SECRET, served.installation.namespace, served.settings["WEBHOOK_CA_SECRET"])
    served.api.delete(authority)
    wait_until(lambda: served.api.get(authority), what="a new authority", timeout=PATIENCE_S)
    served.admits()  # the certificate is still one of the earlier authority, and so is the bundle
    served.delete_secret()
    wait_until(lambda: served.bundle() != before, what="the new bundle", timeout=PATIENCE_S)
    wait_until(served.is_believed, what="the listener to follow", timeout=PATIENCE_S)
    served.admits()


def _looks(operator: OperatorProcess) -> float:
    """How often the operator has read the certificate's Secret: there is no resource for which it would read others."""
    return sum(count for verb, kind, _, count in operator.requests() if (verb, kind) == ("get", "secrets"))
