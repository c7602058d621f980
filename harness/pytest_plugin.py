"""What users' own tests get from pytest, by the entry point of the package.

``drill``: a function that runs one plan on the test session's stack and returns its verdict, for example::

    @settings(max_examples=3, phases=[Phase.generate], deadline=None)
    @given(plan=plans(load("helpdesk").schema))
    def test_every_tenant_comes_back(drill, plan):
        assert drill(plan).verdict == "proven"

``restoreproof_stack`` is that stack, started when a test first asks for it. ``postgres_pair``,
``locked_bucket`` and ``cdc_pipeline`` are parts of one for tests that need no drill. All of them run on the
host that ``--restoreproof-host`` names, live as long as the test session, and leave nothing behind.

Under pytest-xdist each worker has stacks of its own; with ``--restoreproof-shared`` all workers' drills
take turns on one, which a child of the controller keeps (``harness.shared``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from harness.model.errors import RestoreproofError

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from harness.model.plan import Plan
    from harness.model.verdict import DrillVerdict
    from harness.session import LiveSession
    from harness.shared import Keeper, SharedSession
    from harness.stack.alone import CdcPipeline, LockedBucket, PostgresPair
    from harness.stack.options import StackOptions

_KEEPER = pytest.StashKey["Keeper"]()
_PLACE = "restoreproof_keeper"
"""What a worker is told by its controller: where the keeper of the shared stack listens."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("restoreproof")
    group.addoption(
        "--restoreproof-host",
        choices=("local", "containers"),
        default="local",
        help="where services run: as plain processes of this machine (default), or in containers",
    )
    group.addoption(
        "--restoreproof-schema",
        default="helpdesk",
        help="schema of the drills: helpdesk, shop, or a folder of your own",
    )
    group.addoption(
        "--restoreproof-out",
        default=None,
        help="folder for run folders (default: a folder of the test session)",
    )
    group.addoption(
        "--restoreproof-shared",
        action="store_true",
        help="with pytest-xdist: the drills of all workers take turns on one stack (default: a stack each)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say on which host drills would run, with versions and image digests."""
    from harness.stack.heading import heading
    from harness.stack.settings import stack_options

    try:
        return f"restoreproof: {heading(stack_options(config.getoption('--restoreproof-host')))}"
    except RestoreproofError as error:
        return f"restoreproof: {error}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker of pytest-xdist where the shared stack is, if there shall be one."""
    if node.config.getoption("--restoreproof-shared"):
        node.workerinput[_PLACE] = str(_keeper_of(node.config).place)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the shared stack."""
    keeper = config.stash.get(_KEEPER, None)
    if keeper is not None:
        keeper.close()


def _keeper_of(config: pytest.Config) -> Keeper:
    """Return the keeper, whose process is started when the first worker is; its stack is not yet."""
    if _KEEPER not in config.stash:
        from harness.shared import Keeper

        config.stash[_KEEPER] = Keeper(
            schema=config.getoption("--restoreproof-schema"), host=config.getoption("--restoreproof-host")
        )
    return config.stash[_KEEPER]


@pytest.fixture(scope="session")
def restoreproof_out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that run folders go to."""
    given = request.config.getoption("--restoreproof-out")
    return Path(given) if given else tmp_path_factory.mktemp("restoreproof")


@pytest.fixture(scope="session")
def restoreproof_options(request: pytest.FixtureRequest) -> StackOptions:
    """Return how stacks are started: on which host, and with the settings of ``restoreproof.toml``."""
    from harness.stack.settings import stack_options

    return stack_options(request.config.getoption("--restoreproof-host"))


@pytest.fixture(scope="session")
def restoreproof_stack(
    request: pytest.FixtureRequest,
    restoreproof_options: StackOptions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LiveSession | SharedSession]:
    """Start one real stack for the test session; nothing of it is left behind.

    A worker that shares one has no hold on its services: it can only have drills run there.
    """
    from harness.session import LiveSession
    from harness.shared import SharedSession

    schema = request.config.getoption("--restoreproof-schema")
    place = getattr(request.config, "workerinput", {}).get(_PLACE)
    if place is not None:
        yield SharedSession(Path(place), schema)
        return
    with LiveSession.open(schema, _logged(restoreproof_options, tmp_path_factory)) as session:
        yield session


@pytest.fixture(scope="session")
def drill(
    restoreproof_stack: LiveSession | SharedSession,
    restoreproof_options: StackOptions,
    restoreproof_out: Path,
) -> Callable[[Plan], DrillVerdict]:
    """Return a function that runs one plan on the session's stack and judges it."""
    host = "" if restoreproof_options.host == "local" else f" --host {restoreproof_options.host}"

    def run(plan: Plan) -> DrillVerdict:
        folder = _new_run(restoreproof_out)
        verdict = restoreproof_stack.drill(plan, folder)
        if verdict.verdict != "proven":
            print(f"{verdict.verdict}; replay with: restoreproof replay {folder}{host}")  # noqa: T201 - pytest shows it
        return verdict

    return run


@pytest.fixture(scope="session")
def postgres_pair(
    restoreproof_options: StackOptions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresPair]:
    """A Postgres primary and its synchronous standby, for tests of your own."""
    from harness.stack import alone

    with alone.postgres_pair(_logged(restoreproof_options, tmp_path_factory)) as pair:
        yield pair


@pytest.fixture(scope="session")
def locked_bucket(
    restoreproof_options: StackOptions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LockedBucket]:
    """An S3 bucket under Object Lock, for tests of your own."""
    from harness.stack import alone

    with alone.locked_bucket(_logged(restoreproof_options, tmp_path_factory)) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def cdc_pipeline(
    restoreproof_options: StackOptions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CdcPipeline]:
    """A Postgres pair, its changes in Kafka by Debezium, and a locked bucket, for tests of your own."""
    from harness.stack import alone

    with alone.cdc_pipeline(_logged(restoreproof_options, tmp_path_factory)) as pipeline:
        yield pipeline


def _logged(options: StackOptions, factory: pytest.TempPathFactory) -> StackOptions:
    """Return the options with a folder for logs that is still there when a stack does not come up."""
    return msgspec.structs.replace(options, logs=factory.mktemp("restoreproof-logs"))


def _new_run(out: Path) -> Path:
    """Make and return the first of ``drill-01``, ``drill-02``, ... that no other process or run has."""
    out.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        run = out / f"drill-{number:02}"
        try:
            run.mkdir()
        except FileExistsError:
            continue
        return run
    raise AssertionError("numbers do not end")
