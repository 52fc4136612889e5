"""The app that talks, in a process that has set up OpenTelemetry: its spans go to a file, one a line."""

from __future__ import annotations

import os

from celery import signals
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from tests.apps.talking import app

__all__ = ["app"]


class ToFile(SpanExporter):
    """Appends each span as a line of JSON."""

    def export(self, spans):
        with open(os.environ["SPANS"], "a", encoding="utf-8") as file:
            file.writelines(span.to_json(indent=None) + "\n" for span in spans)
        return SpanExportResult.SUCCESS


def set_up(**kwargs):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ToFile()))
    trace.set_tracer_provider(provider)
    if os.environ.get("INSTRUMENTED"):
        from opentelemetry.instrumentation.celery import CeleryInstrumentor

        CeleryInstrumentor().instrument()


moment = os.environ.get("SET_UP_AT")
if moment:
    getattr(signals, moment).connect(set_up, weak=False)
else:
    set_up()
