"""Clients that generators make of the OpenAPI document, tried on a running stack."""
