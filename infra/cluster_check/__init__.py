"""Tries infra/kubernetes on a control plane of its own: `python -m infra.cluster_check`.

The control plane is real: etcd, Kubernetes's API server and its controllers. There are no nodes.
In place of the kubelet, `pods` says that pods are ready, and `workers` runs a process for each of
the workers' pods. In place of KEDA, `metrics_api` tells the autoscaler the lag of a real Kafka, if
not KEDA itself is asked for (`--keda`), which takes half an hour to build.
"""
