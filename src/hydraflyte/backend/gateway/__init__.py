"""The control plane over plain HTTP: the same calls as gRPC, as JSON or protobuf (section 7 of Flyte's semantics)."""
