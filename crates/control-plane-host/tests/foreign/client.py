"""Asks a control listener by what grpcio knows, and prints what it is told; one line a fact.

`client.py MODE ADDRESS`. Lines that begin with `please` ask the test to change the host.
"""

import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

LIFECYCLE = "controlplane.v1.LifecycleService"
LEADERSHIP = "controlplane.v1.LeadershipService"
PATIENCE = 30


def described(channel, service, method):
    """The method, as reflection describes it."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    return pool.FindServiceByName(service).FindMethodByName(method)


def streaming(channel, method, **fields):
    """Calls a method that was described, with these fields of its question."""
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_stream(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return call(request(**fields), timeout=PATIENCE)


def state(answer):
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def ended(call):
    """How a stream ends; what it tells before is read and dropped."""
    try:
        for _ in call:
            pass
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def follow(address):
    """Learns what is served, and follows a host to its stop."""
    with grpc.insecure_channel(address) as channel:
        for service in sorted(ProtoReflectionDescriptorDatabase(channel).get_services()):
            print("service", service)

        health = health_pb2_grpc.HealthStub(channel)
        states = health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        print("health", state(next(states)))

        told = streaming(channel, described(channel, LIFECYCLE, "Watch"))
        snapshot = next(told).snapshot
        print("snapshot", snapshot.state, *sorted(it.name for it in snapshot.components))
        print("please cordon")
        change = next(told).change
        print("change", change.kind, change.message)
        print("health", state(next(states)))
        print("please stop")
        print("ended", ended(told))


def health(address):
    """Asks for the health of the host and of each service while the host goes through its troubles."""
    names = ["", LEADERSHIP, LIFECYCLE]
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        question = [health_pb2.HealthCheckRequest(service=it) for it in names]
        watched = [stub.Watch(it, timeout=PATIENCE) for it in question]

        def tell(when):
            """What watchers are told next, and that whoever asks is told the same."""
            for name, asked, watch in zip(names, question, watched):
                news, answer = state(next(watch)), state(stub.Check(asked, timeout=PATIENCE))
                assert news == answer, (name, news, answer)
                print(f"{when} {name or 'the host'}: {news}")

        tell("at first")
        for trouble, end in [("sicken", "heal"), ("cordon", "uncordon"), ("drain", "resume")]:
            print("please", trouble)
            tell(trouble)
            print("please", end)
            tell(end)
        print("please stop")
        print("ended", *(ended(it) for it in watched))


def subscribe(address):
    """Describes a method, and calls it by what was described."""
    with grpc.insecure_channel(address) as channel:
        method = described(channel, LEADERSHIP, "Subscribe")
        stream = "stream " if method.server_streaming else ""
        print(method.full_name, method.input_type.full_name, "->", stream + method.output_type.full_name)
        for message in (method.input_type, method.output_type):
            print(message.name, *(it.name for it in message.fields))
        told = streaming(channel, method, scope="SHARD/shop/7")
        first = next(told)
        print(first.WhichOneof("told"), first.snapshot.local_node_id, *(it.scope for it in first.snapshot.leaders))
        print("please give up")
        kinds = (it.event for it in told)
        event = next(it for it in kinds if it.kind == "stepped-down")
        print(event.kind, event.scope, event.leader_id, event.reason)


def connect(address):
    """Reads `NAME CA [CERTIFICATE KEY]`, and says for each how far it gets."""
    for line in sys.stdin:
        name, *files = line.split()
        ca, *own = [open(it, "rb").read() for it in files]
        certificate, key = own or (None, None)
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        # Whoever comes next must not find the connection of whoever came before.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(address, credentials, options) as channel:
            print(name, attempt(channel))


def attempt(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        reached = state(stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE))
    except grpc.RpcError as error:
        return error.code().name
    try:
        told = streaming(channel, described(channel, LEADERSHIP, "Subscribe"))
        return f"{reached} {next(told).WhichOneof('told')}"
    except grpc.RpcError as error:
        return f"{reached} {error.code().name}"


if __name__ == "__main__":
    {"follow": follow, "health": health, "subscribe": subscribe, "connect": connect}[sys.argv[1]](*sys.argv[2:])
