"""The control plane's gRPC face: Flyte v1's services over the store and the execution loop.

============  =========================================================================================
doors         service (the server), handlers (RPC -> handler), answering, access and identity (who calls)
saying no     refusals, status (exception -> gRPC status), checks (shared by many requests)
registered    tasks, workflows, launch_plans; entities (what they share), named_entities, digests (the same version);
              compiling, references, sub_workflows, dynamics (compiled at run time)
executed      executions, nodes, signals, metrics; launching (request -> execution), targets, single_task, plan_inputs,
              settings, children (of launch-plan nodes), scheduled (by schedules), ordered (on the console)
the rest      projects, attributes (matchable), catalog, dataproxy and signing (data), version
lists         filters, columns; held_reads (GetExecution that waits for news)
rules, pure   schedules, notifications, quantities (of a registration)
messages      convert, convert_nodes, array_items (rows -> flyteidl); parts (what services are made of)
============  =========================================================================================
"""
