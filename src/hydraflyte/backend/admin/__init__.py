"""The control plane's gRPC face: Flyte v1's services over the store and the execution loop."""
