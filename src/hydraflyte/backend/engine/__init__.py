"""The engine: a pure state machine over one execution.

Entry points: ``machine.step(state, event, now) -> Step``, ``machine.recover(state) -> commands``,
``machine.check_invariants(state)``. No I/O, no clock, no threads, no randomness; time and ids come in as
arguments. Rules follow flytepropeller 1.16 (flytepropeller/pkg/controller/nodes/*).
"""
