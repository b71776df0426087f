"""Test etc/kubernetes: against the schemas, against the daemon's own options, and played by podman."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from twisted.trial.unittest import SynchronousTestCase

import echotime
from echotime.config.options import DaemonOptions
from echotime.web.guard import PUBLIC
from echotime.wire.hostport import HostPort
from tests.image.image import NAME, ROOT, ImageTestCase, run
from tests.support.plain_clients import ACKNOWLEDGEMENT, one_shot
from tests.support.twistd_process import LIMIT

FILES = ROOT / "etc" / "kubernetes"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""Oldest and newest Kubernetes that the manifests are checked for."""
Manifest = dict[str, Any]
_GRACE = "terminationGracePeriodSeconds"


def manifests(text: str) -> Iterator[Manifest]:
    """Yield the manifests of a text, without those that only kustomize reads."""
    for each in yaml.safe_load_all(text):
        if isinstance(each, dict) and not each["apiVersion"].startswith("kustomize."):
            yield each


def of_kind(kind: str) -> Manifest:
    """Return the one manifest of a kind."""
    texts = (path.read_text(encoding="utf-8") for path in FILES.rglob("*.yaml"))
    (found,) = (each for text in texts for each in manifests(text) if each["kind"] == kind)
    return found


def parsed(container: Manifest) -> DaemonOptions:
    """Return the options that a container gives to the daemon, but for a directory that exists only there."""
    variables = [word for each in container.get("env", []) for word in each["value"].split()]
    options = DaemonOptions()
    options.parseOptions([each for each in (*container["args"], *variables) if not each.startswith("--control")])
    return options


class ManifestTests(SynchronousTestCase):
    """Check the files without a cluster."""

    def assert_valid(self, found: list[Manifest], count: int) -> None:
        """Check manifests against the schemas, in which every field must be known."""
        checked = [each for each in found if not each["apiVersion"].startswith("monitoring.coreos.com/")]
        self.assertEqual(len(checked), count)
        for each in checked:
            for version in VERSIONS:
                kubernetes_validate.validate(each, version, strict=True)

    def test_schemas(self) -> None:
        """Each file is valid by itself, for the oldest and the newest version."""
        texts = [path.read_text(encoding="utf-8") for path in FILES.rglob("*.yaml")]
        self.assert_valid([each for text in texts for each in manifests(text)], 4)

    def test_misspelled_field(self) -> None:
        """The check is strict: a field that does not exist is found."""
        service = of_kind("Service")
        service["spec"]["externalTraficPolicy"] = "Local"
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(service, VERSIONS[0], strict=True)

    def test_rendered(self) -> None:
        """Base and overlay are rendered by kustomize, and the results are valid."""
        commands = (("kustomize", "build"), ("kubectl", "kustomize"))
        found = next((each for each in commands if shutil.which(each[0])), None)
        if found is None:
            self.skipTest("neither kustomize nor kubectl is installed")
        rendered = {}
        for name in ("base", "proxy-protocol"):
            ended = subprocess.run(
                [*found, str(FILES / name)], capture_output=True, text=True, check=False, timeout=LIMIT
            )
            self.assertEqual(ended.returncode, 0, ended.stderr)
            # kustomize warns of deprecated fields
            self.assertEqual(ended.stderr, "")
            rendered[name] = list(manifests(ended.stdout))
            self.assert_valid(rendered[name], 4)
        base, overlay = (sorted(each["kind"] for each in rendered[name]) for name in ("base", "proxy-protocol"))
        self.assertEqual(overlay, sorted([*base, "PodMonitor"]))
        container = _container(rendered["proxy-protocol"])
        self.assertEqual(container["image"], f"registry.example/echotime:{echotime.__version__}")
        (variable,) = container["env"]
        self.assertEqual(variable["name"], "ECHOTIME_OPTIONS")
        (policy,) = (each for each in rendered["proxy-protocol"] if each["kind"] == "NetworkPolicy")
        (echo,) = (each for each in policy["spec"]["ingress"] if each["ports"][0]["port"] == "echo")
        # whoever may send a header may connect, and nobody else
        self.assertEqual([each["ipBlock"]["cidr"] for each in echo["from"]], parsed(container)["proxy-protocol"])

    def test_selectors(self) -> None:
        """Everything selects the pods of the Deployment."""
        labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(of_kind("Service")["spec"]["selector"], labels)
        for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            self.assertEqual(of_kind(kind)["spec"]["selector"], {"matchLabels": labels})
        self.assertEqual(of_kind("NetworkPolicy")["spec"]["podSelector"], {"matchLabels": labels})
        for spread in of_kind("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            self.assertEqual(spread["labelSelector"], {"matchLabels": labels})

    def test_ports(self) -> None:
        """Every named port is one of the container, with its protocol, and the daemon listens there."""
        (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
        ports = {each["name"]: (each["containerPort"], each["protocol"]) for each in container["ports"]}
        for each in of_kind("Service")["spec"]["ports"]:
            self.assertEqual((each["port"], each["protocol"]), ports[each["targetPort"]])
        allowed = [each for rule in of_kind("NetworkPolicy")["spec"]["ingress"] for each in rule["ports"]]
        self.assertEqual({each["port"] for each in allowed}, set(ports))
        for each in allowed:
            self.assertEqual(each["protocol"], ports[each["port"]][1])
        (endpoint,) = of_kind("PodMonitor")["spec"]["podMetricsEndpoints"]
        probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        for each in (endpoint, *probes):
            self.assertEqual(each["port"], "http")
            self.assertIn(each["path"].strip("/").encode(), PUBLIC)
        settings = parsed(container).settings
        self.assertEqual(ports["echo"][0], ports["time"][0])
        self.assertEqual(settings.tcp, (HostPort("0.0.0.0", ports["echo"][0]),))
        self.assertEqual(settings.udp, settings.tcp)
        self.assertEqual(settings.http, (HostPort("0.0.0.0", ports["http"][0]),))

    def test_grace_period(self) -> None:
        """Kubernetes waits longer than the daemon takes to stop, and notices a stop before the ports close."""
        pod = of_kind("Deployment")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        settings = parsed(container).settings
        self.assertGreater(settings.stop_delay, 0)
        self.assertGreater(pod[_GRACE], settings.stop_delay + settings.drain_timeout)
        self.assertNotIn("lifecycle", container)

    def test_restricted(self) -> None:
        """The pod has what the restricted Pod Security Standard demands.

        https://kubernetes.io/docs/concepts/security/pod-security-standards/
        """
        pod = of_kind("Deployment")["spec"]["template"]["spec"]
        self.assertEqual(pod["securityContext"], {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
        (container,) = pod["containers"]
        context = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        self.assertEqual(container["securityContext"], context)
        self.assertEqual([set(each) - {"name"} for each in pod["volumes"]], [{"emptyDir"}])
        self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(pod))


class PlayTests(ImageTestCase):
    """Run the pod of the Deployment with podman. The test asks what a kubelet would ask."""

    def test_play(self) -> None:
        """The probes succeed, clients are served, the control socket works, and SIGTERM ends the pod with status 0."""
        deployment = self.played()
        folder = tempfile.TemporaryDirectory(prefix="echotime-kubernetes-")
        self.addCleanup(folder.cleanup)
        file = Path(folder.name, "deployment.yaml")
        file.write_text(yaml.safe_dump(deployment), encoding="utf-8")
        # its bridge would stay
        self.addCleanup(run, "podman", "network", "rm", "--force", "podman-default-kube-network")
        self.addCleanup(run, "podman", "kube", "down", str(file))
        run("podman", "kube", "play", str(file))
        (pod,) = json.loads(run("podman", "pod", "ps", "--format", "json"))
        name = f"{pod['Name']}-echotime"
        infra = run("podman", "inspect", "--format", "{{json .NetworkSettings.Networks}}", pod["InfraId"])
        (network,) = json.loads(infra).values()
        address = network["IPAddress"]

        container = _container([of_kind("Deployment")])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.probe(address, container[probe])
        self.assertEqual(one_shot((address, 12345), b"hello"), b"hello" + ACKNOWLEDGEMENT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.sendto(b"", (address, 12345))
            self.assertEqual(len(sock.recv(100)), 4)
        with urllib.request.urlopen(f"http://{address}:9180/metrics", timeout=LIMIT) as response:
            self.assertIn(b"\nechotime_messages_total", response.read())
        status = json.loads(run("podman", "exec", name, "echotime", "control", "--json", "status"))
        self.assertIsNone(status["stopping_in"])

        # a pod that ended by itself would be started again
        run("podman", "pod", "stop", "--time", str(deployment["spec"]["template"]["spec"][_GRACE]), pod["Name"])
        self.assertEqual(run("podman", "inspect", "--format", "{{.State.ExitCode}}", name).strip(), "0")
        log = run("podman", "logs", name)
        self.assertIn("stopping in 1 s", log)
        self.assertNotIn("Traceback", log)

    def played(self) -> Manifest:
        """Return the Deployment with the image of the tests, as one pod, without what podman does otherwise.

        podman publishes the ports on the host, and runs probes with curl in the container.
        """
        deployment = of_kind("Deployment")
        deployment["spec"]["replicas"] = 1
        container = _container([deployment])
        container["image"] = f"{NAME}:latest"
        container["args"] = [each.replace("--stop-delay=10", "--stop-delay=1") for each in container["args"]]
        for name in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
            del container[name]
        return deployment

    def probe(self, address: str, probe: Manifest) -> None:
        """Ask as a kubelet does, until the first success. A test that waits for ever is ended by pytest."""
        url = f"http://{address}:9180{probe['httpGet']['path']}"
        while True:
            try:
                with urllib.request.urlopen(url, timeout=probe.get("timeoutSeconds", 1)) as response:
                    self.assertEqual(response.status, 200)
                    return
            except urllib.error.HTTPError as error:
                error.close()
                self.assertEqual(error.code, 503)
            except OSError:
                pass  # the daemon does not listen yet


def _container(found: list[Manifest]) -> Manifest:
    (deployment,) = (each for each in found if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found_container: Manifest = container
    return found_container
