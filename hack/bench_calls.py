"""The bar for workers: the same SDK's calls at the same concurrency, with prompts of the same size, and nothing else.

What is asked for, the loop and the connection limits are the worker's; nothing is read, parsed or stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from typing import Any

import httpx2
import openai
import uvloop

from claude_mem.generation.mode import ModeLibrary
from claude_mem.generation.port import EventInput, GenerationRequest
from claude_mem.generation.prompts import build_prompt
from claude_mem.generation.providers.base import MAX_OUTPUT_TOKENS, TEMPERATURE
from claude_mem.generation.schema import NAME, reply_schema
from hack.bench_load import tool_payload


def bodies(count: int) -> list[dict[str, Any]]:
    """What the SDK is called with for each of a number of events."""
    mode = ModeLibrary([]).load("code")
    schema = {"name": NAME, "strict": True, "schema": reply_schema("event", attributed=False)}
    made = []
    for number in range(count):
        event = EventInput(f"event-{number}", "tool_use", "hook", 1_767_225_600_000, tool_payload(number))
        prompt = build_prompt(
            GenerationRequest("event", f"job-{number}", "bench-project", "bench-team", (event,), mode)
        )
        made.append(
            {
                "model": "bench",
                "messages": [
                    {"role": "system", "content": prompt.system},
                    {"role": "user", "content": prompt.user},
                ],
                "response_format": {"type": "json_schema", "json_schema": schema},
                "temperature": TEMPERATURE,
                "max_tokens": MAX_OUTPUT_TOKENS,
            }
        )
    return made


async def run(*, url: str, calls: int, concurrency: int) -> dict[str, float]:
    """Make the calls and return how many a second they were, and the processor time in milliseconds of each."""
    waiting = iter(bodies(calls))
    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    client = openai.AsyncOpenAI(
        api_key="k",
        base_url=url,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(limits=limits),
    )

    async def call() -> None:
        for body in waiting:
            await client.chat.completions.create(**body)

    async with client:
        before, started = _cpu_seconds(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(concurrency):
                tasks.create_task(call())
        seconds, cpu = time.perf_counter() - started, _cpu_seconds() - before
    return {"rate": calls / seconds, "cpuMs": 1000 * cpu / calls}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Take the load's measures from the arguments and print what came of it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m hack.bench_calls")
    parser.add_argument("--url", required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    arguments = parser.parse_args()
    print(
        json.dumps(
            uvloop.run(run(url=arguments.url, calls=arguments.calls, concurrency=arguments.concurrency))
        )
    )


if __name__ == "__main__":
    main()
