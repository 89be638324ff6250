"""A Spark session for as long as a run needs one."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pyspark.errors import PySparkException, PySparkRuntimeError
from pyspark.sql import SparkSession

from trainer.source import SourceError
from trainer.spark.events import ROWS_AT_ONCE
from trainer.stages import StoppedError

_LOCALHOST: Final = "127.0.0.1"
_CANCEL_EVERY_S: Final = 0.5
_OPTIONS: Final = {
    "spark.app.name": "tickrec-trainer",
    # The counts go to the driver, which needs them all; they are no result that grew by mistake.
    "spark.driver.maxResultSize": "0",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_AT_ONCE),
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
    # Each step says into how many partitions, and rests on it.
    "spark.sql.adaptive.enabled": "false",
    "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
}


@contextmanager
def session(master: str, stop: threading.Event) -> Iterator[SparkSession]:
    """A Spark session for the block; its jobs are cancelled once `stop` is set.

    Memory, as all that is not set here, is Spark's own setting: 1 GB of heap for a driver and for
    an executor, unless `spark-defaults.conf` in SPARK_CONF_DIR says otherwise.

    Raises:
        SourceError: there is no Java, no such master, or a job failed.
        StoppedError: `stop` was set.
    """
    # Workers must be the Python that this is, with the packages that this has.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    options = dict(_OPTIONS)
    if master.startswith("local"):
        # No one else has business with it, and the machine's name may lead nowhere.
        options |= {"spark.driver.host": _LOCALHOST, "spark.driver.bindAddress": _LOCALHOST}
        options |= {"spark.ui.enabled": "false"}
    # It logs each of its connections.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    spark = _start(master, options)
    ended = threading.Event()

    def watch() -> None:
        stop.wait()
        # A job may begin after others were cancelled.
        while not ended.wait(_CANCEL_EVERY_S):
            spark.sparkContext.cancelAllJobs()

    threading.Thread(target=watch, daemon=True).start()
    try:
        with failures_reported(stop):
            yield spark
    finally:
        ended.set()
        spark.stop()


@contextmanager
def failures_reported(stop: threading.Event) -> Iterator[None]:
    """Turn Spark's failures into one-line errors.

    Raises:
        SourceError: a job failed.
        StoppedError: `stop` was set.
    """
    try:
        yield
    except Exception as error:
        if stop.is_set():
            raise StoppedError("asked to stop: what Spark worked on is given up") from error
        if isinstance(error, PySparkException) or type(error).__module__.startswith("py4j"):
            raise SourceError(f"Spark failed: {_reason(error)}") from error
        raise


def _start(master: str, options: dict[str, str]) -> SparkSession:
    try:
        spark = SparkSession.builder.master(master).config(map=options).getOrCreate()
    except PySparkRuntimeError as error:
        raise SourceError(f"Spark did not start ({error}): it needs Java 17 or 21, at JAVA_HOME or "
                         "as `java`") from error  # fmt: skip
    except Exception as error:
        raise SourceError(
            f"Spark did not start with --master {master}: {_reason(error)}. Give local[2], "
            "spark://host:7077, yarn or k8s://..."
        ) from error
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _reason(error: BaseException) -> str:
    """Return the line that matters: what a Python worker raised, else the first.

    Spark's errors are pages of Java's stack.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if "Error: " in line and not line.startswith(("at ", "File"))]
    return (raised or lines or [type(error).__name__])[0]
