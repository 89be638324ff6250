"""Evaluations that can be repeated and compared: the stages that DVC runs, as in `dvc.yaml`.

`evaluate` is the trainer's own command; what else the stages take is here. Nothing at run time
needs DVC: it has an environment of its own.
"""
