"""deploy/kubernetes: a Deployment for each line of the Procfile, hardened, and wired to what it names."""

import re
import shutil
import subprocess
import tomllib

import dotenv
import pytest
import yaml
from support.deployment import GRACE_SECONDS, PROCFILE, as_ringproof, check_command, unknown_settings
from support.harness import ROOT

FOLDER = ROOT / "deploy/kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
SECRET = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
FILES = [*(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")]
OBJECTS = [one for path in sorted(FILES) for one in yaml.safe_load_all(path.read_text())]
OF_REDIS = "ringproof-redis"
LATEST = ("1.31", "1.34")
"""Versions of Kubernetes whose schemas the objects are held against, where the package with them is installed."""


def of_kind(*kinds):
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] in kinds}


DEPLOYMENTS = of_kind("Deployment")
WORKLOADS = of_kind("Deployment", "StatefulSet")
WORKERS = [f"ringproof-{name}" for name in PROCFILE]
POLICIES = of_kind("NetworkPolicy")


def template(name):
    return WORKLOADS[name]["spec"]["template"]


def container(name):
    (only,) = template(name)["spec"]["containers"]
    return only


def selects(selector, labels):
    """Whether a selector with labels alone, and `In`, takes these."""
    expressions = selector.get("matchExpressions", [])
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions if one["operator"] == "In"
    )


def in_bytes(size):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", size).groups()
    return int(number) << {"Mi": 20, "Gi": 30}[unit]


@pytest.mark.parametrize("name", PROCFILE)
def test_each_line_of_the_procfile_has_a_deployment_of_two_pods(name):
    deployment = DEPLOYMENTS[f"ringproof-{name}"]

    assert container(f"ringproof-{name}")["command"] == as_ringproof(PROCFILE[name])
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_each_deployment_runs_commands_that_there_are(name):
    spec = container(name)
    probes = [spec[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in spec]

    for command in (spec["command"], *(probe["exec"]["command"] for probe in probes if "exec" in probe)):
        check_command(command)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_each_variable_is_a_setting_and_each_secret_a_file_that_is_mounted(name):
    spec = container(name)
    variables = {one["name"]: one["value"] for one in spec["env"]}
    (secrets,) = [one["secret"] for one in template(name)["spec"]["volumes"] if "secret" in one]
    (mounted,) = [one["mountPath"] for one in spec["volumeMounts"] if one["name"] == "secrets"]
    files = {f"{mounted}/{item['path']}" for item in secrets["items"]}

    assert unknown_settings(variables) == set()
    assert set(variables.values()) == files
    assert secrets["secretName"] == SECRET["metadata"]["name"]
    assert {item["key"] for item in secrets["items"]} <= set(SECRET["stringData"])
    assert spec["envFrom"] == [{"configMapRef": {"name": KUSTOMIZATION["configMapGenerator"][0]["name"]}}]
    assert ("PLIVO_AUTH_TOKEN_FILE" in variables) == (name != "ringproof-metrics")


def test_the_settings_have_no_secret_and_name_the_redis_that_there_is():
    given = dotenv.dotenv_values(FOLDER / "ringproof.env")
    host, port = re.fullmatch(r"redis://([\w-]+):(\d+)/0", given["RINGPROOF_REDIS_URL"]).groups()

    assert unknown_settings(given) == set()
    assert not [name for name in given if re.search("TOKEN|SECRET|PASSWORD", name)]
    assert [str(one["port"]) for one in of_kind("Service")[host]["spec"]["ports"]] == [port]


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_pod_meets_the_restricted_standard_and_has_its_limits(name):
    pod, spec = template(name)["spec"], container(name)
    memory = {kind: in_bytes(spec["resources"][kind]["memory"]) for kind in ("requests", "limits")}
    in_memory = [one["emptyDir"] for one in pod["volumes"] if "emptyDir" in one]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "services would put RINGPROOF_… into its environment"
    assert memory["requests"] <= memory["limits"]
    assert sum(in_bytes(one["sizeLimit"]) for one in in_memory) < memory["limits"]
    assert {"cpu"} <= set(spec["resources"]["requests"])
    assert {one["name"] for one in spec["volumeMounts"]} <= {
        *(one["name"] for one in pod["volumes"]),
        *(one["metadata"]["name"] for one in WORKLOADS[name]["spec"].get("volumeClaimTemplates", ())),
    }


def test_the_namespace_enforces_that_standard():
    (namespace,) = of_kind("Namespace").values()

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert namespace["metadata"]["name"] == KUSTOMIZATION["namespace"] == SECRET["metadata"]["namespace"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_given_its_grace_and_restarted_for_its_own_faults_alone(name):
    spec = container(name)
    liveness = spec["livenessProbe"]

    assert template(name)["spec"]["terminationGracePeriodSeconds"] > GRACE_SECONDS
    assert spec["readinessProbe"]["exec"]["command"] == ["ringproof", "health", "--self"]
    assert liveness["exec"]["command"] == ["ringproof", "health", "--live"]
    assert liveness["timeoutSeconds"] >= 10
    assert spec["startupProbe"]["periodSeconds"] * spec["startupProbe"]["failureThreshold"] >= 60


def test_the_front_door_goes_on_until_nobody_sends_requests_to_it():
    spec, name = container("ringproof-serve"), "ringproof-serve"
    (command,) = [spec["lifecycle"]["preStop"]["exec"]["command"]]

    assert command[0] == "sleep"
    assert template(name)["spec"]["terminationGracePeriodSeconds"] > int(command[1]) + GRACE_SECONDS
    assert "--behind-proxy" in spec["command"]


def test_each_selector_finds_pods():
    labels = {name: template(name)["metadata"]["labels"] for name in WORKLOADS}
    selectors = {
        **{name: one["spec"]["selector"] for name, one in WORKLOADS.items()},
        **{f"budget {name}": one["spec"]["selector"] for name, one in of_kind("PodDisruptionBudget").items()},
        **{f"service {name}": {"matchLabels": one["spec"]["selector"]} for name, one in of_kind("Service").items()},
        **{f"policy {name}": one["spec"]["podSelector"] for name, one in POLICIES.items()},
    }
    found = {name: {pod for pod, own in labels.items() if selects(one, own)} for name, one in selectors.items()}

    for name, pods in found.items():
        kind, _, of = name.rpartition(" ")
        if kind == "policy" and of in {"ringproof", "ringproof-to-plivo"}:
            continue
        assert pods == {of}, name
    assert found["policy ringproof"] == set(DEPLOYMENTS)
    assert found["policy ringproof-to-plivo"] == {*WORKERS, "ringproof-serve"}


def test_a_drain_leaves_one_pod_of_each_kind_that_has_two():
    budgets = of_kind("PodDisruptionBudget")

    assert set(budgets) == {name for name, one in WORKLOADS.items() if one["spec"]["replicas"] > 1}
    assert {one["spec"]["minAvailable"] for one in budgets.values()} == {1}


def test_redis_is_reached_by_our_pods_and_by_those_with_the_label_alone():
    (rule,) = POLICIES[OF_REDIS]["spec"]["ingress"]
    (source,) = rule["from"]
    clients = {name for name in WORKLOADS if selects(source["podSelector"], template(name)["metadata"]["labels"])}

    assert clients == set(DEPLOYMENTS)
    assert [one["port"] for one in rule["ports"]] == [6379]
    assert "egress" not in POLICIES[OF_REDIS]["spec"]


def test_each_port_that_a_service_or_a_policy_names_is_one_that_its_pods_have():
    for name, service in of_kind("Service").items():
        ports = {one["name"]: one["containerPort"] for one in container(name)["ports"]}
        assert {one["targetPort"] for one in service["spec"]["ports"]} == set(ports)
        (rule,) = POLICIES[name]["spec"]["ingress"]
        assert {one["port"] for one in rule["ports"]} == set(ports.values())


def test_redis_has_the_command_of_composes_redis():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]
    here = container(OF_REDIS)["command"]

    (image,) = yaml.safe_load((FOLDER / "redis/kustomization.yaml").read_text())["images"]

    assert f"{image['name']}:{image['newTag']}" == compose["image"]
    assert here[:2] == compose["command"][:2]
    assert here[2].replace("/run/secrets/ringproof/", "/run/secrets/") == compose["command"][2].replace("$$", "$")
    assert "livenessProbe" not in container(OF_REDIS)


def test_the_image_has_the_version_of_the_package_and_one_place():
    (image,) = KUSTOMIZATION["images"]

    assert image["newTag"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {container(name)["image"] for name in DEPLOYMENTS} == {image["name"]}


def test_kustomize_builds_it():
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl")
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, check=False)
    built = list(yaml.safe_load_all(done.stdout))
    kinds = {(one["kind"], one["metadata"]["name"]) for one in built if one["kind"] != "ConfigMap"}
    (settings,) = [one for one in built if one["kind"] == "ConfigMap"]
    named = {
        one["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
        for one in built
        if one["kind"] == "Deployment"
    }

    assert done.returncode == 0, done.stderr
    assert {("Deployment", name) for name in (*WORKERS, "ringproof-metrics")} <= kinds
    assert ("StatefulSet", OF_REDIS) in kinds
    assert named == {settings["metadata"]["name"]}, "so that a change of the settings restarts the pods"


@pytest.mark.parametrize("version", LATEST)
def test_each_object_is_what_the_schemas_of_kubernetes_say(version):
    schemas = pytest.importorskip("kubernetes_validate", reason="to have it: pip install kubernetes-validate")

    for one in OBJECTS:
        schemas.validate(one, version, strict=True)
