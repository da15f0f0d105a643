"""The installed charts on a real API server: roles, policy and webhook, the operator's own rights in force.

No pod runs here, so the listener is this process's, and the webhook configuration names it by URL in the place of
the Service; everything else is as Helm renders it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from claude_mem_operator.admission import certificates, pki
from claude_mem_operator.admission.certificates import Certificates, Place, serving_pair
from claude_mem_operator.admission.judge import judge
from claude_mem_operator.admission.server import AdmissionServer
from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.errors import Forbidden
from claude_mem_operator.kube.kinds import SECRET, WEBHOOK_CONFIGURATION
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.helm import DEFINITIONS, OPERATOR, Helm
from tests.support.kube.control_plane import ControlPlane, forget_cut_connections
from tests.support.kube.kubectl import Kubectl, KubectlError
from tests.support.ports import free_port

#: What `without_remains` is for: the collector may come before it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

#: Good for the policy, whose CEL does not know the rule, and not for the webhook, which does.
ONLY_THE_WEBHOOK_KNOWS = {"name": "CLAUDE_MEM_POSTGRES_SSL", "value": "sometimes"}
LOCAL_DEV = {"name": "CLAUDE_MEM_AUTH_MODE", "value": "local-dev"}
NOTHING = "<nothing>"
#: Seconds for the API server to notice a changed configuration on a busy machine.
DEADLINE = 300.0
#: Seconds that API servers give the webhook, the most that there is: what they grant by default this process may not get.
PATIENCE_S = 30


@dataclass
class Installation:
    """The operator's chart in a namespace of its own, for one other namespace."""

    plane: ControlPlane
    name: str
    namespace: str
    watched: str
    place: Place
    clock: datetime

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl

    def operator(self) -> DynamicApi:
        """The API as the operator's ServiceAccount sees it."""
        return DynamicApi(self.plane.client(self.plane.service_account(self.namespace, self.name)))

    def certificates(self) -> Certificates:
        return Certificates(self.operator(), self.place, clock=lambda: self.clock)

    async def apply(self, resource: Manifest, *options: str, kubectl: Kubectl | None = None) -> str:
        """Apply a resource on the server's side, without holding up this process's own webhook."""
        return await asyncio.to_thread(
            kubectl or self.kubectl,
            *("--namespace", self.watched, "apply", "--server-side", "--force-conflicts"),
            *(*options, "--filename", "-"),
            stdin=json.dumps(resource),
        )

    async def run(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.kubectl, "--namespace", self.watched, *arguments)

    def bundle(self) -> bytes:
        found = self.plane.kubectl.json("get", "validatingwebhookconfiguration", self.name)
        return certificates._bundle(found)


def resource(name: str, *env: dict[str, str], **spec: Any) -> Manifest:
    provider = {"name": "claude", "apiKeySecretRef": {"name": "anthropic", "key": "api-key"}}
    return {
        "apiVersion": "claude-mem.dev/v1alpha1",
        "kind": "ClaudeMemServer",
        "metadata": {"name": name},
        "spec": {"provider": provider, "worker": {"env": list(env)}, **spec},
    }


def apply_all(kubectl: Kubectl, manifests: list[Manifest]) -> None:
    """Apply objects of any namespaces."""
    whole = {"apiVersion": "v1", "kind": "List", "items": manifests}
    kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(whole))


def wait_for_rights(
    kubectl: Kubectl, namespace: str, name: str, *, watched: str, webhook: dict[str, Any]
) -> None:
    """Wait until each of the roles that were just installed counts."""
    account = f"system:serviceaccount:{namespace}:{name}"
    certificate = webhook.get("certificate", {})
    secret = certificate.get("secretName", f"{name}-webhook-cert")
    kubectl.wait_until_may(account, "list", "secrets", namespace=watched)
    if webhook.get("enabled", True):
        kubectl.wait_until_may(account, "get", f"secrets/{secret}", namespace=namespace)
        if certificate.get("source", "own") == "own":
            configuration = f"validatingwebhookconfigurations/{name}"
            kubectl.wait_until_may(account, "get", configuration, namespace=namespace)


@pytest.fixture(autouse=True)
def without_remains() -> Iterator[None]:
    """After the test's loop has ended, let go of connections of a server that stopped, and of refused handshakes.

    A listener that stops says goodbye to those who are connected and does not wait for their answer, as a process that
    ends need not; the API server may answer when the test is over.
    """
    yield
    forget_cut_connections()


@pytest.fixture
def install(control_plane: ControlPlane, helm: Helm) -> Iterator[Callable[[dict[str, Any]], Installation]]:
    installed: list[tuple[Installation, list[Manifest]]] = []

    def make(values: dict[str, Any]) -> Installation:
        namespace = control_plane.create_namespace(prefix="operator")
        watched = control_plane.create_namespace(prefix="watched")
        patient = {"timeoutSeconds": PATIENCE_S, **values.get("webhook", {})}
        given = {**values, "watchNamespaces": [watched], "webhook": patient}
        manifests = helm.render(DEFINITIONS) + helm.render(
            OPERATOR, given, release=namespace, namespace=namespace
        )
        kubectl = control_plane.kubectl
        apply_all(kubectl, manifests)
        name = f"{namespace}-claude-mem-operator"
        kubectl.wait_until_served("claudememservers.claude-mem.dev")
        wait_for_rights(kubectl, namespace, name, watched=watched, webhook=patient)
        place = Place(
            namespace=namespace,
            authority_secret=f"{name}-webhook-ca",
            leaf_secret=f"{name}-webhook-cert",
            configuration=name,
            service=f"{name}-webhook",
            names=(*pki.service_names(f"{name}-webhook", namespace), "localhost"),
        )
        installation = Installation(control_plane, name, namespace, watched, place, datetime.now(UTC))
        installed.append((installation, manifests))
        return installation

    yield make
    for installation, manifests in installed:
        for one in manifests:
            if one["kind"].startswith(("Validating", "ClusterRole")):
                control_plane.kubectl(
                    *("delete", one["kind"], one["metadata"]["name"]), "--wait=false", "--ignore-not-found"
                )
        for namespace in (installation.namespace, installation.watched):
            control_plane.delete_namespace(namespace)


@asynccontextmanager
async def webhook(installation: Installation) -> AsyncIterator[AdmissionServer]:
    """The listener with the leaf that the operator makes, and the configuration pointed at it."""
    await asyncio.to_thread(installation.certificates().maintain)
    async with listening(installation) as server:
        yield server


@asynccontextmanager
async def listening(installation: Installation) -> AsyncIterator[AdmissionServer]:
    """The listener with the leaf of the Secret, and the configuration pointed at it.

    Its port is nobody else's, also after it is closed.
    """
    server = AdmissionServer(judge, host="127.0.0.1", port=free_port(), time_limit=PATIENCE_S)
    await reload(installation, server)
    url = {"op": "add", "path": "/webhooks/0/clientConfig/url"}
    patch = [
        {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
        {**url, "value": f"https://localhost:{server.port}/validate"},
    ]
    configuration = ("validatingwebhookconfiguration", installation.name)
    await installation.run("patch", *configuration, "--type=json", f"--patch={json.dumps(patch)}")
    try:
        await refused(installation)
        yield server
    finally:
        await server.stop()


async def reload(installation: Installation, server: AdmissionServer) -> None:
    """What every replica does every few seconds."""
    pair = await asyncio.to_thread(
        lambda: serving_pair(
            installation.operator(),
            namespace=installation.namespace,
            secret=installation.place.leaf_secret,
        )
    )
    assert pair is not None
    if server.serving is None:
        await server.start(pair)
    else:
        server.use(pair)


async def refusal(installation: Installation, wrong: Manifest) -> str:
    """Why the API server refuses a resource; `<nothing>` where it does not."""
    try:
        await installation.apply(wrong, "--dry-run=server")
    except KubectlError as error:
        return error.stderr
    return NOTHING


async def eventually(installation: Installation, wrong: Manifest, *words: str) -> str:
    """Wait until a resource is refused in these words: API servers take a moment to see a configuration."""
    said, deadline = "", time.monotonic() + DEADLINE
    while not all(word in said for word in words):
        assert time.monotonic() < deadline, f"refused with {said}, not {words}"
        said = await refusal(installation, wrong)
    return said


async def refused(installation: Installation) -> None:
    """Wait until a resource is refused that only the webhook knows to be wrong."""
    wrong = resource("wrong", ONLY_THE_WEBHOOK_KNOWS)
    await eventually(
        installation, wrong, 'The ClaudeMemServer "wrong" is invalid', "spec.worker.env[0].value"
    )


async def test_what_the_webhook_checks_passes_or_is_refused_with_its_path(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    installation = install({"admissionPolicy": {"enabled": False}})
    async with webhook(installation):
        said = await refusal(installation, resource("wrong", LOCAL_DEV))
        assert "spec.worker.env[0].value" in said
        assert "local-dev" in said
        assert await refusal(installation, resource("good")) == NOTHING
        await installation.apply(resource("good"))
        with pytest.raises(KubectlError, match=r"spec\.worker\.env\[0\]"):
            await installation.apply(resource("good", LOCAL_DEV))
        await installation.apply(resource("good", log={"level": "DEBUG"}))


async def test_while_no_replica_answers_only_specs_are_held_up(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    installation = install({"admissionPolicy": {"enabled": False}})
    async with webhook(installation):
        await installation.apply(resource("old"))
        await installation.run(
            "patch", "cms/old", "--type=merge", '--patch={"metadata":{"finalizers":["x.example/y"]}}'
        )
    down = "failed calling webhook"
    with pytest.raises(KubectlError, match=down):
        await installation.apply(resource("new"))
    with pytest.raises(KubectlError, match=down):
        await installation.apply(resource("old", log={"level": "DEBUG"}))

    await installation.run("annotate", "cms/old", "note=metadata")
    await installation.apply(resource("old"))
    status = '--patch={"status":{"phase":"Ready"}}'
    await installation.run("patch", "cms/old", "--subresource=status", "--type=merge", status)
    account = installation.plane.service_account(installation.namespace, installation.name)
    operator = installation.kubectl.with_kubeconfig(account)
    await installation.apply(resource("old", log={"level": "WARN"}), kubectl=operator)
    await installation.run("delete", "cms/old", "--wait=false")
    await installation.run("patch", "cms/old", "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    assert "old" not in await installation.run("get", "cms", "--output=name")


async def test_other_namespaces_and_other_installations_are_left_alone(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    installation = install({})
    elsewhere = installation.plane.create_namespace(prefix="elsewhere")
    other = replace(installation, watched=elsewhere)
    assert await refusal(other, resource("wrong", LOCAL_DEV)) == NOTHING
    installation.plane.delete_namespace(elsewhere)


async def test_the_policy_refuses_without_the_operator(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    installation = install({"webhook": {"enabled": False}})
    wrong = resource("wrong", LOCAL_DEV)
    await eventually(installation, wrong, "ValidatingAdmissionPolicy", "CLAUDE_MEM_AUTH_MODE")
    assert await refusal(installation, resource("good")) == NOTHING


async def test_the_operator_owns_the_bundle_and_nothing_else(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    installation = install({})
    upkeep = await asyncio.to_thread(installation.certificates().maintain)
    assert len(upkeep.steps) == 3
    found = installation.kubectl.json(
        "get", "validatingwebhookconfiguration", installation.name, "--show-managed-fields"
    )
    (entry,) = (
        one for one in found["metadata"]["managedFields"] if one["manager"] == "claude-mem-operator-ca"
    )
    owned = entry["fieldsV1"]["f:webhooks"]['k:{"name":"claudememservers.claude-mem.dev"}']
    assert owned == {".": {}, "f:clientConfig": {"f:caBundle": {}}, "f:name": {}}
    assert found["webhooks"][0]["failurePolicy"] == "Fail"
    assert found["webhooks"][0]["clientConfig"]["service"]["port"] == 443


async def test_an_upgrade_keeps_what_the_operator_wrote(
    install: Callable[[dict[str, Any]], Installation], helm: Helm
) -> None:
    installation = install({})
    await asyncio.to_thread(installation.certificates().maintain)
    before = installation.bundle()
    upgraded = helm.render(
        OPERATOR,
        {"watchNamespaces": [installation.watched], "webhook": {"timeoutSeconds": 9}},
        release=installation.namespace,
        namespace=installation.namespace,
    )
    apply_all(installation.kubectl, upgraded)
    assert installation.bundle() == before != b""
    assert (await asyncio.to_thread(installation.certificates().maintain)).steps == ()


async def test_a_blanked_bundle_comes_back(install: Callable[[dict[str, Any]], Installation]) -> None:
    installation = install({"admissionPolicy": {"enabled": False}})
    async with webhook(installation):
        blank = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
        configuration = ("validatingwebhookconfiguration", installation.name)
        await installation.run("patch", *configuration, "--type=json", f"--patch={json.dumps(blank)}")
        await eventually(installation, resource("good"), "failed to verify certificate")
        upkeep = await asyncio.to_thread(installation.certificates().maintain)
        assert upkeep.steps == ("wrote the bundle into the webhook configuration",)
        await refused(installation)
        assert await refusal(installation, resource("good")) == NOTHING


async def test_a_whole_rotation_under_a_webhook_that_answers_all_the_while(
    install: Callable[[dict[str, Any]], Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = install({"admissionPolicy": {"enabled": False}})
    now = installation.clock
    for age in (244, 30):  # an authority that is due today, and a leaf of it that is not
        installation.clock = now - timedelta(days=age)
        await asyncio.to_thread(installation.certificates().maintain)
    async with webhook(installation) as server:
        handshake = certificates.serves

        def serves(_address: tuple[str, int], *, name: str, authority_pem: str) -> bool:
            return handshake(("127.0.0.1", server.port), name=name, authority_pem=authority_pem)

        monkeypatch.setattr(certificates, "serves", serves)
        installation.kubectl.apply(_endpoints(installation.place), namespace=installation.namespace)
        trusted = []
        for minutes in (0, 2, 6):
            installation.clock = now + timedelta(minutes=minutes)
            await asyncio.to_thread(installation.certificates().maintain)
            await refused(installation)
            await reload(installation, server)
            await refused(installation)
            assert await refusal(installation, resource("good")) == NOTHING
            trusted.append(len(pki.read_certificates(installation.bundle())))
    assert trusted == [2, 2, 1]


async def test_a_certificate_that_is_given_is_served_and_believed_and_no_other(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    """With the rights that the chart grants for it, which are to read that Secret alone; the bundle is the chart's."""
    authority, stranger = (pki.issue_authority(now=datetime.now(UTC)) for _ in range(2))
    given = {"source": "provided", "secretName": "theirs", "caBundle": authority.certificate_pem.decode()}
    made = install({"admissionPolicy": {"enabled": False}, "webhook": {"certificate": given}})
    installation = replace(made, place=replace(made.place, leaf_secret="theirs"))
    give(installation, authority)
    async with listening(installation) as server:
        said = await refusal(installation, resource("wrong", LOCAL_DEV))
        assert "spec.worker.env[0].value" in said
        await installation.apply(resource("good"))
        port = server.port
    # API servers look at a certificate when they connect, and keep connections.
    give(installation, stranger)
    impostor = AdmissionServer(judge, host="127.0.0.1", port=port, time_limit=PATIENCE_S)
    await reload(installation, impostor)
    try:
        await eventually(
            installation, resource("good", log={"level": "DEBUG"}), "failed to verify certificate"
        )
    finally:
        await impostor.stop()
    assert installation.bundle() == authority.certificate_pem


def give(installation: Installation, authority: pki.KeyPair) -> None:
    """Put a leaf of an authority where the chart was told that one is."""
    leaf = pki.issue_leaf(authority, names=installation.place.names, now=datetime.now(UTC))
    pair = {"tls.crt": leaf.certificate_pem.decode(), "tls.key": leaf.key_pem.decode()}
    name = installation.place.leaf_secret
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls"}
    installation.kubectl.apply({**secret, "stringData": pair}, namespace=installation.namespace)


def _endpoints(place: Place) -> Manifest:
    """As Kubernetes writes them for a Service with one ready pod."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": place.service,
            "labels": {"kubernetes.io/service-name": place.service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "webhook", "port": 9443, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": True}}],
    }


async def test_lost_secrets_are_made_again_with_the_rights_of_the_role(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    installation = install({"admissionPolicy": {"enabled": False}})
    async with webhook(installation) as server:
        for secret in (installation.place.authority_secret, installation.place.leaf_secret):
            installation.kubectl("--namespace", installation.namespace, "delete", "secret", secret)
        await asyncio.to_thread(installation.certificates().maintain)
        await reload(installation, server)
        # Until the new bundle is known, a connection from before may still carry a refusal.
        await eventually(installation, resource("good"), NOTHING)
        await refused(installation)


async def test_the_operator_may_read_and_change_nothing_of_others(
    install: Callable[[dict[str, Any]], Installation],
) -> None:
    installation = install({})
    operator = installation.operator()
    for refusing in (
        lambda: operator.get(ObjectRef(SECRET, "kube-system", "any")),
        lambda: operator.get(ObjectRef(SECRET, installation.namespace, "any")),
        lambda: operator.list(SECRET),
        lambda: operator.get(ObjectRef(WEBHOOK_CONFIGURATION, None, "of-others")),
    ):
        with pytest.raises(Forbidden):
            refusing()
    assert operator.list(SECRET, installation.watched) == []


async def test_the_installations_own_test_tells_good_from_bad(
    install: Callable[[dict[str, Any]], Installation],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installation = install({"admissionPolicy": {"enabled": False}})
    kubeconfig = installation.plane.service_account(installation.namespace, installation.name)
    installation.kubectl(
        *("--namespace", installation.watched, "create", "rolebinding", "test", "--clusterrole=admin"),
        f"--serviceaccount={installation.namespace}:default",
    )
    # Who administers a namespace may do what the chart adds, once a controller has put it together.
    account = f"system:serviceaccount:{installation.namespace}:default"
    installation.kubectl.wait_until_may(
        account, "create", "claudememservers.claude-mem.dev", namespace=installation.watched
    )
    kubeconfig = installation.plane.service_account(installation.namespace, "default")
    (user,) = json.loads(kubeconfig.read_text())["users"]
    (tmp_path / "token").write_text(user["user"]["token"])
    (tmp_path / "ca.crt").write_bytes(installation.plane.ca_file.read_bytes())
    host, _, port = installation.plane.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr("sys.argv", ["-c", installation.watched])
    specification = importlib.util.spec_from_file_location("hook", OPERATOR / "files" / "test_admission.py")
    assert specification is not None
    assert specification.loader is not None
    hook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hook)
    monkeypatch.setattr(hook, "ACCOUNT", tmp_path)
    monkeypatch.setattr(hook, "PATIENCE_S", 0)
    await eventually(installation, resource("good"), "failed calling webhook")

    with pytest.raises(SystemExit, match=r"a good resource is refused: .*failed calling webhook"):
        await asyncio.to_thread(hook.main)
    # As it is right after an installation: replicas are ready, and the nodes do not know it yet.
    answers: list[tuple[int, str]] = []
    ask = hook.dry_run

    # And one answer of a node that learns it last, after another's.
    late = [(500, 'Internal error occurred: failed calling webhook "claudememservers.claude-mem.dev"')]

    def told(env: list[dict[str, str]]) -> tuple[int, str]:
        answers.append(late.pop() if env and late else ask(env))
        return answers[-1]

    monkeypatch.setattr(hook, "dry_run", told)
    monkeypatch.setattr(hook, "PATIENCE_S", DEADLINE)
    testing = asyncio.create_task(asyncio.to_thread(hook.main))
    async with asyncio.timeout(DEADLINE):
        while not answers:  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.1)
    assert "failed calling webhook" in answers[0][1]
    async with webhook(installation):
        await testing
    assert "is refused: admission webhook" in capsys.readouterr().out
    installation.kubectl("delete", "validatingwebhookconfiguration", installation.name)
    await eventually(installation, resource("wrong", LOCAL_DEV), NOTHING)
    with pytest.raises(SystemExit, match="is the webhook registered"):
        await asyncio.to_thread(hook.main)
