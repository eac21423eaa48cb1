"""Watches who leads on several hosts, and comes back whenever a stream ends; until its input ends. Each fact is a line:

    HOST told KIND LEADER FENCE MICROSECONDS
    HOST ended CODE
"""

import sys
import threading

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "controlplane.v1.LeadershipService"

# The database is not made for several threads, and all hosts speak the same.
descriptions = threading.Lock()
stopped = threading.Event()


def subscribe(channel):
    """What is told by one stream, as the method that reflection describes."""
    with descriptions:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName(SERVICE).FindMethodByName("Subscribe")
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_stream(
        f"/{SERVICE}/Subscribe",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return call(request())


def say(*words):
    print(*words, flush=True)


def watch(host, address):
    while not stopped.is_set():
        try:
            with grpc.insecure_channel(address) as channel:
                for told in subscribe(channel):
                    if told.HasField("snapshot"):
                        say(host, "snapshot")
                    elif told.HasField("event"):
                        it = told.event
                        leader = it.leader_id or "-"
                        fence = it.fence_token if it.HasField("fence_token") else 0
                        say(host, "told", it.kind, leader, fence, it.at.ToMicroseconds())
        except grpc.RpcError as error:
            say(host, "ended", error.code().name)
            stopped.wait(0.1)


for number, address in enumerate(sys.argv[1:]):
    threading.Thread(target=watch, args=(number, address), daemon=True).start()
sys.stdin.read()
stopped.set()
