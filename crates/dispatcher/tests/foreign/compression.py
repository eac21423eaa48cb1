"""Asks the echo program by grpcio with compressed messages, and prints what comes back.

    compression.py ADDRESS
"""

import sys

import grpc

PATIENCE = 20
LARGEST = 4 * 1024 * 1024


def told(metadata):
    """What our side adds to a status, and nothing of grpcio's own."""
    found = dict(metadata)
    names = ("omnirelay-status", "omnirelay-error-code", "omnirelay-transport")
    return " ".join(f"{name}={found[name]}" for name in names if name in found)


def say(name, what):
    print(f"{name}: {what}", flush=True)


def main():
    address = sys.argv[1]
    compressed = grpc.Compression.Gzip
    with grpc.insecure_channel(address, compression=compressed) as channel:
        unary = channel.unary_unary("/echo/echo")
        answer, call = unary.with_call(b"hello", timeout=PATIENCE)
        say("unary", f"{answer!r} {told(call.trailing_metadata())}")
        answers = channel.unary_stream("/echo/split")(b"one two three", timeout=PATIENCE)
        say("server stream", list(answers))
        mirror = channel.stream_stream("/echo/mirror")
        say("duplex", list(mirror(iter([b"one", b"two", b"three"]), timeout=PATIENCE)))
        say("half a megabyte", len(unary(b"0" * (LARGEST // 8), timeout=PATIENCE)))
        try:
            unary(b"0" * (LARGEST + 1), timeout=PATIENCE)
        except grpc.RpcError as error:
            refusal = f"{error.code().name} {told(error.trailing_metadata())}"
            say("too large when unpacked", refusal)
    with grpc.insecure_channel(address) as channel:
        say("plain", channel.unary_unary("/echo/echo")(b"hello", timeout=PATIENCE))


main()
