"""A name server that knows no name, at every address given: `python unknown_names.py 192.0.2.53 …`.

The containers' own name server asks the machine's for what it does not know, one question after the other and for
seconds each, and a service that is just being restarted is such a name. In the containers' network namespace the
machine's name servers are out of reach, and this stands at their addresses.
"""

from __future__ import annotations

import selectors
import socket
import sys
from contextlib import suppress

#: A response, recursion available, "no such name".
FLAGS = b"\x81\x83"


def answer(question: bytes) -> bytes:
    """The reply to a DNS message: its id and its question, and that the name does not exist."""
    return question[:2] + FLAGS + question[4:6] + bytes(6) + question[12:]


def main() -> None:
    """Serve until killed."""
    selector = selectors.DefaultSelector()
    for address in sys.argv[1:]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((address, 53))
        selector.register(listener, selectors.EVENT_READ, listener)
    while True:
        for key, _ in selector.select():
            listener = key.data
            # Who asked may be gone with its network by now: no reason to leave all others without an answer.
            with suppress(OSError):
                question, sender = listener.recvfrom(4096)
                if len(question) > 12:
                    listener.sendto(answer(question), sender)


if __name__ == "__main__":
    main()
