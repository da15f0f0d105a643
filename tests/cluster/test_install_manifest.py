"""The installation in one file, as its page tells it: applied to a real API server, and deleted again.

No pod runs here. That its pods work is told by the charts' tests on kind, and that the file is what the charts render by
`test_charts_helm`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import pytest

from claude_mem_operator.kube import kinds
from claude_mem_operator.kube.port import Kind, Manifest
from tests.support.claude_mem_servers import SAMPLES
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.kubectl import Kubectl, KubectlError
from tests.support.kube.scripts import ROOT, UnavailableError
from tests.support.processes import WaitTimeoutError, wait_until
from tests.support.tiers import cannot_run

MANIFEST = str(ROOT / "config" / "install.yaml")
NAME, NAMESPACE = "claude-mem-operator", "claude-mem-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{NAME}"
#: Kinds without a namespace of which the file has some, or that its objects could leave behind.
CLUSTER_WIDE = (
    "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,"
    "validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings"
)
PATIENCE_S = 300.0

#: A verb, a kind with its subresource, a namespace or none for all, and a name or none for any.
Question = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane of this module's own: with the definition, every resource of it goes."""
    try:
        started = ControlPlane()
    except UnavailableError as reason:
        cannot_run(str(reason))
    with started:
        yield started


@pytest.fixture(scope="module")
def before(plane: ControlPlane) -> set[str]:
    """What is there without a namespace before the file is applied."""
    return cluster_wide(plane.kubectl)


@pytest.fixture(scope="module")
def installed(plane: ControlPlane, before: set[str]) -> Kubectl:
    """The file, applied in the one step that its page tells."""
    plane.kubectl("apply", "--server-side", "--filename", MANIFEST)
    plane.kubectl.wait_until_served("claudememservers.claude-mem.dev")
    return plane.kubectl


def cluster_wide(kubectl: Kubectl) -> set[str]:
    return set(kubectl("get", CLUSTER_WIDE, "--output", "name").split())


def of(verbs: Iterable[str], *asked: Kind, namespace: str = "", name: str = "") -> Iterator[Question]:
    """Each verb of each kind."""
    return ((verb, f"{kind.plural}.{kind.group}", namespace, name) for kind in asked for verb in verbs)


READ = ("get", "list", "watch")
WRITE = ("create", "patch", "delete")
MAY = [
    *of((*READ, "patch"), kinds.CLAUDE_MEM_SERVER),
    ("patch", "claudememservers.claude-mem.dev/status", "", ""),
    ("update", "claudememservers.claude-mem.dev/finalizers", "", ""),
    *of((*READ, *WRITE), *kinds.CHILD_KINDS),
    *of((*READ, "patch", "delete"), kinds.VOLUME_CLAIM),
    *of((*READ, "delete"), kinds.POD),
    *of(("get", "create", "patch"), kinds.EVENT),
    *of(("get",), kinds.NAMESPACE),
    *of(("create",), kinds.LEASE, namespace=NAMESPACE),
    *of(("get", "patch"), kinds.LEASE, namespace=NAMESPACE, name=NAME),
    *of(("list",), kinds.ENDPOINT_SLICE, namespace=NAMESPACE),
    *of(("get", "patch"), kinds.WEBHOOK_CONFIGURATION, name=NAME),
]
MAY_NOT = [
    *of(("create", "delete"), kinds.CLAUDE_MEM_SERVER),
    *of(("create",), kinds.POD, kinds.VOLUME_CLAIM),
    *of(("deletecollection",), *kinds.CHILD_KINDS),
    *of(("list", "create", "patch", "delete"), kinds.NAMESPACE),
    *of(("get", "patch"), kinds.LEASE, namespace="kube-system", name=NAME),
    *of(("get", "patch"), kinds.LEASE, namespace=NAMESPACE, name="of-others"),
    *of(("create", "delete"), kinds.WEBHOOK_CONFIGURATION, name=NAME),
    *of(("get", "patch"), kinds.WEBHOOK_CONFIGURATION, name="of-others"),
    ("create", "pods./exec", "", ""),
    ("get", "nodes.", "", ""),
    ("create", "serviceaccounts./token", "", ""),
    ("create", "clusterroles.rbac.authorization.k8s.io", "", ""),
    ("bind", "clusterroles.rbac.authorization.k8s.io", "", ""),
    ("create", "rolebindings.rbac.authorization.k8s.io", "", ""),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io", "", ""),
    ("*", "*.*", "", ""),
]


def allowed(kubectl: Kubectl, questions: list[Question]) -> list[bool]:
    """What `kubectl auth can-i --as` the operator's account asks, all at once."""
    reviews = [_review(*question) for question in questions]
    whole = {"apiVersion": "v1", "kind": "List", "items": reviews}
    path = 'jsonpath={.status.allowed}{" "}'
    answer = kubectl("create", "--filename", "-", "--output", path, stdin=json.dumps(whole))
    return [one == "true" for one in answer.split()]


def _review(verb: str, what: str, namespace: str, name: str) -> Manifest:
    plain, _, subresource = what.partition("/")
    resource, _, group = plain.partition(".")
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": ACCOUNT,
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{NAMESPACE}",
                "system:authenticated",
            ],
            "resourceAttributes": {**asked, "namespace": namespace, "name": name},
        },
    }


def test_its_account_may_do_what_it_needs_and_nothing_else(installed: Kubectl) -> None:
    lacking: list[Question] = []

    def has_all() -> bool:
        """Whether nothing is lacking: API servers learn of roles a moment after they are stored."""
        may = zip(MAY, allowed(installed, MAY), strict=True)
        lacking[:] = [question for question, yes in may if not yes]
        return not lacking

    try:
        wait_until(has_all, what="all rights", timeout=PATIENCE_S)
    except WaitTimeoutError as error:
        raise AssertionError(f"{error}: it lacks {lacking}") from None
    may_not = dict(zip(MAY_NOT, allowed(installed, MAY_NOT), strict=True))
    assert [question for question, yes in may_not.items() if yes] == []


def test_kubectl_says_the_same(installed: Kubectl) -> None:
    who = ("--as", ACCOUNT, "--all-namespaces")
    assert installed("auth", "can-i", "create", "deployments.apps", *who) == "yes\n"
    with pytest.raises(KubectlError) as refused:
        installed("auth", "can-i", "create", "pods", *who)
    assert refused.value.stdout == "no\n"


def test_its_namespace_lets_its_pods_in(installed: Kubectl) -> None:
    """It enforces the restricted profile."""
    where = ("--namespace", NAMESPACE, "get")

    def pods() -> int:
        return len(installed(*where, "pods", "--output", "name").split())

    wait_until(lambda: pods() == 2, what="two pods, which no node runs", timeout=PATIENCE_S)


def test_it_fails_closed_before_its_pods_run(installed: Kubectl) -> None:
    """A sample is refused because nobody answers, and what is wrong for the policy, by the policy."""
    sample = ("apply", "--server-side", "--filename", str(SAMPLES / "minimal.yaml"))

    def is_asked() -> bool:
        """Whether the webhook is: API servers learn of its configuration a moment after it is stored."""
        try:
            installed(*sample, "--dry-run=server")
        except KubectlError as error:
            return "failed calling webhook" in error.stderr
        return False

    wait_until(is_asked, what="the webhook to be asked", timeout=PATIENCE_S)
    with pytest.raises(KubectlError, match="failed calling webhook"):
        installed(*sample)


def test_applied_again_it_changes_nothing(installed: Kubectl) -> None:
    said = [""]

    def nothing() -> bool:
        """Whether there is no difference: one is also shown where a controller tells of its work in that moment."""
        try:
            said[0] = installed("diff", "--server-side", "--force-conflicts", "--filename", MANIFEST)
        except KubectlError as error:
            said[0] = error.stdout or error.stderr
        return not said[0]

    try:
        wait_until(nothing, what="no difference", timeout=PATIENCE_S)
    except WaitTimeoutError as error:
        raise AssertionError(f"{error}, but found {said[0]}") from None


def test_deleted_it_leaves_nothing(installed: Kubectl, before: set[str]) -> None:
    installed("delete", "--filename", MANIFEST, timeout=PATIENCE_S)
    assert cluster_wide(installed) == before
