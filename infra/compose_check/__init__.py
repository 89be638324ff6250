"""Tries docker-compose.yml on an engine: `python -m infra.compose_check`.

It uses the engine that DOCKER_HOST names, through Docker's own command line, with a project, images
and ports of its own. What a stack must answer is asked as `make smoke` asks it, and what Redis must
hold is computed as `make chaos` computes it.
"""
