"""What both Java services share: options of the virtual machine, logging, and how names are looked up.

The serial collector and the first compiler tier start fastest on few cores and were seen to carry
12,000 rows/s through the whole pipeline, so that the second tier would buy nothing here.
"""

from __future__ import annotations

from harness.stack.service import Site

_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
)

_LOGGING = """\
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

_NAMES = """\
networkaddress.cache.ttl = 0
networkaddress.cache.negative.ttl = 0
"""
"""A service that was started again may have another address, and while it is down its name may be unknown.

The virtual machine's own file says that an unknown name stays so for 10 s, and no option overrides that.
"""

JVM_FILES = {"log4j2.properties": _LOGGING, "names.security": _NAMES}
"""Configuration files that a Java service needs besides its own."""


def jvm_options(site: Site, service: str, *, heap_mb: int) -> tuple[str, ...]:
    """Return options for a Java service that has ``JVM_FILES``, with a heap of at most ``heap_mb``."""
    return (
        *("-Xms64m", f"-Xmx{heap_mb}m", *_JVM),
        f"-Dlog4j2.configurationFile=file:{site.file(service, 'log4j2.properties')}",
        f"-Djava.security.properties={site.file(service, 'names.security')}",
    )
