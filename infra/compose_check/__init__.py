"""Tests docker-compose.yml on an engine: `python -m infra.compose_check`.

It uses the engine that DOCKER_HOST names, through Docker's command line, with its own project,
images and ports. Responses are checked as in `make smoke`, and the state in Redis as in `make
chaos`.
"""
