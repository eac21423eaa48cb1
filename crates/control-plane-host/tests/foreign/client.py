"""Asks a control listener what it serves, by reflection alone, and prints what it is told; one line a fact.

Reads commands for the host from nobody: the test changes the host when it sees a line.
"""

import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

LIFECYCLE = "controlplane.v1.LifecycleService"


def watcher(channel, pool):
    """The method as a callable, made from what reflection says."""
    method = pool.FindServiceByName(LIFECYCLE).FindMethodByName("Watch")
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_stream(
        f"/{LIFECYCLE}/Watch",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return lambda: call(request(), timeout=30)


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        reflection = ProtoReflectionDescriptorDatabase(channel)
        for service in sorted(reflection.get_services()):
            print("service", service)

        health = health_pb2_grpc.HealthStub(channel)
        states = health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        name = health_pb2.HealthCheckResponse.ServingStatus.Name
        print("health", name(next(states).status))

        told = watcher(channel, descriptor_pool.DescriptorPool(reflection))()
        snapshot = next(told).snapshot
        print("snapshot", snapshot.state, *sorted(it.name for it in snapshot.components))
        print("please cordon")
        change = next(told).change
        print("change", change.kind, change.message)
        print("health", name(next(states).status))
        print("please stop")
        try:
            for _ in told:
                pass
        except grpc.RpcError as error:
            print("ended", error.code().name)


if __name__ == "__main__":
    main()
