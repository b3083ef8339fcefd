"""A TCP proxy in front of a server, that fails on demand: how a database goes away.

One thread forwards for all connections. What a test asks of it (``cut``, ``hang``,
``refuse`` …) has happened when the call returns. The server behind stays as it is.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

#: Closing sends RST, and nothing that waits to be sent.
ABORT = struct.pack("ii", 1, 0)
MOST_BYTES = 65_536


class Proxy:
    """Forwards ``127.0.0.1:port`` to the server at ``host:port``; a context manager."""

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._asked: list[tuple[Callable[[], None], threading.Event]] = []
        self._waker, self._waking = socket.socketpair()
        self._selector.register(self._waking, selectors.EVENT_READ)
        self._hung = False
        self._cut_on_answer = False
        self._closed = False
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()
        self._thread = threading.Thread(target=self._run, name=f"proxy of {port}", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ask(self._close)
        self._thread.join()
        self._waker.close()

    # What can be asked.

    def cut(self) -> None:
        """Break every connection; new ones are accepted."""
        self._ask(self._cut)

    def refuse(self) -> None:
        """Break every connection and refuse new ones, as a stopped server does."""
        self._ask(self._stop)

    def accept(self) -> None:
        """Be there again: accept, and forward."""
        self._ask(self._resume)

    def hang(self) -> None:
        """Keep every connection and forward nothing; new ones get no answer."""
        self._ask(lambda: setattr(self, "_hung", True))

    def cut_on_answer(self) -> None:
        """Forward what is sent next; break every connection instead of passing the answer on."""
        self._ask(lambda: setattr(self, "_cut_on_answer", True))

    # The thread.

    def _run(self) -> None:
        while not self._closed:
            if self._hung:
                self._obey()
                continue
            for key, _ in self._selector.select():
                if key.fileobj is self._waking:
                    self._obey()
                    # The other events are of sockets that may be gone by now.
                    break
                if key.fileobj is self._listener:
                    self._connect()
                elif key.fileobj in self._peers:
                    self._forward(key.fileobj)

    def _ask(self, call: Callable[[], None]) -> None:
        done = threading.Event()
        self._asked.append((call, done))
        self._waker.send(b".")
        assert done.wait(10), "the proxy's thread does not answer"

    def _obey(self) -> None:
        self._waking.recv(1)
        call, done = self._asked.pop(0)
        try:
            call()
        finally:
            done.set()

    def _listen(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _connect(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self.server)
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)
        self._clients.add(client)

    def _forward(self, one: Any) -> None:
        try:
            data = one.recv(MOST_BYTES)
            if data and self._cut_on_answer and one not in self._clients:
                self._cut()
                return
            if data:
                self._peers[one].sendall(data)
                return
        except OSError:
            pass
        self._part(one, abort=False)

    def _part(self, one: socket.socket, *, abort: bool) -> None:
        for end in (one, self._peers[one]):
            del self._peers[end]
            self._clients.discard(end)
            self._selector.unregister(end)
            if abort:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            with suppress(OSError):
                end.close()

    def _cut(self) -> None:
        self._cut_on_answer = False
        for client in list(self._clients):
            self._part(client, abort=True)
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        # Whoever connected while nothing was accepted is cut as well.
        if self._hung and self._listener is not None:
            self._silence()
            self._listen()

    def _silence(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _stop(self) -> None:
        self._cut()
        self._hung = False
        self._silence()

    def _resume(self) -> None:
        self._hung = False
        if self._listener is None:
            self._listen()

    def _close(self) -> None:
        self._stop()
        self._selector.close()
        self._waking.close()
        self._closed = True
