"""The exporter: one process that reads Redis at each scrape, and answers in Prometheus' format."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, cast
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ringproof.errors import Misconfigured
from ringproof.ledger.ledger import Ledger
from worker.observe.metric import ACCOUNT, METRICS, Kind, Metric
from worker.observe.samples import Buckets, Sample, read_account_metrics, read_metrics


class RedisCollector(Collector):
    """Reads all metrics from Redis whenever Prometheus asks, or those of one account. Thread-safe.

    `ledger` is that of the default account.
    """

    def __init__(self, ledger: Ledger, account: str | None = None) -> None:
        self._ledger, self._account = ledger, account
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Family]:
        """Return the metrics of now. Scrapes at the same time take turns, so that they ask no more of Redis."""
        by_metric: defaultdict[Metric, list[Sample | Buckets]] = defaultdict(list)
        with self._lock:
            for one in self._read():
                by_metric[one.metric].append(one)
        return [_family(metric, by_metric[metric]) for metric in METRICS]

    def _read(self) -> Iterable[Sample | Buckets]:
        if self._account is None:
            return read_metrics(self._ledger)
        return read_account_metrics(self._account, self._ledger)


def serve(ledger: Ledger, host: str, port: int, ready: Callable[[str], None], account: str | None = None) -> None:
    """Answer scrapes until the process is interrupted (KeyboardInterrupt). `ready` gets the URL.

    They are about all accounts, or about one.

    Raises `Misconfigured` if the port is taken, or the host is no address of this machine.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RedisCollector(ledger, account))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise Misconfigured(
            f"nothing can listen at {host}:{port} ({error.strerror or error}); give another --port"
        ) from None
    try:
        ready(_url(server))
        thread.join()
    finally:
        server.shutdown()
        server.server_close()


def _url(server: WSGIServer) -> str:
    host, port = server.server_address[:2]
    shown = f"[{host!s}]" if ":" in str(host) else str(host)
    return f"http://{shown}:{port}/metrics"


def _family(metric: Metric, values: Iterable[Sample | Buckets]) -> Family:
    # The label of the account is the last one, so that a series without it has one value less.
    labels = (*metric.labels, ACCOUNT)
    family: Any = _FAMILIES[metric.kind](metric.name.removesuffix("_total"), metric.help, labels=labels)
    for one in values:
        if isinstance(one, Buckets):
            family.add_metric(one.labels, one.counts, one.sum)
        else:
            family.add_metric(one.labels, one.value)
    return cast("Family", family)


_FAMILIES: Final = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}
