"""KEDA's translation of a ScaledObject: its autoscaler, and the names of its metrics."""

from dataclasses import dataclass

from infra.cluster_check.cluster import Object

SCALED_OBJECT_LABEL = "scaledobject.keda.sh/name"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A ScaledObject's trigger on a topic's lag."""

    metric: str
    """KEDA's metric name"""
    topic: str
    group: str
    lag_threshold: int
    """records that one worker may have waiting"""


def kafka_triggers(scaled_object: Object) -> list[Trigger]:
    """Return the triggers on Kafka."""
    return [
        Trigger(
            f"s{place}-kafka-{trigger['metadata']['topic']}",
            trigger["metadata"]["topic"],
            trigger["metadata"]["consumerGroup"],
            int(trigger["metadata"]["lagThreshold"]),
        )
        for place, trigger in enumerate(scaled_object["spec"]["triggers"])
        if trigger["type"] == "kafka"
    ]


def autoscaler_of(scaled_object: Object) -> Object:
    """Return the HorizontalPodAutoscaler that KEDA creates for a ScaledObject.

    It includes triggers on Kafka and on the CPU; there is no Prometheus here.
    """
    spec, metadata = scaled_object["spec"], scaled_object["metadata"]
    advanced = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {})
    lags = {trigger.metric: trigger for trigger in kafka_triggers(scaled_object)}
    metrics = [_of_lag(trigger, metadata["name"]) for trigger in lags.values()] + [
        _of_cpu(trigger) for trigger in spec["triggers"] if trigger["type"] == "cpu"
    ]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": advanced.get("name", f"keda-hpa-{metadata['name']}"),
            "namespace": metadata["namespace"],
        },
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "metrics": metrics,
        }
        | ({"behavior": advanced["behavior"]} if "behavior" in advanced else {}),
    }


def _of_lag(trigger: Trigger, scaled_object: str) -> Object:
    return {
        "type": "External",
        "external": {
            "metric": {
                "name": trigger.metric,
                "selector": {"matchLabels": {SCALED_OBJECT_LABEL: scaled_object}},
            },
            "target": {"type": "AverageValue", "averageValue": str(trigger.lag_threshold)},
        },
    }


def _of_cpu(trigger: Object) -> Object:
    utilization = int(trigger["metadata"]["value"])
    target = {"type": trigger["metricType"], "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
