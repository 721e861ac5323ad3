"""From Hydra's jobs to Flyte's executions, and back: the user's side. Speaks Flyte's API, knows no backend from inside.

``launch.py`` is the story; what it calls, in its order:

=============  ==========================================================================================
settings       ``hydra.launcher`` as it was composed: settings
jobs           Hydra's side of each: jobs, resting (small in memory), defaults, local (run here), progress
discover       which workflow, and all it needs: discover, entities, naming, image_specs; code/ (its files)
version        under which name, and where it comes from: version, provenance, installed
package        the code bundle: package; artifacts/ (for elsewhere)
images         images/
connect        endpoint, login, remote (the API), places (projects and domains)
register       publication (the order of it), register, registered, derived and task_settings (other resources)
inputs         preparation, prepared; inputs, input_files, literal_uris; registered_inputs, overrides
execute        orders (what each job asks for), execute, handles; schedules, scheduling; notifications
follow         sweeps/ (plan, run, resume); wait, crowd (by the hundred), absence; sweep_notice
report         report, job_logs, redaction; records/ (manifest, results)
again          reproduction/
=============  ==========================================================================================
"""
