"""The compiler: templates as registered -> the closures that the engine runs and clients see.

Entry points: ``workflow.compile_workflow``, ``tasks.compile_task``, ``castable.is_castable``,
``literal_types.literal_type``. No I/O; rules follow flytepropeller 1.16 (flytepropeller/pkg/compiler).
"""
