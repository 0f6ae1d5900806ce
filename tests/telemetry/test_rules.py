"""deploy/: the rules fire when something is wrong, and they and the dashboard ask only for metrics that exist."""

import contextlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client import REGISTRY
from werkzeug import Response

from eventsinks.door import counts as door_counts
from eventsinks.front import counts as front_counts
from eventsinks.limits import sending_lag
from eventsinks.telemetry.facts import FACTS
from tests.helpers.broker import free_port
from tests.helpers.system import until

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ASKED = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])
]
NAME = re.compile(r"\b(?:eventsinks|process)_[a-z_]+")
METERS = (door_counts, front_counts, sending_lag)  # they are in the registry when they are imported
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="Prometheus is not installed (on Debian: apt-get install prometheus)"
)

BAD = """
eventsinks_unaccounted 3
eventsinks_facts_timestamp_seconds 1
eventsinks_waiting_deliveries{{obstacle="none"}} 7
eventsinks_destinations{{face="event_sink",status="failing"}} 2
eventsinks_stream_behind_seconds{{type="s3"}} 700
eventsinks_log_held_seconds 400
eventsinks_intake_slowed_total {seconds}
eventsinks_refused_total{{limit="alerts_per_s"}} {seconds}
eventsinks_front_refused_total{{reason="threads"}} {many}
eventsinks_first_try_seconds_bucket{{type="webhook",le="60.0"}} 0
eventsinks_first_try_seconds_bucket{{type="webhook",le="300.0"}} {seconds}
eventsinks_first_try_seconds_bucket{{type="webhook",le="+Inf"}} {seconds}
"""
GOOD = """
eventsinks_unaccounted 0
eventsinks_facts_timestamp_seconds {now}
eventsinks_waiting_deliveries{{obstacle="none"}} 7
eventsinks_waiting_deliveries{{obstacle="paused"}} 7000
eventsinks_attempts_total{{type="webhook",outcome="delivered"}} {seconds}
eventsinks_destinations{{face="event_sink",status="failing"}} 0
eventsinks_destinations{{face="event_sink",status="paused"}} 2
eventsinks_stream_behind_seconds{{type="s3"}} 5
eventsinks_log_held_seconds 0.1
eventsinks_intake_slowed_total 12
eventsinks_refused_total{{limit="alerts_per_s"}} 12
eventsinks_front_refused_total{{reason="threads"}} 12
eventsinks_first_try_seconds_bucket{{type="webhook",le="60.0"}} {seconds}
eventsinks_first_try_seconds_bucket{{type="webhook",le="+Inf"}} {seconds}
"""


def exported():
    """Return the names of all series that the product may export."""
    names = set()
    for family in [*REGISTRY.collect(), *FACTS.collect()]:
        names |= {sample.name for sample in family.samples} | {family.name}
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [])
        names |= {family.name + suffix for suffix in suffixes}
    return names


@pytest.mark.guarantee("O6")
def test_rules_and_dashboard_ask_for_metrics_that_exist():
    assert len(METERS) == 3
    asked = set(NAME.findall(" ".join(ASKED)))
    assert len(asked) > 20
    assert asked <= exported()


@pytest.mark.guarantee("O6")
def test_the_dashboard_shows_every_metric_of_ours():
    ours = {
        family.name for family in [*REGISTRY.collect(), *FACTS.collect()] if family.name.startswith("eventsinks")
    }
    shown = " ".join(ASKED)
    assert {name for name in ours if name not in shown} == {"eventsinks_over_budget"}


@pytest.mark.guarantee("O1")
def test_no_label_names_a_tenant_a_sink_or_an_event():
    labels = {
        label
        for family in [*REGISTRY.collect(), *FACTS.collect()]
        for one in family.samples
        for label in one.labels
    }
    assert not labels & {"tenant", "destination", "sink", "integration", "id", "event", "delivery"}


def test_every_alert_says_what_to_do():
    for rule in ALERTS:
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"].endswith(".")
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.guarantee("O6")
@needs_prometheus
def test_promtool_finds_no_fault_in_the_rules():
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout + done.stderr


@contextlib.contextmanager
def prometheus(folder, targets):
    """Run Prometheus with our rules, which do not wait, over jobs by name; yield what lists the firing alerts."""
    rules = re.sub(r"for: \d+m", "for: 1s", RULES.read_text())
    (folder / "rules.yml").write_text(rules)
    jobs = [{"job_name": name, "static_configs": [{"targets": [place]}]} for name, place in targets.items()]
    often = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config = {"global": often, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    place = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([*command, f"--web.listen-address={place}"], stdout=said, stderr=said)

    def firing():
        with contextlib.suppress(requests.ConnectionError, ValueError):  # it is starting
            found = requests.get(f"http://{place}/api/v1/rules", timeout=5).json()["data"]["groups"]
            rules = [rule for group in found for rule in group["rules"]]
            return {rule["name"]: rule["state"] for rule in rules if rule.get("lastEvaluation", "0") > "1"}
        return {}

    try:
        yield firing
    finally:
        process.terminate()
        process.wait(30)


def stand_in(httpserver, page):
    """Answer as a process would; return its place. What only grows grows with each second."""
    began = time.monotonic() - 10

    def answer(_):
        passed = time.monotonic() - began
        text = page.format(now=time.time(), seconds=passed, many=passed * 1000)
        return Response(text, mimetype="text/plain")

    httpserver.expect_request("/metrics").respond_with_handler(answer)
    return f"127.0.0.1:{httpserver.port}"


@pytest.mark.guarantee("O6")
@needs_prometheus
def test_every_alert_fires_in_a_real_prometheus_when_its_trouble_is_there(tmp_path, httpserver):
    targets = {"eventsinks": stand_in(httpserver, BAD), "eventsinks-worker": f"127.0.0.1:{free_port()}"}
    with prometheus(tmp_path, targets) as states:
        names = {rule["alert"] for rule in ALERTS}
        until(lambda: {name for name, state in states().items() if state == "firing"} == names, 30)
        assert {name for name, state in states().items() if state != "firing"} == set()
        assert states().keys() == names


@pytest.mark.guarantee("O6")
@needs_prometheus
def test_no_alert_fires_while_all_is_well(tmp_path, httpserver):
    with prometheus(tmp_path, {"eventsinks": stand_in(httpserver, GOOD)}) as states:
        well = {rule["alert"]: "inactive" for rule in ALERTS}
        assert until(lambda: states() == well, 20), states()
        seen = len(httpserver.log)
        assert until(lambda: len(httpserver.log) > seen + 3, 20)
        assert states() == well
