"""The programs on Kubernetes: a base, components and overlays, which kustomize puts together."""
