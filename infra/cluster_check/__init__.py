"""Tests infra/kubernetes on its own control plane: `python -m infra.cluster_check`.

The control plane is real: etcd, Kubernetes's API server and its controllers. There are no nodes.
Instead of the kubelet, `pods` marks pods as ready, and `workers` runs a process for each of the
workers' pods. Instead of KEDA, `metrics_api` reports the lag of a real Kafka to the autoscaler,
unless KEDA itself is requested (`--keda`), which takes half an hour to build.
"""
