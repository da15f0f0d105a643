"""The webhook's listener: TLS, AdmissionReviews in and out. What is allowed is `judge`'s, the certificate `certificates`'.

    POST /validate   an AdmissionReview, answered with one
    GET  /healthz    whether anybody listens

A review changes nothing anywhere, so a dry run is like any other. What is not a review gets 400; a check that
fails or takes too long is a refusal that says so, for the webhook fails closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import ssl
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from claude_mem_operator.admission.pki import KeyPair

logger = logging.getLogger(__name__)

API_VERSION: Final = "admission.k8s.io/v1"
#: Twice what an API server stores of one object, for a review has the old and the new, and room for the rest.
BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024
#: Of the time that a caller grants, so that the refusal is ours and says why.
TIME_PART: Final = 4 / 5
#: For a caller who does not say: of the 5 s that the chart's webhook configuration grants unless it is told otherwise.
TIME_LIMIT_SECONDS: Final = 5 * TIME_PART
#: The most that an API server may grant a webhook, in seconds:
#: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts
MOST_GRANTED_SECONDS: Final = 30
#: How API servers tell in the query what they grant: whole seconds.
_GRANTED: Final = re.compile(r"([0-9]{1,3})s")
#: Checks at a time. Each is a few milliseconds of computing, and more of them would only keep the listener from its turn;
#: one alone could be held up by a single huge resource.
CHECKERS: Final = 2
#: How long a connection is kept that nothing comes over, in seconds: longer than the 90 of Go's clients, so that who sends
#: also closes, and no review is sent into a connection that is just being closed.
IDLE_SECONDS: Final = 120.0
#: How long requests under way get when the listener stops.
STOPPING_SECONDS: Final = 5.0
#: How long the rest of a body is read that nobody wants any more.
LINGERING_SECONDS: Final = 1.0


class Cause(Protocol):
    """One thing that is wrong: where in the resource, and what to write instead."""

    @property
    def path(self) -> str: ...
    @property
    def message(self) -> str: ...


class Decision(Protocol):
    """What `judge` answers."""

    @property
    def allowed(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def causes(self) -> Sequence[Cause]: ...
    @property
    def warnings(self) -> Sequence[str]: ...


#: Takes the `request` of an AdmissionReview.
Judge: TypeAlias = "Callable[[dict[str, Any]], Decision]"
#: Takes a result (`allowed`, `denied`, `failed`, `timeout` or `malformed`) and how long it took, in seconds.
Observer: TypeAlias = "Callable[[str, float], None]"


class NotAReview(Exception):
    """Raised when a body is not an AdmissionReview; the message says what is missing."""


class AdmissionServer:
    """One HTTPS listener, which takes a new certificate without closing.

    Parameters:
        judge: decides on a request; runs in a thread.
        host: address to listen on; empty for all, of both families.
        port: 0 for a free one.
        observe: told of every review.
        time_limit: for reading a review and checking it, in seconds, where the caller does not say what it grants.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        host: str = "",
        port: int = 9443,
        observe: Observer = lambda _result, _seconds: None,
        time_limit: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self._judge = judge
        self._host, self._port = host or None, port
        self._observe = observe
        self._time_limit = time_limit
        self._context = _context()
        self._serving: KeyPair | None = None
        self._runner: web.AppRunner | None = None
        self._checkers = ThreadPoolExecutor(CHECKERS, thread_name_prefix="admission")

    @property
    def serving(self) -> KeyPair | None:
        """The certificate that the next handshake gets; None before the listener is open."""
        return self._serving if self._runner else None

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._runner.addresses[0][1]) if self._runner and self._runner.addresses else self._port

    async def start(self, pair: KeyPair) -> None:
        """Open the listener.

        Raises:
            OSError: the port is taken.
            ssl.SSLError: TLS cannot serve such a certificate.
        """
        self.use(pair)
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.add_routes([web.post("/validate", self._validate), web.get("/healthz", _healthz)])
        runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS,
            shutdown_timeout=STOPPING_SECONDS,
            lingering_time=LINGERING_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._context).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    def use(self, pair: KeyPair) -> None:
        """Serve another certificate from the next handshake on. To be called on the event loop, which does those.

        Raises:
            ssl.SSLError: TLS cannot serve such a certificate; the one before stays.
        """
        _load(_context(), pair)
        _load(self._context, pair)
        self._serving = pair

    async def stop(self) -> None:
        """Finish requests under way and close the listener."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        self._checkers.shutdown(wait=False, cancel_futures=True)

    async def _validate(self, request: web.Request) -> web.Response:
        started = time.monotonic()
        limit = _limit(request.query.get("timeout", ""), otherwise=self._time_limit)
        result = "malformed"
        try:
            async with asyncio.timeout(limit):
                review = _parse(await request.read())
            result, answer = await self._decide(review, started + limit, limit=limit)
            return web.json_response(_review(review["uid"], answer))
        except NotAReview as error:
            return web.json_response({"error": str(error)}, status=400)
        except TimeoutError:
            result = "timeout"
            return web.json_response({"error": "the body did not arrive in time"}, status=408)
        finally:
            self._observe(result, time.monotonic() - started)

    async def _decide(
        self, request: dict[str, Any], deadline: float, *, limit: float
    ) -> tuple[str, dict[str, Any]]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                decision = await loop.run_in_executor(self._checkers, self._judge, request)
        except TimeoutError:
            logger.warning("the check of %s took more than %g s", _subject(request), limit)
            return "timeout", _refusal("the check took too long: try again", code=504)
        except Exception as error:
            # Neither its message nor its locals: they may quote a secret of the resource.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("the check of %s failed: %s\n%s", _subject(request), type(error).__name__, where)  # noqa: TRY400
            reason = "the check failed by a fault of the operator's; its log says more"
            return "failed", _refusal(reason, code=500)
        answer: dict[str, Any] = {"allowed": True} if decision.allowed else _denial(decision, request)
        if decision.warnings:
            answer["warnings"] = list(decision.warnings)
        return ("allowed" if decision.allowed else "denied"), answer


def _limit(granted: str, *, otherwise: float) -> float:
    """Seconds for a review whose caller waits for so long."""
    found = _GRANTED.fullmatch(granted)
    return otherwise if found is None else min(int(found[1]), MOST_GRANTED_SECONDS) * TIME_PART


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        review = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAReview("the body is not JSON") from None
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise NotAReview("the body is not an AdmissionReview")
    if review.get("apiVersion") != API_VERSION:
        raise NotAReview(f"the AdmissionReview is not of {API_VERSION}")
    request = review.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise NotAReview("the AdmissionReview has no request with a uid")
    return request


def _review(uid: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": {"uid": uid, **answer}}


def _denial(decision: Decision, request: Mapping[str, Any]) -> dict[str, Any]:
    """As the API server itself refuses an invalid object: kubectl then tells every field on a line."""
    kind = request.get("kind") or {}
    answer = _refusal(decision.message, code=422)
    answer["status"]["reason"] = "Invalid"
    answer["status"]["details"] = {
        "group": kind.get("group", ""),
        "kind": kind.get("kind", ""),
        "name": request.get("name", ""),
        "causes": [
            {"reason": "FieldValueInvalid", "field": cause.path, "message": cause.message}
            for cause in decision.causes
        ],
    }
    return answer


def _refusal(message: str, *, code: int) -> dict[str, Any]:
    return {"allowed": False, "status": {"status": "Failure", "code": code, "message": message}}


def _subject(request: Mapping[str, Any]) -> str:
    return f"{request.get('namespace')}/{request.get('name')}"


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would show an old certificate after a new one is in use.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Python takes a key from a file only: one that nobody else may read, and that is gone when this returns."""
    with tempfile.TemporaryDirectory(prefix="claude-mem-webhook-") as directory:
        path = Path(directory, "pair.pem")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pair.certificate_pem + pair.key_pem)
        context.load_cert_chain(path)
