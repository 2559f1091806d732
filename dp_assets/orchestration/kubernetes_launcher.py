"""The run launcher of a Kubernetes cluster: runs that need a graphics processor ask for one."""

from typing import Any

from dagster import DagsterRun, Field, Permissive
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig, get_user_defined_k8s_config

from dp_assets.orchestration.run_pools import needs_gpu


class KubernetesRunLauncher(K8sRunLauncher):
    """Dagster's launcher, a pod per run, that adds `gpu_run_k8s_config` to the pods of runs in pool `gpu`.

    Tags on assets would not do: all steps of a run share its pod. What the tag `dagster-k8s/config` of a run
    says has the last word.

    Parameters
    ----------
    gpu_run_k8s_config : as `run_k8s_config`, of runs with an asset in pool `gpu` only.
    others : of Dagster's launcher.
    """

    def __init__(
        self,
        *,
        gpu_run_k8s_config: dict[str, Any] | None = None,
        inst_data: ConfigurableClassData | None = None,
        **others: Any,
    ) -> None:
        self._gpu = UserDefinedDagsterK8sConfig.from_dict(gpu_run_k8s_config or {})
        super().__init__(inst_data=inst_data, **others)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {
            **super().config_type(),
            "gpu_run_k8s_config": Field(
                Permissive(),
                is_required=False,
                description="As run_k8s_config, for runs with an asset in pool gpu.",
            ),
        }

    def get_container_context_for_run(self, dagster_run: DagsterRun) -> K8sContainerContext:
        context = K8sContainerContext.create_for_run(dagster_run, self, include_run_tags=False)
        if needs_gpu(dagster_run):
            context = context.merge(K8sContainerContext(run_k8s_config=self._gpu))
        asked = K8sContainerContext(run_k8s_config=get_user_defined_k8s_config(dagster_run.tags))
        return context.merge(
            asked.validate_user_k8s_config_for_run(
                self.only_allow_user_defined_k8s_config_fields, self.only_allow_user_defined_env_vars
            )
        )
