"""The embedded Flyte: one process that speaks Flyte v1's API and runs tasks as local processes.

============  =========================================================================================
ground        ports (every seam, on one page), quantities (of Kubernetes)
pure          engine/ (the state machine of an execution), compiler/ (templates -> closures)
adapters      store/ (SQLite and blobs), executor/ (attempts as processes), notify/ (messages)
loop          loop (event -> step -> one transaction -> commands); alarms, lookups, reservations, children
faces         admin/ (gRPC), gateway/ (HTTP), console/ (pages), scheduler/ (what fires when), cleaning
composition   server (builds, starts, stops the parts), addresses, connections
============  =========================================================================================
"""
