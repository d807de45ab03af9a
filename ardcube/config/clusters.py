"""Options of a run that choose its cluster: threads, a Dask cluster by address or class, Coiled."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from ardcube.config import form_schema
from ardcube.config.base import ADDRESS_FORM, STORED, Address, Model
from ardcube.config.store import OPTIONS_FORM, check_options, texts_of
from ardcube.redaction import without_secrets

Count = Annotated[int, Field(ge=0, le=10_000)]
"""Number of workers."""


class ClusterOptions(Model):
    """Options of a run that choose where its chunks are built, or the files of an export are written."""

    serverless_backend: Literal["local", "dask", "coiled"] = Field(
        default="local",
        title="Backend",
        description=(
            "Where chunks are built or files are written: threads of this machine, a Dask cluster (set its scheduler "
            "address or its class), or a Coiled cluster (set the coiled options). All other options apply to each "
            "backend."
        ),
    )
    scheduler_address: Address | None = Field(
        default=None,
        title="Dask: scheduler address",
        pattern=r"^[a-z]+://.+",
        json_schema_extra=ADDRESS_FORM,
        description=(
            "Address of the scheduler of a running Dask cluster, such as tcp://host:8786, tls://host:8786 or "
            "gateway://host:8000/NAME."
        ),
    )
    cluster_class: str | None = Field(
        default=None,
        title="Dask: cluster class",
        json_schema_extra=form_schema.cluster_classes,
        description=(
            "Class of the Dask cluster that the run creates and closes, such as dask_gateway.GatewayCluster. The "
            "variable ARDCUBE_CLUSTER_CLASSES of the flow's environment allows others."
        ),
    )
    cluster_options: dict[str, JsonValue] = Field(
        default_factory=dict,
        title="Cluster: options",
        json_schema_extra=OPTIONS_FORM,
        description=(
            "Arguments of the cluster class, such as image or worker_cores; with Coiled those of coiled.Cluster, such "
            "as workspace or worker_vm_types. Credentials are refused here."
        ),
    )
    workers: int | None = Field(
        default=None,
        title="Cluster: number of workers",
        ge=1,
        le=10_000,
        description="Number of workers of the cluster that the run creates. Default for Coiled: adaptive.",
    )
    adapt: tuple[Count, Count] | None = Field(
        default=None,
        title="Cluster: least and most workers",
        json_schema_extra=form_schema.two_counts,
        description=(
            "Number of workers that the cluster has at least and at most; it grows and shrinks with the work that is "
            "left. Default for Coiled: 1 to 100."
        ),
    )
    coiled_name: str = Field(title="Coiled: cluster name", default="ardcube", description="Name of the Coiled cluster.")
    coiled_region: str = Field(
        title="Coiled: region",
        default="us-west-2",
        description="Cloud region of the Coiled cluster. The scenes of Earth Search are in us-west-2.",
    )
    coiled_worker_cpu: int = Field(
        title="Coiled: CPUs per worker", default=4, ge=1, description="CPUs per Coiled worker."
    )
    coiled_worker_memory: str = Field(
        title="Coiled: memory per worker", default="16 GiB", description="Memory per Coiled worker."
    )
    coiled_spot_policy: Literal["on-demand", "spot", "spot_with_fallback"] = Field(
        title="Coiled: spot policy",
        default="spot_with_fallback",
        description="Coiled machines. Spot machines cost less and may be interrupted; their chunks are retried.",
    )
    coiled_image: str | None = Field(
        title="Coiled: container image",
        default=None,
        min_length=1,
        description=(
            "Container image of the Coiled workers; it must contain this package. Default: Coiled installs the "
            "packages of the machine that runs the flow."
        ),
    )
    coiled_idle_timeout: str = Field(
        title="Coiled: idle time-out",
        default="10 minutes",
        description="Idle time after which the Coiled cluster stops.",
    )

    @field_validator("cluster_class")
    @classmethod
    def _class_is_allowed(cls, value: str | None) -> str | None:
        if value is not None and value not in (allowed := form_schema.allowed_clusters()):
            raise ValueError(
                f"{value!r:.80} is not allowed; choose one of {', '.join(allowed)}, or add it to "
                f"{form_schema.CLASSES_VARIABLE} in the environment of the flow"
            )
        return value

    @field_validator("cluster_options")
    @classmethod
    def _no_credentials(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if any(without_secrets(text) != text for text in texts_of(value)):
            raise ValueError(f"a value contains a credential, which {STORED}; put it into the environment of workers")
        return check_options(value)

    @field_validator("adapt")
    @classmethod
    def _least_is_not_above_most(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if (value is not None and not value[0] <= value[1]) or value == (0, 0):
            raise ValueError(f"{value} is not MIN MAX; give two numbers of workers, the smaller one first")
        return value

    @model_validator(mode="after")
    def _cluster_is_complete(self) -> Self:
        backend = self.serverless_backend
        if backend == "dask" and self.scheduler_address is None and self.cluster_class is None:
            raise ValueError(
                "serverless_backend dask: needs a scheduler_address; give one, such as tcp://host:8786, or a "
                "cluster_class"
            )
        if self.scheduler_address is not None and self.cluster_class is not None:
            raise ValueError("scheduler_address: cluster_class creates another cluster; omit one of them")
        if self.workers is not None and self.adapt is not None:
            raise ValueError("workers: adapt changes the number of workers; omit one of them")
        for name, unused in (
            ("scheduler_address", backend != "dask"),
            ("cluster_class", backend != "dask"),
            ("cluster_options", backend != "coiled" and self.cluster_class is None),
            ("adapt", backend != "coiled" and self.cluster_class is None),
        ):
            if unused and getattr(self, name):
                raise ValueError(
                    f"{name}: serverless_backend {backend} does not use it; omit it or use "
                    f"{'dask' if backend == 'local' else 'a cluster_class'}"
                )
        return self
