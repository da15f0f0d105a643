"""When an outage of Valkey is told, and when its end."""

from __future__ import annotations

import pytest

from claude_mem.environment.urls import REDIS_OPTIONS, redis_problem
from claude_mem.queue.valkey import Outage, make_client


def test_an_outage_is_told_once_and_ends_with_an_answer_to_a_later_question(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    outage = Outage("nothing is lost")
    asked_before = outage.failures
    for _ in range(2):
        outage.met(ConnectionRefusedError())
    outage.over(failures_before=asked_before)
    assert caplog.messages == [
        "Valkey does not answer: it cannot be reached (ConnectionRefusedError); nothing is lost"
    ]
    outage.over(failures_before=outage.failures)
    assert caplog.messages[1:] == ["Valkey answers again"]


#: What options are that are no numbers to the client.
VALUES = {
    "ssl_cert_reqs": "none",
    "ssl_include_verify_flags": "VERIFY_X509_STRICT",
    "ssl_exclude_verify_flags": "VERIFY_X509_STRICT",
    "ssl_min_version": "771",
    "ssl_validate_ocsp": "",
    "ssl_validate_ocsp_stapled": "",
}


@pytest.mark.filterwarnings("ignore:Call to '__init__' function with deprecated usage:DeprecationWarning")
@pytest.mark.parametrize("option", REDIS_OPTIONS)
def test_every_option_of_a_url_is_one_that_the_client_knows(option: str) -> None:
    value = VALUES.get(option, "2")
    url = f"rediss://valkey.example.com?{option}={value}"
    assert redis_problem(url) is None
    with make_client(url, retries=0) as client:
        pool = client.connection_pool
        assert not value or option == "max_connections" or option in pool.connection_kwargs
        pool.make_connection()
