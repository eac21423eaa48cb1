"""Asks the echo program by grpcio, with messages as they are, and prints what comes back.

    client.py ADDRESS PROCESS [FOLDER STRANGERS]

With a folder it asks over TLS: there are `ca.pem`, whom it trusts, and `certificate.pem` and `key.pem`, which it presents. What the
other folder has of these comes from elsewhere.

In the end it sends SIGTERM to the process, and watches it go.
"""

import os
import pathlib
import queue
import signal
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PATIENCE = 20
FOLDERS = sys.argv[3:]


class Outgoing:
    """Messages that are sent when they are put, until `close`."""

    def __init__(self):
        self._messages = queue.Queue()

    def put(self, message):
        self._messages.put(message)

    def close(self):
        self._messages.put(None)

    def __iter__(self):
        return self

    def __next__(self):
        message = self._messages.get()
        if message is None:
            raise StopIteration
        return message


def read(folder, name):
    return (pathlib.Path(folder) / name).read_bytes()


def connect(address):
    if not FOLDERS:
        return grpc.insecure_channel(address)
    return presenting(address, FOLDERS[0])


def presenting(address, folder):
    """A channel to whom our own side trusts, with the certificate that is in `folder`."""
    trusted = read(FOLDERS[0], "ca.pem")
    files = (read(folder, "key.pem"), read(folder, "certificate.pem"))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(trusted, *files))


def told(metadata):
    """What our side adds to a status, and nothing of grpcio's own."""
    names = ("omnirelay-status", "omnirelay-error-code", "omnirelay-transport", "retry-after")
    found = dict(metadata)
    return " ".join(f"{name}={found[name]}" for name in names if name in found)


def say(name, what):
    print(f"{name}: {what}", flush=True)


def failure(name, error):
    say(name, f"{error.code().name} {told(error.trailing_metadata())}")


def refused(name, call):
    try:
        say(name, f"answered {call()!r}")
    except grpc.RpcError as error:
        failure(name, error)


def strangers(address):
    """Who has no certificate, or one from elsewhere, is not let in; and who is not trusted is not asked."""
    ours, other = FOLDERS
    nobody = grpc.ssl_channel_credentials(read(ours, "ca.pem"))
    mistrusting = grpc.ssl_channel_credentials(read(other, "ca.pem"))
    for name, channel in (
        ("no certificate", grpc.secure_channel(address, nobody)),
        ("foreign certificate", presenting(address, other)),
        ("foreign server", grpc.secure_channel(address, mistrusting)),
        ("clear text", grpc.insecure_channel(address)),
    ):
        with channel:
            call = channel.unary_unary("/echo/echo")
            refused(name, lambda: call(b"", timeout=PATIENCE))


def shapes(channel):
    unary = channel.unary_unary("/echo/echo")
    answer, call = unary.with_call(b"hello", timeout=PATIENCE)
    say("unary", f"{answer!r} {told(call.trailing_metadata())}")
    answer = channel.unary_unary("/echo/swallow")(b"hello", timeout=PATIENCE)
    say("one-way", repr(answer))
    answers = channel.unary_stream("/echo/split")(b"one two three", timeout=PATIENCE)
    say("server stream", list(answers))
    join = channel.stream_unary("/echo/join")
    say("client stream", join(iter([b"one", b"two"]), timeout=PATIENCE))
    say("no messages", join(iter([]), timeout=PATIENCE))

    outgoing = Outgoing()
    answers = channel.stream_stream("/echo/mirror")(outgoing, timeout=PATIENCE)
    seen = []
    for message in (b"one", b"two", b"three"):
        outgoing.put(message)
        seen.append(next(answers))
    outgoing.close()
    say("duplex", seen + list(answers))
    say("end of duplex", f"{answers.code().name} {told(answers.trailing_metadata())}")


def metadata(channel):
    unary = channel.unary_unary("/echo/echo")
    sent = (("rpc-encoding", "json"), ("rpc-caller", "python"), ("trace-bin", b"\x00\xff"))
    _, call = unary.with_call(b"{}", timeout=PATIENCE, metadata=sent)
    say("encoding", dict(call.initial_metadata())["rpc-encoding"])
    say("its trailer", dict(call.trailing_metadata())["omnirelay-encoding"])


def errors(channel):
    unary = channel.unary_unary("/echo/echo")
    missing = channel.unary_unary("/echo/nothing")
    refused("unknown", lambda: missing(b"", timeout=PATIENCE))
    elsewhere = channel.unary_unary("/other/echo")
    refused("another service", lambda: elsewhere(b"", timeout=PATIENCE))
    refused("too large", lambda: unary(b"x" * (4 * 1024 * 1024 + 1), timeout=PATIENCE))
    bad = (("rpc-ttl-ms", "soon"),)
    refused("unreadable", lambda: unary(b"", timeout=PATIENCE, metadata=bad))
    compressed = grpc.Compression.Gzip
    refused("compressed", lambda: unary(b"x" * 1000, timeout=PATIENCE, compression=compressed))

    # The server's clock ends it, not ours.
    outgoing = Outgoing()
    limit = (("rpc-ttl-ms", "300"),)
    late = channel.stream_stream("/echo/mirror")(outgoing, timeout=PATIENCE, metadata=limit)
    outgoing.put(b"in time")
    say("in time", next(late))
    refused("too late", lambda: next(late))

    outgoing = Outgoing()
    dropped = channel.stream_stream("/echo/mirror")(outgoing, timeout=PATIENCE)
    outgoing.put(b"one")
    next(dropped)
    dropped.cancel()
    refused("cancelled", lambda: next(dropped))
    say("afterwards", unary(b"still there", timeout=PATIENCE))


def shutdown(address, process):
    channel = connect(address)
    health = health_pb2_grpc.HealthStub(channel)
    names = health_pb2.HealthCheckResponse.ServingStatus
    request = health_pb2.HealthCheckRequest(service="whatever")
    say("check", names.Name(health.Check(request, timeout=PATIENCE).status))
    watch = health.Watch(request, timeout=PATIENCE)
    say("watch", names.Name(next(watch).status))

    outgoing = Outgoing()
    open_call = channel.stream_stream("/echo/mirror")(outgoing, timeout=PATIENCE)
    outgoing.put(b"before")
    say("open call", next(open_call))
    os.kill(process, signal.SIGTERM)
    say("watch after SIGTERM", names.Name(next(watch).status))

    def ask():
        # Each on a connection of its own, until the door is closed.
        while True:
            with connect(address) as other:
                other.unary_unary("/echo/echo")(b"", timeout=PATIENCE)

    refused("new call", ask)
    with connect(address) as other:
        answer = health_pb2_grpc.HealthStub(other).Check(request, timeout=PATIENCE)
    say("check while draining", names.Name(answer.status))
    outgoing.put(b"after")
    say("open call", next(open_call))
    outgoing.close()
    say("rest of it", list(open_call))


def main():
    address, process = sys.argv[1], int(sys.argv[2])
    with connect(address) as channel:
        shapes(channel)
        metadata(channel)
        errors(channel)
    if FOLDERS:
        strangers(address)
    shutdown(address, process)


main()
