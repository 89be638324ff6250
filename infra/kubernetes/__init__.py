"""The programs on Kubernetes: a base, components and overlays for kustomize."""
