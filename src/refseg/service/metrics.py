"""Metrics of the service, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from refseg.service.messages import BatchDone

_SECOND_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_IMAGE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters, gauges and histograms of one service; those of processes and of Python are not among them."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "refseg_requests",
            'Requests for answers by path and status, those of the page ("/") among them.',
            ("path", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "refseg_request_seconds",
            "Time from the start of a request that is answered until its answer is ready to be sent.",
            ("path",),
            buckets=_SECOND_BUCKETS,
            registry=registry,
        )
        self.problems = Counter(
            "refseg_problems",
            "Requests and images without an answer, by code.",
            ("code",),
            registry=registry,
        )
        self.queue = Gauge("refseg_queue", "Images that are accepted and not answered.", registry=registry)
        self.queue_limit = Gauge("refseg_queue_limit", "Largest number of those images.", registry=registry)
        self.expressions = Counter("refseg_expressions", "Expressions that were answered.", registry=registry)
        self.batch_images = Histogram(
            "refseg_batch_images", "Images answered in one go.", buckets=_IMAGE_BUCKETS, registry=registry
        )
        self.batch_seconds = Histogram(
            "refseg_batch_seconds", "Time that a batch took.", buckets=_SECOND_BUCKETS, registry=registry
        )
        self.encodings = Counter(
            "refseg_encodings", "Images that were encoded, or whose features were kept.", ("source",), registry=registry
        )
        self.workers = Gauge("refseg_workers_ready", "Workers that can answer.", registry=registry)
        self.restarts = Counter("refseg_worker_restarts", "Workers that have died.", registry=registry)

    def add_batch(self, batch: BatchDone) -> None:
        """Counts a batch."""
        self.batch_images.observe(batch.images)
        self.batch_seconds.observe(batch.seconds)
        self.encodings.labels("new").inc(batch.encoded)
        self.encodings.labels("kept").inc(batch.cached)

    def text(self) -> bytes:
        """All of them as text."""
        return generate_latest(self._registry)
