"""Calls the echo service over gRPC on one channel, again and again, until its input ends; then a line says how many calls there were, and
how many have failed. The reasons are on standard error.
"""

import sys
import threading

import grpc

ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

calls = failed = 0
with grpc.insecure_channel(sys.argv[1]) as channel:
    echo = channel.unary_unary("/echo/echo")
    while not ended.is_set():
        calls += 1
        try:
            failed += echo(b"hello", timeout=20) != b"hello"
        except grpc.RpcError as error:
            failed += 1
            print(error.code().name, error.details(), file=sys.stderr)
        ended.wait(0.005)
print("told", calls, failed)
