"""The containers host: runs service descriptions as containers, on Testcontainers and docker-py.

One file, one duty:

- ``arguments``: a pure mapping from a description to what one container is started with;
- ``labels``: how each container, network and volume names its stack and its owner;
- ``engine``: the connection to the engine, its settings for Testcontainers, its refusals as our errors;
- ``archives``: files with owners, as the engine takes and gives them;
- ``prepare``: fills a service's volume before its first start;
- ``logs``: copies what a container says into the stack's folder, as it is said;
- ``service``: one service, and everything that can be done to it;
- ``network``: the one network of a stack, and who is cut off from it;
- ``gate``: keeps a closing stack from growing;
- ``sweep``: removes what is labelled, of one stack or of dead owners;
- ``host``: puts these together.
"""

from __future__ import annotations

from harness.stack.containers.host import ContainersHost

__all__ = ["ContainersHost"]
