//! spec/deploying.md and the files in examples/deploy: every command there is run as it stands there, the unit's too.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::disk::campaign::leave_out;
use crate::ledger::support::{Lines, Place, empty, text};

const DEPLOYING: &str = include_str!("../../../spec/deploying.md");

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/deploy").join(name)
}

fn bash(place: &Place, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_sigchain")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    place.by("bash").args(["-uc", script]).env("PATH", path).output().unwrap()
}

/// One after the other, as somebody would who reads it from the beginning to the end.
#[test]
fn every_command_of_the_page_does_what_it_says() {
    let place = empty();
    let mut count = 0;
    for line in DEPLOYING.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let (command, wanted) = line.split_once("# exit ").unwrap_or((line, "0"));
        let output = bash(&place, command);
        assert_eq!(output.status.code(), wanted.parse().ok(), "{line}: {}", text(&output));
        if wanted == "5" {
            assert!(text(&output).contains("LEDGER_BEHIND"), "{}", text(&output));
        }
        count += usize::from(command.contains("sigchain "));
    }
    assert!(count >= 15, "{count} commands were found");
}

/// Codes, metrics and files that the page names are there.
#[test]
fn what_the_page_names_is_there() {
    let place = empty();
    for code in DEPLOYING.split('`').filter(|word| word.starts_with("LEDGER_")) {
        place.expect(&["explain", code], 0, &[code]);
    }
    for code in ["FS_PERMISSION", "EXPOSED", "ANCHOR_AHEAD"] {
        assert!(DEPLOYING.contains(code));
        place.expect(&["explain", code], 0, &[code]);
    }
    let source = include_str!("../../../src/ledger/observe.rs");
    let metrics: Vec<_> = DEPLOYING.split('`').filter(|word| word.starts_with("audit_")).collect();
    assert!(metrics.len() > 8);
    for metric in metrics {
        assert!(source.contains(&format!("\"{metric}\"")), "{metric}");
    }
    for found in fs::read_dir(deploy("")).unwrap() {
        let name = found.unwrap().file_name();
        assert!(DEPLOYING.contains(name.to_str().unwrap()), "{}", name.display());
    }
}

/// The unit with its paths in a folder of the test.
fn unit(place: &Place) -> String {
    let unit = fs::read_to_string(deploy("sigchain.service")).unwrap();
    let at = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let unit = unit.replace("/usr/bin/sigchain", env!("CARGO_BIN_EXE_sigchain"));
    unit.replace("/var/lib/sigchain/ledger", &at("led")).replace("%d/", &at(""))
}

fn setting(unit: &str, name: &str) -> String {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let values: Vec<_> = lines.collect();
    assert_eq!(values.len(), 1, "{name}");
    values[0].trim_start_matches('-').to_owned()
}

#[test]
fn systemd_takes_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return leave_out("the systemd units are not verified", "systemd-analyze");
    }
    let place = empty();
    fs::write(place.path("sigchain.service"), unit(&place)).unwrap();
    fs::copy(deploy("sigchain.socket"), place.path("sigchain.socket")).unwrap();
    let mut command = place.by("systemd-analyze");
    let verify = ["verify", "--man=no", "./sigchain.service", "./sigchain.socket"];
    let output = command.args(verify).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output), "", "no warnings");
    // It does notice what is wrong.
    fs::write(place.path("sigchain.service"), unit(&place).replace("Type=exec", "Type=exce"))
        .unwrap();
    let output = place.by("systemd-analyze").args(verify).output().unwrap();
    assert!(text(&output).contains("exce"), "{}", text(&output));
}

/// What the unit runs takes a key with a passphrase, records what is written to it, and drains when it is told to end.
#[test]
fn the_unit_records_and_drains() {
    let place = empty();
    fs::write(place.path("passphrase"), "of the unit\n").unwrap();
    fs::set_permissions(place.path("passphrase"), fs::Permissions::from_mode(0o400)).unwrap();
    let init = ["init", "led", "--name", "example.org/unit", "--passphrase-file", "passphrase"];
    place.expect(&init, 0, &[]);
    let unit = unit(&place);
    let before = bash(&place, &setting(&unit, "ExecStartPre"));
    assert_eq!(before.status.code(), Some(0), "{}", text(&before));
    let words: Vec<String> =
        setting(&unit, "ExecStart").split_whitespace().map(str::to_owned).collect();
    let mut command = place.by(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut lines = Lines::of(&mut command);
    let line = "{\"type\":\"test.call\",\"actor\":\"agent:a\",\"payload\":1}";
    for _ in 0..20 {
        lines.send(line);
    }
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    lines.signal(setting(&unit, "KillSignal").strip_prefix("SIG").unwrap());
    let rest = lines.outcomes();
    assert!(rest.iter().all(|outcome| outcome["ok"] == true), "{rest:?}");
    assert_eq!(lines.end().code(), Some(0));
    place.expect(&["verify", "led"], 0, &["intact"]);
    let status = place.status();
    let size = u64::try_from(rest.len()).unwrap() + 2;
    assert_eq!(status["entries"], size, "told of all that was recorded: {status}");
    // The drain of the program is within the time that the unit gives it.
    let seconds: u64 = setting(&unit, "TimeoutStopSec").parse().unwrap();
    assert!(seconds > 60);
}

#[test]
fn the_other_files_can_be_read_and_stop_before_they_start() {
    let place = empty();
    let check = |module: &str, script: &str| {
        if !bash(&place, &format!("python3 -c 'import {module}'")).status.success() {
            return leave_out(script, &format!("python3 with {module}"));
        }
        let output = place.by("python3").args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", text(&output));
    };
    let path = |name: &str| deploy(name).display().to_string();
    check(
        "yaml",
        &format!(
            "import yaml; s=yaml.safe_load(open('{}'))['spec']; p=s['template']['spec']; c=p['containers'][0]; \
         assert s['replicas']==1 and p['terminationGracePeriodSeconds']>65; \
         assert p['securityContext']['fsGroupChangePolicy']=='OnRootMismatch'; \
         names={{m['name'] for m in c['volumeMounts']}}; \
         assert names=={{v['name'] for v in p['volumes']}}|{{v['metadata']['name'] for v in s['volumeClaimTemplates']}}",
            path("kubernetes.yaml")
        ),
    );
    check(
        "json",
        &format!(
            "import json; s=json.load(open('{}')); d=s['service']['deploymentConfiguration']; \
         assert (d['minimumHealthyPercent'],d['maximumPercent'])==(0,100); t=s['taskDefinition']; c=t['containerDefinitions'][0]; \
         assert 60<c['stopTimeout']<=120; assert {{m['sourceVolume'] for m in c['mountPoints']}}=={{v['name'] for v in t['volumes']}}",
            path("ecs.json")
        ),
    );
    check(
        "tomllib",
        &format!(
            "import tomllib; s=tomllib.load(open('{}','rb')); assert s['kill_signal']=='SIGTERM' and int(s['kill_timeout'][:-1])>60; \
         assert s['http_service']['auto_stop_machines']=='off'",
            path("fly.toml")
        ),
    );
}
