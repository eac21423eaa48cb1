"""Asks the echo program by grpcio, with messages as they are, and prints what comes back.

    client.py ADDRESS PROCESS

In the end it sends SIGTERM to the process, and watches it go.
"""

import os
import queue
import signal
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PATIENCE = 20


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
    channel = grpc.insecure_channel(address)
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
            with grpc.insecure_channel(address) as other:
                other.unary_unary("/echo/echo")(b"", timeout=PATIENCE)

    refused("new call", ask)
    with grpc.insecure_channel(address) as other:
        answer = health_pb2_grpc.HealthStub(other).Check(request, timeout=PATIENCE)
    say("check while draining", names.Name(answer.status))
    outgoing.put(b"after")
    say("open call", next(open_call))
    outgoing.close()
    say("rest of it", list(open_call))


def main():
    address, process = sys.argv[1], int(sys.argv[2])
    with grpc.insecure_channel(address) as channel:
        shapes(channel)
        metadata(channel)
        errors(channel)
    shutdown(address, process)


main()
