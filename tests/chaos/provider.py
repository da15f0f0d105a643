"""A model whose every answer can be told apart, and which remembers what it was asked and how it answered.

An observation names the one event that it came of and the call that it was written in, and every call costs another
number of tokens: so what is stored can be led back to the calls that brought it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

from tests.support.fake_llm import MODES, Answer, FakeLlm, Received

#: The modes in which nobody gets a usable answer, each followed by a while of good ones.
FAULTS = ("transient", "hang", "rate_limit", "nonsense", "overloaded", "reset", "garbage")

#: Of the faults, those that end a job at once: only every third answer is one, or little else would be left.
FINAL_FAULTS = {"nonsense", "garbage"}

_EVENT = re.compile(r"<agent_event>(.*?)</agent_event>", re.DOTALL)
_NUMBER = re.compile(r"<number>(\d+)</number>")
_MARK = re.compile(r"\bmark-\d+\b")
_SESSION = re.compile(r"<server_session_id>(.*?)</server_session_id>")

#: Tokens of the first call; each further one costs one more.
FIRST_COST = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Parameters:
        marks: words of the events it was about; of a summary, none.
        session: of a summary, whose it was to be.
        mode: how it was answered.
    """

    number: int
    marks: tuple[str, ...]
    session: str | None
    mode: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of what it was about."""
        return self.marks if self.session is None else (self.session,)

    @property
    def is_good(self) -> bool:
        return self.mode == "ok"

    @property
    def cost(self) -> int:
        """Tokens of its prompt."""
        return FIRST_COST + self.number


def mark(number: int) -> str:
    """The word by which the event of this number is known."""
    return f"mark-{number}"


class Provider:
    """What answers calls.

    Parameters:
        chance: how long an answer takes.
        slowest_s: seconds that a good answer takes at most.
    """

    def __init__(self, chance: random.Random, *, slowest_s: float) -> None:
        self._chance = chance
        self._slowest_s = slowest_s
        self.llm = FakeLlm(self._answer)
        self.mode = "ok"
        self.calls: list[Call] = []

    def _answer(self, received: Received) -> Answer:
        call = self._note(received)
        delay_s = self._chance.random() * self._slowest_s
        if not call.is_good:
            return replace(MODES[call.mode], usage=(call.cost, 1), delay_s=delay_s)
        return Answer(text=_words(call), usage=(call.cost, 1), delay_s=delay_s)

    def _note(self, received: Received) -> Call:
        summary = "<investigated>" in received.system
        found = _SESSION.search(received.user) if summary else None
        marks = () if summary else tuple(_marks(received.user))
        number = len(self.calls)
        mode = "ok" if self.mode in FINAL_FAULTS and number % 3 else self.mode
        call = Call(number, marks, found.group(1) if found else None, mode)
        self.calls.append(call)
        return call


def _marks(prompt: str) -> list[str]:
    """The events' words in the order of their numbers, which is that of the prompt."""
    found = []
    for place, element in enumerate(_EVENT.findall(prompt), 1):
        number = _NUMBER.search(element)
        assert number is None or int(number.group(1)) == place
        word = _MARK.search(element)
        assert word is not None, f"an event without its word: {element}"
        found.append(word.group())
    return found


def _words(call: Call) -> str:
    written = f"<narrative>Written in call-{call.number}.</narrative>"
    if call.session is not None:
        return f"<summary><request>Session {call.session}</request><notes>In call-{call.number}</notes></summary>"
    if len(call.marks) == 1:
        return f"<observation><title>Finding {call.marks[0]}</title>{written}</observation>"
    found = [
        f"<observation><title>Finding {word}</title>{written}<source_events>{place}</source_events></observation>"
        for place, word in enumerate(call.marks, 1)
    ]
    return "".join([*found, f"<observation><title>Shared by all</title>{written}</observation>"])
