"""A server by grpcio, with messages as they are. Prints its address, and serves until its input ends.

    server.py [FOLDER]
"""

import pathlib
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

CANCELLED = threading.Event()


def echo(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-caller", sent.get("rpc-caller", "nobody")),))
    context.set_trailing_metadata((("x-after", "1"),))
    return request


def left(request, context):
    return str(int(context.time_remaining())).encode()


def split(request, context):
    yield from request.split()


def join(requests, context):
    return b" ".join(requests)


def mirror(requests, context):
    yield from requests


def fail(request, context):
    code = getattr(grpc.StatusCode, request.decode())
    context.set_trailing_metadata((("x-pet", "7"), ("grpc-status-details-bin", b"\x08\x05")))
    context.abort(code, f"it is {code.name}: ü")


def hang(request, context):
    """Begins, and ends when it is cancelled."""
    context.add_callback(CANCELLED.set)
    yield b"begun"
    CANCELLED.wait(20)


def cancelled(request, context):
    return str(CANCELLED.wait(20)).encode()


METHODS = {
    "echo": grpc.unary_unary_rpc_method_handler(echo),
    "left": grpc.unary_unary_rpc_method_handler(left),
    "fail": grpc.unary_unary_rpc_method_handler(fail),
    "cancelled": grpc.unary_unary_rpc_method_handler(cancelled),
    "split": grpc.unary_stream_rpc_method_handler(split),
    "hang": grpc.unary_stream_rpc_method_handler(hang),
    "join": grpc.stream_unary_rpc_method_handler(join),
    "mirror": grpc.stream_stream_rpc_method_handler(mirror),
}


def listen(server, address, folder):
    """In clear text, or with the files of a folder over TLS, for clients with a certificate of the same authority."""
    if not folder:
        return server.add_insecure_port(address)
    folder = pathlib.Path(folder[0])
    key = (folder / "server" / "key.pem").read_bytes()
    certificate = (folder / "server" / "certificate.pem").read_bytes()
    ca = (folder / "ca.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    return server.add_secure_port(address, credentials)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    pets = grpc.method_handlers_generic_handler("pets", METHODS)
    server.add_generic_rpc_handlers((pets,))
    probes = health.HealthServicer()
    probes.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(probes, server)
    port = listen(server, "127.0.0.1:0", sys.argv[1:])
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(None).wait()


main()
