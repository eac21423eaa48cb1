"""What of grpcurl a page uses: calls a method without a message, as reflection describes it, and prints each answer.

    grpcurl -plaintext ADDRESS SERVICE/METHOD
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

flag, address, path = sys.argv[1:]
if flag != "-plaintext":
    sys.exit(64)
service, method = path.split("/")
with grpc.insecure_channel(address) as channel:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    found = pool.FindServiceByName(service).FindMethodByName(method)
    request = message_factory.GetMessageClass(found.input_type)
    response = message_factory.GetMessageClass(found.output_type)
    call = channel.unary_stream(
        f"/{path}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    try:
        for answer in call(request()):
            print(json_format.MessageToJson(answer), flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
