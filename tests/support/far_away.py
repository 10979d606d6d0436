"""A network between a host and its Redis: a round trip that takes its time, and a cable that can be cut."""

import asyncio
import contextlib
import os
import selectors
import socket
import threading
from collections import deque


class FarAway:
    """A TCP proxy on loopback: connecting takes a round trip, and each byte half of one, in order, at any throughput.

    A context manager with a thread of its own. `port` leads to the server's `server_port`.
    """

    def __init__(self, server_port, round_trip_ms):
        self.server_port, self.round_trip_seconds = server_port, round_trip_ms / 1000
        self.is_cut = False
        self._is_held_up, self._held = False, deque()
        self.transports = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listening.getsockname()[1]
        # epoll waits for whole milliseconds. select is exact, and takes a thousand connections.
        self._loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
        self._thread = threading.Thread(target=self._run, daemon=True)

    def cut(self):
        """Deliver nothing more, in either direction. No end is notified, as if a cable had been cut."""
        self.is_cut = True

    def lead_to(self, server_port):
        """Lead to another server from now on, and end all connections, as an address that moves does."""
        self.server_port = server_port

        def end_all():
            for transport in list(self.transports):
                transport.abort()

        self._loop.call_soon_threadsafe(end_all)

    def hold_up(self):
        """Deliver nothing until `let_go`: then all of it, in its order."""
        self._is_held_up = True

    def let_go(self):
        """Deliver what was held up, and go on."""
        self._is_held_up = False
        self._loop.call_soon_threadsafe(self._deliver_held)

    def deliver(self, deliver):
        """Deliver something whose time has come, unless the cable is cut."""
        if self._is_held_up or self._held:
            self._held.append(deliver)
        elif not self.is_cut:
            deliver()

    def _deliver_held(self):
        while self._held and not self._is_held_up:
            self._held.popleft()()

    def _run(self):
        with contextlib.suppress(OSError):  # a network waits for no processor; without the right to, it is a bit late
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
        asyncio.set_event_loop(self._loop)
        accepting = self._loop.create_server(lambda: _HostEnd(self), sock=self._listening, backlog=1024)
        server = self._loop.run_until_complete(accepting)
        self._loop.run_forever()
        server.close()
        for transport in list(self.transports):
            transport.abort()
        connecting = asyncio.all_tasks(self._loop)
        for task in connecting:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait([*connecting, self._loop.create_task(asyncio.sleep(0))]))
        self._loop.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class _End(asyncio.Protocol):
    """One end of a connection. What it reads leaves the other end half a round trip later."""

    def __init__(self, network, other=None):
        self.network, self.other, self.transport = network, other, None
        self._under_way = deque()

    def connection_made(self, transport):
        self.transport = transport
        self.network.transports.add(transport)
        # asyncio does so for the sockets that it makes. Without it an answer of two parts may take 40 ms longer.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self._send(lambda: self.other.transport.is_closing() or self.other.transport.write(data))

    def eof_received(self):
        self._send(self._end_other)
        return True  # the answer may still be on its way to this end

    def connection_lost(self, _error):
        self.network.transports.discard(self.transport)
        self._send(self._close_other)

    def _end_other(self):
        with contextlib.suppress(OSError, RuntimeError):  # it has closed meanwhile
            self.other.transport.write_eof()

    def _close_other(self):
        if self.other.transport:
            self.other.transport.close()

    def _send(self, deliver):
        # Each timer delivers the oldest: two timers of one moment may run in either order.
        self._under_way.append(deliver)
        asyncio.get_running_loop().call_later(self.network.round_trip_seconds / 2, self._arrive)

    def _arrive(self):
        self.network.deliver(self._under_way.popleft())


class _HostEnd(_End):
    """The host's end. It reads nothing before the connection to the server is there."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()
        self.other = _End(self.network, self)
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self):
        await asyncio.sleep(self.network.round_trip_seconds)
        try:
            address = ("127.0.0.1", self.network.server_port)
            await asyncio.get_running_loop().create_connection(lambda: self.other, *address)
        except OSError:
            self.transport.abort()
            return
        if self.transport.is_closing():
            self.other.transport.close()
        else:
            self.transport.resume_reading()
