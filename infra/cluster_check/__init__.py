"""Tests infra/kubernetes on its own control plane: `python -m infra.cluster_check`.

The control plane is real: etcd, Kubernetes's API server and its controllers, and KEDA on request.
There are no nodes: instead of the kubelet, the check marks pods as ready, and instead of
metrics-server, it reports their CPU.
"""
