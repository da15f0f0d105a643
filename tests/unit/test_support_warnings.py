"""Which warnings are no fault of the test that they are met in."""

from __future__ import annotations

import gc
import socket
import ssl
import struct

import pytest


def test_a_connection_that_was_reset_before_its_handshake_is_no_fault_of_a_test() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        towards = socket.create_connection(server.getsockname())
        taken, _ = server.accept()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        taken.close()
        with pytest.raises(ConnectionResetError):
            ssl.create_default_context().wrap_socket(towards, server_hostname="localhost")
    gc.collect()
