"""Several machines without servers: queues, leases, lost workers, second deliveries, and a made-up Redis."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import redis
import yaml
from celery import signals
from celery.exceptions import WorkerLostError
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.code_pointer import CodePointer
from dagster._core.instance.config import dagster_instance_config
from dagster._core.launcher import WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from sqlalchemy.exc import OperationalError

from dp_assets.config.errors import ClusterError
from dp_assets.orchestration.celery_app import (
    QUEUES,
    WORKER_TAG,
    cluster_app,
    execute_delivered,
    report_lost,
)
from dp_assets.orchestration.cluster_launcher import ClusterRunLauncher
from dp_assets.orchestration.code_location import build_defs
from dp_assets.orchestration.run_lease import Heartbeat, LeaseWatch, RunLease, owner_name, process_of
from dp_assets.orchestration.run_pools import needs_gpu
from dp_assets_tests.conftest import REPOSITORY
from dp_assets_tests.orchestration.materializing import Workshop, call

SHIPPED = REPOSITORY / "configs" / "dagster" / "cluster.yaml"
NOWHERE = "redis://127.0.0.1:1/0"


class MadeUpRedis:
    """As much of Redis as leases use; `down` makes it unreachable."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.down = False

    def _reach(self) -> None:
        if self.down:
            raise redis.ConnectionError("down")

    def get(self, name: str, /) -> str | None:
        self._reach()
        return self.values.get(name)

    def swap(self, name: str, held: str | None, value: str | None, /, *, seconds: int) -> bool:
        self._reach()
        assert seconds > 0
        if self.values.get(name) not in (held, value):
            return False
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = value
        return True


class Watched:
    """A launcher whose Redis and clock are made up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.redis, self.now = MadeUpRedis(), 0.0
        self.launcher = ClusterRunLauncher(NOWHERE, lost_after_seconds=60)
        self.task_state = "STARTED"
        monkeypatch.setattr(self.launcher, "_leases", self.redis)
        monkeypatch.setattr(self.launcher, "_watch", LeaseWatch(lambda: self.now))
        monkeypatch.setattr(self.launcher, "_task_failed", lambda _: self.task_state == "FAILURE")
        self.lease = RunLease(self.redis, "run", "machine_1")

    def look(self, after: float, *, beat: bool = False) -> WorkerStatus:
        """What run monitoring finds some seconds later."""
        self.now += after
        if beat:
            assert self.lease.renew()
        run = DagsterRun("job", "run", status=DagsterRunStatus.STARTED, tags={WORKER_TAG: "cpu@machine"})
        return self.launcher.check_run_worker_health(run).status


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A launcher that looks at a run which machine 1 has taken."""
    made = Watched(monkeypatch)
    assert made.lease.claim()
    return made


def test_a_worker_that_beats_is_alive_and_one_that_stops_is_lost(watched: Watched) -> None:
    assert [watched.look(20, beat=True) for _ in range(6)] == [WorkerStatus.RUNNING] * 6
    assert watched.look(59) == WorkerStatus.RUNNING
    assert watched.look(2) == WorkerStatus.NOT_FOUND


def test_a_worker_is_not_lost_while_nobody_can_look(watched: Watched) -> None:
    watched.look(10, beat=True)
    watched.redis.down = True
    assert [watched.look(100) for _ in range(3)] == [WorkerStatus.RUNNING] * 3
    watched.redis.down = False
    watched.redis.values.clear()
    assert watched.look(1) == WorkerStatus.RUNNING, "Redis has just come back, empty"
    assert watched.look(20, beat=True) == WorkerStatus.RUNNING
    assert watched.look(59) == WorkerStatus.RUNNING
    assert watched.look(2) == WorkerStatus.NOT_FOUND


def test_a_lease_that_ran_out_does_not_count_as_a_sign_of_life(watched: Watched) -> None:
    watched.look(0)
    assert watched.look(50) == WorkerStatus.RUNNING
    watched.redis.values.clear()
    assert watched.look(11) == WorkerStatus.NOT_FOUND


def test_a_killed_process_is_found_sooner_and_a_second_delivery_does_not_matter(watched: Watched) -> None:
    watched.task_state = "FAILURE"
    assert watched.look(5, beat=True) == WorkerStatus.RUNNING, "it lives, whatever Celery says of its task"
    assert watched.look(10) == WorkerStatus.RUNNING
    assert watched.look(10) == WorkerStatus.FAILED


def test_a_run_has_one_taker_at_a_time() -> None:
    store = MadeUpRedis()
    first, second = RunLease(store, "run", "machine_1"), RunLease(store, "run", "machine_2")
    assert first.claim()
    assert not second.claim()
    assert not second.renew()
    second.release()
    assert first.renew()
    store.values.clear()
    assert first.renew(), "an empty Redis takes nothing away from who works"
    assert not second.claim()
    first.release()
    assert second.claim()
    assert not first.renew()


def test_a_lease_that_was_taken_meanwhile_is_nobody_elses_to_take_write_or_delete() -> None:
    store = MadeUpRedis()
    dead, late, other = (RunLease(store, "run", name) for name in ("dead", "late", "other"))

    def runs_out_and_is_taken(_: str) -> bool:
        store.values.clear()
        assert other.claim()
        return True

    assert dead.claim()
    assert not late.claim_after(runs_out_and_is_taken)
    assert other.read() == "other#0"
    assert late.claim_after(lambda owner: owner == "other")
    assert late.read() == "late#0"
    look = store.get
    store.get = lambda name: (look(name), runs_out_and_is_taken(name))[0]  # type: ignore[method-assign]
    late.release()
    store.get = look  # type: ignore[method-assign]
    assert late.read() == "other#0"
    assert not late.renew()


def beats(lease: RunLease, is_over: Callable[[], bool], number: int) -> list[str | None]:
    heartbeat = Heartbeat(lease, is_over, lambda reason: pytest.fail(reason))
    return [heartbeat.beat() for _ in range(number)]


def test_a_process_gives_up_a_run_that_is_no_longer_its_own() -> None:
    store = MadeUpRedis()
    lease = RunLease(store, "run", "machine_1")
    lease.claim()
    assert beats(lease, lambda: False, 3) == [None] * 3
    assert beats(lease, lambda: True, 2) == [None, "the run was declared over while it was executed"]

    def unknown() -> bool:
        raise OSError("no database")

    assert beats(lease, unknown, 3) == [None] * 3
    store.down = True
    assert beats(lease, lambda: False, 3) == [None] * 3
    store.down = False
    store.values = dict.fromkeys(store.values, "machine_2#1")
    assert beats(lease, lambda: False, 1) == ["another worker has taken this run"]


def test_the_heart_beats_while_the_run_is_executed_and_stops_with_it() -> None:
    store = MadeUpRedis()
    lease, given_up = RunLease(store, "run", "machine_1"), threading.Event()
    lease.claim()
    with Heartbeat(lease, lambda: False, lambda _: given_up.set(), every=0.01).beating():
        before = lease.read()
        assert not threading.Event().wait(0.5)
        after = lease.read()
        assert after != before
    assert lease.read() == (last := lease.read())
    assert not threading.Event().wait(0.1)
    assert lease.read() == last
    store.values = dict.fromkeys(store.values, "machine_2#1")
    with Heartbeat(lease, lambda: False, lambda _: given_up.set(), every=0.01).beating():
        assert given_up.wait(30)


@dg.job
def nothing() -> None:
    """Does nothing."""


def delivered(
    instance: DagsterInstance, store: MadeUpRedis, run: DagsterRun, executed: list[str]
) -> int | None:
    def execute() -> int:
        executed.append(run.run_id)
        return 0

    return execute_delivered(instance, run.run_id, store, "cpu@machine", execute)


@pytest.mark.parametrize("status", sorted(set(DagsterRunStatus) - {DagsterRunStatus.QUEUED}, key=str))
def test_only_a_run_that_waits_is_executed(status: DagsterRunStatus) -> None:
    handler, executed = signal.getsignal(signal.SIGTERM), list[str]()
    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=status)
        waits = status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)
        assert delivered(instance, MadeUpRedis(), run, executed) == (0 if waits else None)
        assert executed == ([run.run_id] if waits else [])
        current = instance.get_run_by_id(run.run_id)
        assert current is not None
        assert current.status == status
        assert (WORKER_TAG in current.tags) == waits
    signal.signal(signal.SIGTERM, handler)


def test_a_run_that_another_worker_has_is_left_alone_and_its_lease_too() -> None:
    store, executed = MadeUpRedis(), list[str]()
    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=DagsterRunStatus.STARTING)
        other = RunLease(store, run.run_id, "machine_2")
        assert other.claim()
        assert delivered(instance, store, run, executed) is None
        assert executed == []
        assert other.renew()


def test_a_run_that_cannot_begin_fails_instead_of_waiting_for_ever() -> None:
    handler, store = signal.getsignal(signal.SIGTERM), MadeUpRedis()

    def execute() -> int:
        raise ModuleNotFoundError("no definitions here")

    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=DagsterRunStatus.STARTING)
        with pytest.raises(ModuleNotFoundError):
            execute_delivered(instance, run.run_id, store, "cpu@machine", execute)
        current = instance.get_run_by_id(run.run_id)
        assert current is not None
        assert current.status == DagsterRunStatus.FAILURE
    assert store.values == {}
    signal.signal(signal.SIGTERM, handler)


def test_a_lease_is_given_back_when_the_database_goes_away_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, executed = MadeUpRedis(), list[str]()

    def away(*_: object) -> None:
        raise OperationalError("connect", {}, ConnectionError("refused"))

    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=DagsterRunStatus.STARTING)
        with monkeypatch.context() as patch:
            patch.setattr(instance, "add_run_tags", away)
            with pytest.raises(OperationalError):
                delivered(instance, store, run, executed)
        assert store.values == {}
        assert delivered(instance, store, run, executed) == 0
        assert executed == [run.run_id]


def test_a_run_is_delivered_again_when_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def away() -> DagsterInstance:
        tried.append(True)
        if len(tried) < 3:
            raise OperationalError("connect", {}, ConnectionError("refused"))
        return DagsterInstance.ephemeral()

    monkeypatch.setattr(DagsterInstance, "get", away)
    with DagsterInstance.ephemeral() as instance:
        arguments = arguments_of(instance.create_run_for_job(nothing))
    task = cluster_app(NOWHERE).tasks[TASK_EXECUTE_JOB_NAME]
    # The run is not known in an instance that is empty: it is left alone, which is no result.
    assert task.apply(kwargs=arguments).state == "IGNORED"
    assert len(tried) == 3


def arguments_of(run: DagsterRun) -> dict[str, object]:
    """What the launcher gives the task of a run."""
    pointer = CodePointer.from_module("m", "d", None)
    origin = JobPythonOrigin("nothing", RepositoryPythonOrigin(sys.executable, pointer))
    return {"execute_job_args_packed": pack_value(ExecuteRunArgs(origin, run.run_id, None))}


def dead_process() -> int:
    """The number of a process that was there."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


WORKER = "cpu-7@machine"


def test_the_name_of_an_owner_says_which_process_of_which_worker_it_is() -> None:
    first, second = (owner_name(WORKER, 12) for _ in range(2))
    assert first != second
    assert process_of(first, WORKER) == 12
    assert process_of(first, "cpu-7@another") is None
    assert process_of(first, "") is None
    assert process_of("machine_1", WORKER) is None


@pytest.mark.parametrize(
    ("holder", "status", "fails"),
    [
        (None, DagsterRunStatus.STARTING, True),
        (None, DagsterRunStatus.NOT_STARTED, True),
        ("dead", DagsterRunStatus.STARTING, True),
        ("alive", DagsterRunStatus.STARTING, False),
        ("elsewhere", DagsterRunStatus.STARTING, False),
        (None, DagsterRunStatus.STARTED, False),
        ("dead", DagsterRunStatus.STARTED, False),
        ("dead", DagsterRunStatus.CANCELING, False),
        ("dead", DagsterRunStatus.SUCCESS, False),
    ],
)
def test_a_run_fails_whose_process_died_before_it_began_unless_another_one_has_it(
    holder: str | None, status: DagsterRunStatus, fails: bool
) -> None:
    store = MadeUpRedis()
    owners = {
        "dead": owner_name(WORKER, dead_process()),
        "alive": owner_name(WORKER, os.getpid()),
        "elsewhere": owner_name("cpu-7@another", dead_process()),
    }
    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=status)
        held = RunLease(store, run.run_id, owners[holder] if holder else "")
        if holder:
            assert held.claim()
        assert report_lost(instance, run.run_id, store, WORKER, "signal 9 (SIGKILL)") is fails
        current = instance.get_run_by_id(run.run_id)
        assert current is not None
        assert current.status == (DagsterRunStatus.FAILURE if fails else status)
        said = [str(entry.message) for entry in instance.all_logs(run.run_id)]
        told = f"worker {WORKER} lost the process of this run before the run had begun: signal 9 (SIGKILL)"
        assert any(told in message for message in said) is fails
        assert (held.read() is not None) == (holder is not None and not fails), "who has it keeps it"


def test_a_delivery_that_comes_while_a_run_is_declared_failed_leaves_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, executed = MadeUpRedis(), list[str]()
    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=DagsterRunStatus.STARTING)
        report = instance.report_run_failed

        def another_comes(*arguments: object) -> None:
            assert delivered(instance, store, run, executed) is None
            report(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(instance, "report_run_failed", another_comes)
        assert report_lost(instance, run.run_id, store, WORKER, "")
        assert delivered(instance, store, run, executed) is None
        assert executed == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WorkerLostError("signal 9 (SIGKILL)"), DagsterRunStatus.FAILURE),
        (ModuleNotFoundError("an error of the run's own"), DagsterRunStatus.STARTING),
    ],
)
def test_a_worker_reports_what_its_pool_says_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: DagsterRunStatus
) -> None:
    monkeypatch.setattr("dp_assets.orchestration.celery_app.lease_store", lambda _: MadeUpRedis())
    task = cluster_app(NOWHERE).tasks[TASK_EXECUTE_JOB_NAME]
    with DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(DagsterInstance, "get", lambda: nullcontext(instance))
        run = instance.create_run_for_job(nothing, status=DagsterRunStatus.STARTING)
        answers = signals.task_failure.send(
            sender=task, task_id="1", exception=error, args=(), kwargs=arguments_of(run)
        )
        assert [answer for _, answer in answers] == [None]
        current = instance.get_run_by_id(run.run_id)
        assert current is not None
        assert current.status == status


@pytest.mark.parametrize("of", [WORKER, "cpu-7@another"])
def test_a_worker_knows_its_name_where_celery_has_no_request(
    monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    """As in the main process of Celery before 5.7."""
    store = MadeUpRedis()
    monkeypatch.setattr("dp_assets.orchestration.celery_app.lease_store", lambda _: store)
    app, launchers = cluster_app(NOWHERE), cluster_app(NOWHERE)
    for name, started in ((WORKER, app), ("of another application", launchers)):
        signals.celeryd_init.send(sender=name, instance=SimpleNamespace(app=started), conf=None, options={})
    task = app.tasks[TASK_EXECUTE_JOB_NAME]
    assert task.request.hostname is None
    with DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(DagsterInstance, "get", lambda: nullcontext(instance))
        run = instance.create_run_for_job(nothing, status=DagsterRunStatus.STARTING)
        assert RunLease(store, run.run_id, owner_name(of, dead_process())).claim()
        signals.task_failure.send(
            sender=task, task_id="1", exception=WorkerLostError(), args=(), kwargs=arguments_of(run)
        )
        current = instance.get_run_by_id(run.run_id)
        assert current is not None
        assert (current.status == DagsterRunStatus.FAILURE) is (of == WORKER)


def test_a_worker_lives_on_when_a_lost_process_cannot_be_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> DagsterInstance:
        raise OperationalError("connect", {}, ConnectionError("refused"))

    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=DagsterRunStatus.STARTING)
    monkeypatch.setattr(DagsterInstance, "get", away)
    task = cluster_app(NOWHERE).tasks[TASK_EXECUTE_JOB_NAME]
    answers = signals.task_failure.send(
        sender=task, task_id="1", exception=WorkerLostError(), args=(), kwargs=arguments_of(run)
    )
    assert [answer for _, answer in answers] == [None]
    assert f"run {run.run_id} lost its process, which could not be reported" in caplog.text


def _concurrency(pools: tuple[str, ...]) -> RunOpConcurrency:
    return RunOpConcurrency(
        root_key_counts=dict.fromkeys(pools, 1), has_unconstrained_root_nodes=False, all_pools=set(pools)
    )


def run_of(*pools: str, **tags: str) -> DagsterRun:
    named = {name.replace("__", "/").replace("_", "-"): value for name, value in tags.items()}
    concurrency = _concurrency(pools) if pools else None
    return DagsterRun("job", tags=named, run_op_concurrency=concurrency)


def test_runs_go_to_the_queue_of_their_pools() -> None:
    launcher = ClusterRunLauncher(NOWHERE)
    assert launcher.queue_of(run_of()) == "cpu"
    assert launcher.queue_of(run_of("disk")) == "cpu"
    assert launcher.queue_of(run_of("gpu")) == "gpu"
    assert launcher.queue_of(run_of("disk", "gpu_1")) == "gpu"
    assert launcher.queue_of(run_of("gpu", dagster_celery__queue="cpu")) == "cpu"
    assert ClusterRunLauncher(NOWHERE, gpu_queue="cpu").queue_of(run_of("gpu")) == "cpu"
    with pytest.raises(ClusterError, match="there is no queue 'tpu'"):
        launcher.queue_of(run_of(dagster_celery__queue="tpu"))


@pytest.mark.parametrize(
    ("assets", "gpu"),
    [
        (("plate_images", "illumination_functions"), False),
        (("cnn/cell_features", "cnn/site_profiles"), True),
        (("cnn/trained_model",), True),
        (("compressed_images", "cnn/cell_features"), True),
    ],
)
def test_the_pools_of_a_run_are_those_of_its_own_assets(
    tiny: Workshop, assets: tuple[str, ...], gpu: bool
) -> None:
    defs = build_defs(tiny.root)
    keys = [dg.AssetKey(name.split("/")) for name in assets]
    tiny.instance.add_dynamic_partitions("plates", ["TINY00001"])
    run = tiny.instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(keys)),
        asset_selection=frozenset(keys),
    )
    assert needs_gpu(run) is gpu


def test_the_settings_of_workers_are_those_that_redelivery_needs() -> None:
    conf = cluster_app(NOWHERE).conf
    shipped = yaml.safe_load(SHIPPED.read_text())
    assert conf.task_acks_late
    assert not conf.task_reject_on_worker_lost
    assert not cluster_app(NOWHERE).tasks[TASK_EXECUTE_JOB_NAME].track_started
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_max_tasks_per_child == 1
    assert {queue.name for queue in conf.task_queues} == set(QUEUES)
    visibility = conf.broker_transport_options["visibility_timeout"]
    assert visibility < shipped["run_monitoring"]["start_timeout_seconds"] / 2


def test_the_shipped_instance_is_one_of_dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DP_POSTGRES_URL", "postgresql+psycopg2://user:secret@127.0.0.1:1/dagster")
    monkeypatch.setenv("DP_BROKER_URL", NOWHERE)
    (tmp_path / "dagster.yaml").write_text(SHIPPED.read_text())
    settings, _ = dagster_instance_config(str(tmp_path))
    assert settings["concurrency"]["pools"]["granularity"] == "op"
    launcher = settings["run_launcher"]["config"]
    assert set(launcher) <= set(ClusterRunLauncher.config_type())
    made = ClusterRunLauncher(NOWHERE, gpu_queue=launcher["gpu_queue"])
    assert made.lost_after_seconds == launcher["lost_after_seconds"]
    assert not made.supports_resume_run


@pytest.mark.parametrize("url", ["amqp://guest@host//", "sentinel://host:26379", "host:6379"])
def test_only_redis_will_do(url: str) -> None:
    with pytest.raises(ClusterError, match="is not the beginning of a Redis URL"):
        ClusterRunLauncher(url)


def test_definitions_load_neither_celery_nor_redis(tiny: Workshop) -> None:
    program = (
        "import sys; from dp_assets.orchestration.code_location import build_defs; import dp_assets.cli; "
        f"build_defs({str(tiny.root)!r}); "
        "print([name for name in ('celery', 'kombu', 'redis', 'kubernetes') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_worker_says_what_it_lacks(tiny: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said() -> str:
        result = call(tiny.root, "worker", "--queue", "cpu")
        assert result.exit_code == 1, result.output
        return " ".join(result.output.split())

    assert "DAGSTER_HOME is not set" in said()
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert "there is no dagster.yaml" in said()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert "gives workers nothing to do" in said()
    (home / "dagster.yaml").write_text(SHIPPED.read_text())
    for name in ("DP_POSTGRES_URL", "DP_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    assert "DP_BROKER_URL" in said()
    monkeypatch.setenv("DP_BROKER_URL", "redis://:hidden@127.0.0.1:1/0")
    assert "DP_POSTGRES_URL" in said()
    monkeypatch.setenv("DP_POSTGRES_URL", "postgresql+psycopg2://user:hidden@127.0.0.1:1/dagster")
    refused = said()
    assert "PostgreSQL does not answer" in refused
    assert "hidden" not in refused
    for url in ("postgresql://user:hid/den@127.0.0.1:1/dagster", "postgresql+psycopg2://user:hidden@x:y/d"):
        monkeypatch.setenv("DP_POSTGRES_URL", url)
        refused = said()
        assert "a URL of PostgreSQL or Redis cannot be used" in refused
        assert "hid" not in refused
        assert "Traceback" not in refused
    # With a database that answers, Redis is the next thing missing.
    settings = yaml.safe_load(SHIPPED.read_text())
    del settings["storage"]
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    refused = said()
    assert "Redis does not answer at 127.0.0.1:1" in refused
    assert "hidden" not in refused
    monkeypatch.setenv("DP_BROKER_URL", "redis://:hid/den@127.0.0.1:1/0")
    refused = said()
    assert "Redis cannot be used" in refused
    assert "hid" not in refused
    monkeypatch.setattr("dp_assets.orchestration.worker_start.LIBRARIES", ("celery", "no_such_library"))
    assert 'pip install "dp-assets[cluster]"' in said()
