"""Evaluations that can be repeated and compared: the stages that DVC runs, as `dvc.yaml` has them.

`evaluate` and `tune` are the trainer's own commands; what else the stages take is here. Nothing
that runs needs DVC: it has an environment of its own.
"""
