"""Hydra's door into hydraflyte: ``hydra/launcher=flyte``. Hydra imports every module here in every Hydra program."""
