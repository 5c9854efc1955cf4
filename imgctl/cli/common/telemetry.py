"""Metrics and trace of a command, for Prometheus, node_exporter and OpenTelemetry, as configured."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imgctl import __version__
from imgctl.config.service import MetricsSettings
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError, ExitCode
from imgctl.run.telemetry import trace
from imgctl.run.telemetry.metrics import ENDED, EXIT_CODE, INFO, RUNNING, STARTED, SUCCEEDED, Meter


@contextmanager
def measured(settings: Settings, command: str, code: Callable[[], int]) -> Iterator[Meter]:
    """Yield the metrics of a running command; `code` returns its exit code at the end."""
    meter = Meter(command=command)
    with ExitStack() as stack:
        if settings.otel.enabled:
            stack.enter_context(_traced(settings, meter, code))
        if settings.metrics.port or settings.metrics.textfile:
            stack.enter_context(_shown(settings.metrics, meter))
        else:
            _begun(meter)
        try:
            yield meter
        finally:
            meter.set(RUNNING, 0, command)
            meter.set(ENDED, time.time(), command)
            meter.set(EXIT_CODE, code(), command)
            if code() == ExitCode.DONE:
                meter.set(SUCCEEDED, time.time(), command)


def _begun(meter: Meter) -> None:
    meter.set(INFO, 1, __version__)
    meter.set(RUNNING, 1, meter.command)
    meter.set(STARTED, time.time(), meter.command)


@contextmanager
def _shown(settings: MetricsSettings, meter: Meter) -> Iterator[None]:
    try:
        from imgctl.run.telemetry.prometheus import Port, Prometheus, TextFile
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed", hint="pip install 'imgctl[metrics]'") from error
    sink = Prometheus()
    meter.sinks += (sink,)
    # Set before the sinks open: the first text file already contains them.
    _begun(meter)
    with ExitStack() as stack:
        if settings.port:
            stack.callback(Port(sink, host=settings.host, port=settings.port).close)
        if settings.textfile:
            name = settings.textfile.replace("{command}", meter.command.replace(" ", "-"))
            stack.callback(TextFile(sink, Path(name).expanduser(), command=meter.command).close)
        yield


@contextmanager
def _traced(settings: Settings, meter: Meter, code: Callable[[], int]) -> Iterator[None]:
    try:
        from imgctl.run.telemetry.otel import tracing
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed", hint="pip install 'imgctl[otel]'") from error
    with ExitStack() as stack:
        try:
            made = stack.enter_context(tracing(settings.otel))
            sink = made.metrics()
        except ValueError as error:
            # The SDK reads the variables, and does not name the one it rejects.
            hint = "check the OTEL_… variables of the environment, or set IMGCTL_OTEL_ENABLED=false"
            raise ConfigError(f"OpenTelemetry cannot start: {error}", hint=hint) from None
        stack.callback(sink.close)
        meter.sinks += (sink,)
        began = trace.clock()
        try:
            yield
        finally:
            ended = code()
            span = trace.Span(
                name=f"imgctl {meter.command}",
                trace=made.run,
                began=began,
                ended=trace.clock(),
                about={"imgctl.command": meter.command, "process.exit.code": ended},
                error="" if ended == ExitCode.DONE else f"exit code {ended}",
            )
            trace.record(span)
