"""TLS in front of a server that speaks none, as stunnel does."""

import contextlib
import socket
import threading


@contextlib.contextmanager
def tls_in_front(server_port, context):
    """Speak TLS on a port, and pass all on to a server of this machine; yield the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    serving = []

    def serve(plain):
        with (
            contextlib.suppress(OSError),  # also of a client that does not trust the certificate
            plain,
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", server_port)) as behind,
        ):
            back = threading.Thread(target=_pass_on, args=(behind, client))
            back.start()
            _pass_on(client, behind)
            back.join()

    def accept():
        with contextlib.suppress(OSError):
            while True:
                serving.append(threading.Thread(target=serve, args=(listening.accept()[0],)))
                serving[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    accepting.join()
    for thread in serving:
        thread.join()


def _pass_on(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
