"""The files that bring a fleet up, held against the schemas of what reads them."""

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.fleet
DOCKER = Path(__file__).parent.parent / "docker"
KUBERNETES = "1.33"
GROUP = {
    "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
    "template": {"type": "object"},
}
RAY_CLUSTER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["headGroupSpec"],
            "properties": {
                "rayVersion": {"type": "string"},
                "authOptions": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"mode": {"enum": ["disabled", "token"]}},
                },
                "headGroupSpec": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["rayStartParams", "template"],
                    "properties": GROUP,
                },
                "workerGroupSpecs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
                        "properties": GROUP
                        | {
                            "groupName": {"type": "string"},
                            "replicas": {"type": "integer"},
                            "minReplicas": {"type": "integer"},
                            "maxReplicas": {"type": "integer"},
                        },
                    },
                },
            },
        },
    },
}
"""Of KubeRay's RayCluster (ray.io/v1) what the file uses: names, types and what is required are those of its Go types,
of which the CRD is made (ray-operator/apis/ray/v1/raycluster_types.go; `authOptions` since KubeRay 1.5.1)."""
SBATCH = {"job-name", "exclusive", "ntasks-per-node", "time", "output"}
SRUN = {"nodes", "ntasks", "ntasks-per-node", "overlap"}
"""Options of the two that the script uses, as their manuals have them."""


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """What the file for Kubernetes holds, by kind."""
    import yaml

    return {found["kind"]: found for found in yaml.safe_load_all((DOCKER / "fleet.kuberay.yaml").read_text())}


@pytest.fixture(scope="module")
def templates(resources) -> list[Any]:
    """Of every pod."""
    spec = resources["RayCluster"]["spec"]
    of_groups = [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    return [*of_groups, resources["Job"]["spec"]["template"]]


def accepted(resource: Any) -> bool:
    """Whether Kubernetes' own schema has every field of it, and it every field that one requires."""
    import kubernetes_validate

    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError:
        return False
    return True


def is_ray_cluster(resource: Any) -> bool:
    import jsonschema

    return jsonschema.Draft202012Validator(RAY_CLUSTER).is_valid(resource)


def test_kubernetes_accepts_the_claim_the_job_and_every_pod(resources, templates):
    assert accepted(resources["PersistentVolumeClaim"])
    assert accepted(resources["Job"])
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
    assert [accepted(pod | template) for template in templates] == [True] * 3


def test_kuberay_accepts_the_cluster(resources):
    assert is_ray_cluster(resources["RayCluster"])


def test_a_misspelled_field_would_have_been_seen(resources, templates):
    job, cluster = copy.deepcopy(resources["Job"]), copy.deepcopy(resources["RayCluster"])
    job["spec"]["backofLimit"] = 0
    cluster["spec"]["workerGroupSpec"] = []
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}} | copy.deepcopy(templates[0])
    pod["spec"]["containers"][0]["volumeMount"] = []
    assert [accepted(job), accepted(pod), is_ray_cluster(cluster)] == [False] * 3


def test_no_pod_runs_as_root_or_may_become_it(templates):
    for template in templates:
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            context = container["securityContext"]
            assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] == container["resources"]["limits"], "whole processors, its own"


def test_the_compose_file_gives_no_container_rights_or_the_docker_socket():
    import yaml

    text = (DOCKER / "fleet.compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert services.keys() == {"head", "worker", "driver"}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "privileged" not in service
        assert "ports" not in service, "Ray asks nobody who they are"
    assert "docker.sock" not in text


def test_the_slurm_script_is_a_shell_script_with_options_that_sbatch_has():
    path = DOCKER / "fleet.slurm.sh"
    subprocess.run(["bash", "-n", path], check=True)
    assert set(re.findall(r"^#SBATCH --([a-z-]+)", path.read_text(), re.MULTILINE)) == SBATCH
    of_srun = [
        words for line in path.read_text().splitlines() for words in re.findall(r"\bsrun ((?:-\S+ \S*\s*)+)", line)
    ]
    assert of_srun
    assert {option for words in of_srun for option in re.findall(r"--([a-z-]+)", words)} <= SRUN


def test_ray_asks_for_a_token_wherever_others_reach_it(resources):
    assert resources["RayCluster"]["spec"]["authOptions"] == {"mode": "token"}
    (driver,) = resources["Job"]["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry for entry in driver["env"]}
    assert environment["RAY_AUTH_MODE"]["value"] == "token"
    secret = environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": resources["RayCluster"]["metadata"]["name"], "key": "auth_token"}
    script = (DOCKER / "fleet.slurm.sh").read_text()
    assert script.index("export RAY_AUTH_TOKEN") < script.index("ray start")


def test_the_file_names_the_ray_that_is_locked(resources):
    (locked,) = re.findall(r"^ray==(\S+)", (DOCKER.parent / "requirements/cluster.txt").read_text(), re.MULTILINE)
    assert resources["RayCluster"]["spec"]["rayVersion"] == locked
