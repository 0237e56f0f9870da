"""The files for containers, which nothing here can run: that what they name is there, and nothing is open."""

import re
from typing import Any, Final

import yaml

from ucred_pipeline_tests.deploy.conftest import DEPLOY, ROOT

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
#: What the owner makes; docs/deploy.md says how.
OF_THE_OWNER: Final = {"${UCRED_LOGS:-./logs}"}
PROGRAMS: Final = {"dagster", "dagster-daemon", "dagster-webserver", "ucred"}


def mounts() -> list[tuple[str, str]]:
    """What is mounted, and where it comes from."""
    told = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    return [(mount, re.findall(r"\$\{[^}]*\}|[^:]+", mount)[0]) for mount in told]


def test_the_whole_stack_is_there() -> None:
    """Each part of the stack is a service, and of the daemon there is one."""
    stack = {"code", "daemon", "webserver", "serve", "postgres", "prometheus", "alertmanager", "grafana"}

    assert set(SERVICES) == stack | {"history"}
    assert all("deploy" not in service and "scale" not in service for service in SERVICES.values())


def test_every_file_that_is_mounted_is_there() -> None:
    """A path that is not there would be made, as an empty folder; a volume has a name that is declared."""
    for mount, source in mounts():
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
            assert mount.endswith(":ro")
        elif source not in OF_THE_OWNER:
            assert source in COMPOSE["volumes"]


def test_no_port_is_open_to_others() -> None:
    """Every port is published on loopback only."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_written_down() -> None:
    """Passwords and tokens come from the owner's files, and only the code gets the pipeline's secrets."""
    told = (DEPLOY / "compose.yaml").read_text("utf-8")

    assert [name for name, service in SERVICES.items() if "env_file" in service] == ["code"]
    for name in ("UCRED_DATABASE_PASSWORD", "UCRED_SERVE_TOKEN", "GRAFANA_ADMIN_PASSWORD"):
        assert f"${{{name}:?set it in deploy/.env}}" in told


def test_every_image_has_a_version() -> None:
    """What is pulled tomorrow is what was meant today."""
    images = {service["image"] for service in SERVICES.values()} - {"ucred-pipeline"}
    assert images
    assert all(re.search(r":v?\d+(\.\d+)*$", image) for image in images)


def test_what_depends_on_something_depends_on_a_service() -> None:
    """No service waits for one that is not there, or for the health of one that tells none."""
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            assert (condition["condition"] == "service_healthy") == ("healthcheck" in SERVICES[name])


def test_the_image_is_made_of_what_is_there() -> None:
    """Every file that the image copies is in the repository, and not kept away from its making."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    allowed = set(
        re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE)
    )
    copied = {
        name
        for line in re.findall(r"^COPY (?:--\S+ )?(.+)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    }

    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_commands_are_the_programs_of_the_package() -> None:
    """What the pipeline's containers start is installed with it."""
    ours = {service["command"][0] for service in SERVICES.values() if service["image"] == "ucred-pipeline"}
    assert ours == PROGRAMS


def test_the_values_of_the_chart_name_our_code() -> None:
    """The values are YAML, without a secret, and start our definitions."""
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text("utf-8"))
    (deployment,) = values["dagster-user-deployments"]["deployments"]

    assert deployment["dagsterApiGrpcArgs"] == ["-m", "ucred_pipeline.definitions"]
    assert deployment["envSecrets"] == [{"name": "ucred"}]
    assert "env" not in deployment
    version = re.search(r"^dagster==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    assert version
    assert f"--version {version[1]} " in (DEPLOY / "helm" / "values.yaml").read_text("utf-8")
