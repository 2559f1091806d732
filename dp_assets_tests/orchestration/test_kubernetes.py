"""Kubernetes without a cluster: the instance, the pods it would make, the values of the Helm chart."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterRun
from dagster._core.instance.config import dagster_instance_config
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster_k8s.job import construct_dagster_k8s_job
from kubernetes import client

from dp_assets.orchestration.kubernetes_launcher import KubernetesRunLauncher
from dp_assets_tests.conftest import REPOSITORY

CONFIGS = REPOSITORY / "configs" / "kubernetes"
HELM = yaml.safe_load((CONFIGS / "helm-values.yaml").read_text())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for an instance; nobody looks for a cluster."""
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "secret")
    return tmp_path


def launcher_of(settings: Mapping[str, Any], home: Path) -> KubernetesRunLauncher:
    """The launcher of an instance that Dagster finds no fault with."""
    (home / "dagster.yaml").write_text(yaml.safe_dump(dict(settings)))
    checked, _ = dagster_instance_config(str(home))
    from dagster._core.instance.ref import configurable_class_data

    made = configurable_class_data(checked["run_launcher"]).rehydrate(KubernetesRunLauncher)
    assert isinstance(made, KubernetesRunLauncher)
    return made


def instance_of_the_chart() -> dict[str, Any]:
    """The instance that the chart writes from the values, as far as they say."""
    custom = HELM["runLauncher"]["config"]["customRunLauncher"]
    retries = HELM["dagsterDaemon"]["runRetries"]
    monitoring = HELM["dagsterDaemon"]["runMonitoring"]
    assert HELM["dagsterDaemon"]["runCoordinator"] == {"enabled": True}, (
        "without it the chart names one without a queue"
    )
    concurrency = HELM["concurrency"]
    assert concurrency["enabled"] is True
    return {
        "telemetry": HELM["telemetry"],
        "python_logs": {"managed_python_loggers": HELM["pythonLogs"]["managedPythonLoggers"]},
        "run_launcher": custom,
        "run_monitoring": {
            "enabled": monitoring["enabled"],
            "start_timeout_seconds": monitoring["startTimeoutSeconds"],
            "poll_interval_seconds": monitoring["pollIntervalSeconds"],
            "max_resume_run_attempts": monitoring["maxResumeRunAttempts"],
            "free_slots_after_run_end_seconds": monitoring["freeSlotsAfterRunEndSeconds"],
        },
        "run_retries": {
            "enabled": retries["enabled"],
            "max_retries": retries["maxRetries"],
            "retry_on_asset_or_op_failure": retries["retryOnAssetOrOpFailure"],
        },
        # As the chart does: no limits of its own, they would contradict `concurrency`.
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_use_threads": True, "dequeue_num_workers": 4},
        },
        "concurrency": {
            "pools": {
                "default_limit": concurrency["pools"]["defaultLimit"],
                "granularity": concurrency["pools"]["granularity"],
            },
            "runs": {"max_concurrent_runs": concurrency["runs"]["maxConcurrentRuns"]},
        },
        **HELM["additionalInstanceConfig"],
    }


INSTANCES = {
    "without_helm": lambda: yaml.safe_load((CONFIGS / "dagster.yaml").read_text()),
    "with_helm": instance_of_the_chart,
}


def pod_of(launcher: KubernetesRunLauncher, run: DagsterRun) -> dict[str, Any]:
    """The pod that would execute a run, as it would be sent to the cluster."""
    context = launcher.get_container_context_for_run(run)
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config("registry.example.org/dp-assets:1", run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        user_defined_k8s_config=context.run_k8s_config,
    )
    sent = client.ApiClient().sanitize_for_serialization(job)
    # As the API server reads it: unknown fields would be lost on the way back.
    read = client.ApiClient()._ApiClient__deserialize(sent, "V1Job")
    assert client.ApiClient().sanitize_for_serialization(read) == sent
    return sent["spec"]["template"]["spec"]


def _concurrency(pools: tuple[str, ...]) -> RunOpConcurrency:
    return RunOpConcurrency(
        root_key_counts=dict.fromkeys(pools, 1), has_unconstrained_root_nodes=False, all_pools=set(pools)
    )


def run_of(*pools: str, **tags: str) -> DagsterRun:
    concurrency = _concurrency(pools) if pools else None
    return DagsterRun("job", tags=tags, run_op_concurrency=concurrency)


@pytest.mark.parametrize("name", INSTANCES)
def test_pods_are_as_large_as_configured_and_only_those_of_pool_gpu_ask_for_one(
    name: str, home: Path
) -> None:
    launcher = launcher_of(INSTANCES[name](), home)
    plain, gpu = pod_of(launcher, run_of("disk")), pod_of(launcher, run_of("gpu"))
    assert plain["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "8Gi"},
        "limits": {"memory": "16Gi"},
    }
    assert gpu["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "8Gi"},
        "limits": {"memory": "16Gi", "nvidia.com/gpu": "1"},
    }
    assert "tolerations" not in plain
    assert [toleration["key"] for toleration in gpu["tolerations"]] == ["nvidia.com/gpu"]
    for pod in (plain, gpu):
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000}
        assert pod["restartPolicy"] == "Never"
        assert pod["serviceAccountName"] == "dagster"


def test_a_run_can_ask_for_more(home: Path) -> None:
    launcher = launcher_of(INSTANCES["without_helm"](), home)
    wanted = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "2"}}}}
    pod = pod_of(launcher, run_of("gpu", **{"dagster-k8s/config": json.dumps(wanted)}))
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "2"}


def test_runs_see_the_project(home: Path) -> None:
    pod = pod_of(launcher_of(INSTANCES["without_helm"](), home), run_of())
    (container,) = pod["containers"]
    assert {"name": "DP_PROJECT", "value": "/project"} in container["env"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["project"] == "/project"
    assert {"name": "project", "persistentVolumeClaim": {"claimName": "dp-project"}} in pod["volumes"]


def test_the_code_server_of_the_chart_sees_the_project_and_hands_it_to_its_runs() -> None:
    (deployment,) = HELM["dagster-user-deployments"]["deployments"]
    assert deployment["includeConfigInLaunchedRuns"] == {"enabled": True}
    assert deployment["env"] == {"DP_PROJECT": "/project"}
    # Read by the models of Kubernetes' own client.
    read = client.ApiClient()._ApiClient__deserialize
    volumes = [read(volume, "V1Volume") for volume in deployment["volumes"]]
    mounts = [read(mount, "V1VolumeMount") for mount in deployment["volumeMounts"]]
    assert [volume.name for volume in volumes] == [mount.name for mount in mounts]
    assert [mount.mount_path for mount in mounts] == ["/project"]
    for part in (deployment, HELM["dagsterWebserver"], HELM["dagsterDaemon"]):
        assert part["image"] == deployment["image"], "all load the project's run launcher"
        assert read(part["podSecurityContext"], "V1PodSecurityContext").run_as_non_root is True


def test_both_ways_say_the_same() -> None:
    without, chart = INSTANCES["without_helm"](), instance_of_the_chart()
    same = ("dagster_home", "instance_config_map", "postgres_password_secret", "service_account_name")
    configs = [settings["run_launcher"]["config"] for settings in (without, chart)]
    first, second = ({key: config[key] for key in same} for config in configs)
    assert first == second
    assert configs[0]["gpu_run_k8s_config"] == configs[1]["gpu_run_k8s_config"]
    assert without["concurrency"] == chart["concurrency"]
    assert without["run_retries"] == chart["run_retries"]
    assert without["run_monitoring"] == chart["run_monitoring"]
