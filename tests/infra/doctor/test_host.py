"""launchdb doctor host: what is wrong with a machine is named, with what to do about it."""

from __future__ import annotations

import pytest

from infra.doctor import findings, reach
from infra.doctor.machine import NEEDS
from tests.infra.doctor.conftest import bad

CHECKED_BY_FILES = ("host.os", "host.clock", "host.packages", "host.firewall", "host.ssh", "host.ports")


@pytest.mark.parametrize("name", CHECKED_BY_FILES)
def test_a_sound_machine_has_nothing_wrong(machine, name):
    found = machine.look(name)
    assert found
    assert bad(found) == {}
    assert {one.check for one in found} == {name}


@pytest.mark.parametrize(
    ("processors", "memory_kb", "expected"),
    [(1, 3_500_000, "failure"), (2, 4_000_000, "warning"), (4, 8_100_000, "ok")],
)
def test_size_is_judged_by_the_least_and_by_what_is_recommended(machine, processors, memory_kb, expected):
    machine.write("proc/cpuinfo", "processor : 0\n" * processors)
    machine.write("proc/meminfo", f"MemTotal: {memory_kb} kB\n")
    found = {one.subject: one.status for one in machine.look("host.size")}
    assert found["processors"] == found["GB of memory"] == expected


def test_disk_is_that_of_the_machine_and_too_small_a_one_is_a_failure(machine, monkeypatch):
    monkeypatch.setitem(NEEDS, "GB of disk", (10**9, 10**10))
    assert bad(machine.look("host.size"))["GB of disk"].status == "failure"


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("ubuntu", "20.04", "ok"),
        ("debian", "11", "ok"),
        ("debian", "12", "ok"),
        ("debian", "13", "ok"),
        ("centos", "7", "warning"),
        ("rhel", "9.3", "warning"),
        ("fedora", "40", "warning"),
        ("arch", "", "warning"),
    ],
)
def test_systems_that_nobody_tried_are_untested_and_no_error(machine, name, version, status):
    machine.write("etc/os-release", f'ID={name}\nVERSION_ID="{version}"\n')
    (found,) = machine.look("host.os")
    assert found.status == status
    assert ("untested" in found.evidence) == (status == "warning")


def test_another_time_zone_than_utc_is_named(machine):
    machine.write("etc/timezone", "Europe/Berlin\n")
    assert "Europe/Berlin" in bad(machine.look("host.clock"))["timezone"].evidence
    (machine.root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert "Asia/Tokyo" in bad(machine.look("host.clock"))["timezone"].evidence


@pytest.mark.parametrize(
    ("path", "text", "about"),
    [
        ("etc/ufw/ufw.conf", "ENABLED=no\n", ""),
        ("etc/default/ufw", 'DEFAULT_INPUT_POLICY="ACCEPT"\n', "incoming"),
        ("etc/default/ufw", 'DEFAULT_OUTPUT_POLICY="DROP"\n', "outgoing"),
        ("etc/ufw/user.rules", "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n", "allowed"),
    ],
)
def test_a_firewall_that_is_off_or_too_open_or_too_closed_is_a_failure(machine, path, text, about):
    machine.write(path, text)
    assert bad(machine.look("host.firewall"))[about].status == "failure"


def test_no_firewall_at_all_comes_with_the_commands_that_make_one(machine):
    (machine.root / "etc/ufw/ufw.conf").unlink()
    (found,) = machine.look("host.firewall")
    for words in ("default deny incoming", "allow 22/tcp", "allow 80/tcp", "allow 443/tcp", "ufw enable"):
        assert words in found.remedy


def test_ports_that_nobody_needs_are_a_warning(machine):
    rules = (machine.root / "etc/ufw/user.rules").read_text()
    machine.write("etc/ufw/user.rules", rules + "### tuple ### allow tcp 5432 0.0.0.0/0 any 0.0.0.0/0 in\n")
    assert "5432" in bad(machine.look("host.firewall"))["more"].evidence


def test_ssh_with_passwords_is_a_failure_and_an_included_file_goes_first(machine):
    (machine.root / "etc/ssh/sshd_config.d/50-keys.conf").unlink()
    assert bad(machine.look("host.ssh"))["passwords"].status == "failure"
    machine.write("etc/ssh/sshd_config", "PasswordAuthentication no\nPubkeyAuthentication no\n")
    assert set(bad(machine.look("host.ssh"))) == {"keys"}


@pytest.mark.parametrize(
    ("file", "line", "address"),
    [
        ("tcp", "0: 00000000:1538 00000000:0000 0A", "0.0.0.0:5432"),
        ("tcp", "0: 0700CBCB:1920 00000000:0000 0A", "203.203.0.7:6432"),
        ("tcp6", f"0: {'0' * 32}:2328 {'0' * 32}:0000 0A", "[::]:9000"),
    ],
)
def test_an_inner_port_that_others_reach_is_a_failure(machine, file, line, address):
    machine.write(f"proc/net/{file}", f"  sl  local_address\n   {line}\n")
    (found,) = bad(machine.look("host.ports")).values()
    assert address in found.evidence
    assert found.status == "failure"


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "shop.localhost", "203.0.113.7", "not a name", "under_score.x"]
)
def test_names_that_no_authority_certifies_are_refused_with_the_reason(machine, name):
    site = machine.site(DOMAIN=name)
    site.resolve = lambda _name: ["203.0.113.7"]
    (found,) = machine.look("domain", site)
    assert found.status == "failure"
    assert any(reason in found.evidence for reason in ("itself", "is an address", "is no name"))


def test_a_domain_leads_here_or_the_remedy_says_how_long_dns_takes(machine):
    site = machine.site(DOMAIN="api.example.org")
    for resolved, status in (["203.0.113.7"], "ok"), (["198.51.100.1"], "failure"), ([], "failure"):
        site.resolve = lambda _name, resolved=resolved: resolved
        (found,) = machine.look("domain", site)
        assert found.status == status
        if status == "failure":
            assert "24 to 48 hours" in found.remedy
            assert "TTL of 300" in found.remedy
            assert "dig +short" in found.remedy


def test_a_root_domain_is_taken_and_a_tunnel_asks_nobody(machine):
    site = machine.site(DOMAIN="example.org")
    site.resolve = lambda _name: ["203.0.113.7"]
    assert machine.look("domain", site)[0].status == "ok"
    assert machine.look("domain", DOMAIN="localhost", LAUNCHDB_TLS="off")[0].status == "info"
    assert machine.look("domain")[0].evidence == "DOMAIN is not set"


def test_a_machine_behind_a_router_is_a_warning_not_a_failure(machine):
    machine.write("proc/net/fib_trie", "     |-- 192.168.1.4\n        /32 host LOCAL\n")
    site = machine.site(DOMAIN="api.example.org")
    site.resolve = lambda _name: ["198.51.100.1"]
    assert machine.look("domain", site)[0].status == "warning"


def test_reaching_outside_is_only_done_when_it_is_named_and_is_bounded():
    assert "outbound" not in {one.name for one in findings.select_checks(None, containers=True)}
    assert [one.name for one in findings.select_checks("outbound", containers=True)] == ["outbound"]
    found = reach.can_connect("127.0.0.1", 1, seconds=1)
    assert found.status == "failure"
    assert "port 1 out" in found.remedy


def test_without_docker_its_checks_say_so_and_nothing_else_fails(machine):
    (found,) = machine.look("host.docker")
    assert found.status == "failure"
    assert "Docker is not installed here" in found.evidence


def test_host_names_the_checks_of_the_machine_and_an_embedded_one_has_no_containers_to_check():
    names = {one.name for one in findings.select_checks("host", containers=False)}
    assert {"host.size", "host.os", "host.firewall", "host.docker"} <= names
    embedded = {one.name for one in findings.select_checks(None, containers=False)}
    assert embedded == {"permissions", "secrets.files"}
