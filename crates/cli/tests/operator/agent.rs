//! Signing through a real OpenSSH agent.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::ledger::support::{Place, check, empty, text};
use crate::operator::{EVENT, json};

/// An agent in the place's directory, with three keys. It ends with the test.
struct Agent<'p> {
    place: &'p Place,
    child: Child,
    names: Vec<String>,
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'p> Agent<'p> {
    fn start(place: &'p Place) -> Self {
        let socket = place.path("socket");
        let mut agent = Command::new("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
        let child = agent.spawn().unwrap();
        let started = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(5));
        }
        let mut agent = Self { place, child, names: Vec::new() };
        for name in ["one", "two", "three"] {
            agent.ssh("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name]);
            agent.ssh("ssh-add", &["-q", name]);
            let line = agent.ssh("ssh-keygen", &["-l", "-f", name]);
            agent.names.push(format!("agent:{}", line.split(' ').nth(1).unwrap()));
        }
        agent
    }

    fn ssh(&self, program: &str, args: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.place.dir.path());
        let output = command.env("SSH_AUTH_SOCK", self.place.path("socket")).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.place.command(args);
        command.env("SSH_AUTH_SOCK", self.place.path("socket")).output().unwrap()
    }

    #[track_caller]
    fn expect(&self, args: &[&str], exit: i32, holds: &[&str]) -> String {
        check(args, &self.run(args), exit, holds)
    }
}

fn signed_by<'a>(args: &[&'a str], signers: &[&'a str]) -> Vec<&'a str> {
    let flags = signers.iter().flat_map(|signer| ["--signer", signer]);
    args.iter().copied().chain(flags).collect()
}

#[test]
fn a_ledger_whose_keys_are_with_the_agent() {
    let place = empty();
    let agent = Agent::start(&place);
    let [one, two, three] = [0, 1, 2].map(|at| agent.names[at].as_str());
    let init = ["init", "led", "--name", "example.org/agents"];
    agent.expect(&signed_by(&init, &[one, two, three]), 2, &["at most two"]);
    agent.expect(&signed_by(&init, &["agent:"]), 2, &["3 keys of the agent fit"]);
    agent.expect(&signed_by(&init, &["pkcs11:x"]), 2, &["agent:SHA256:"]);
    let line = agent.run(&signed_by(&init, &[one, two]));
    assert_eq!(line.status.code(), Some(0), "{}", text(&line));
    assert!(!place.path("home/keys").exists(), "no key was written");
    agent.expect(&EVENT, 4, &["KEY_MISSING"]);
    agent.expect(&signed_by(&EVENT, &["agent:"]), 0, &["recorded"]);
    agent.expect(&signed_by(&EVENT, &[two, one]), 0, &["recorded"]);
    agent.expect(&signed_by(&EVENT, &[three]), 4, &["KEY_UNKNOWN", "signs nothing here"]);
    agent.expect(&signed_by(&EVENT, &["agent:SHA256:nobody"]), 4, &["AGENT", "nobody"]);
    // A key for checkpoints alone: nobody signs entries.
    agent.expect(&signed_by(&EVENT, &[two]), 4, &["KEY_MISSING"]);
    place.expect(&signed_by(&EVENT, &["agent:"]), 4, &["AGENT", "SSH_AUTH_SOCK is not set"]);
    let note = agent.run(&signed_by(&["checkpoint", "led"], &[two]));
    fs::write(place.path("held"), &note.stdout).unwrap();
    agent.expect(
        &signed_by(&["export", "led", "-o", "f", "--sign"], &["agent:"]),
        0,
        &["signed by checkpoint key"],
    );
    place.expect(&["verify", "f", "--checkpoint", "held"], 0, &["intact"]);
    // Rotated to a third key of the agent, which goes on; the old one signs its end.
    agent.expect(
        &signed_by(&["key", "rotate", "led", "--new", three], &["agent:"]),
        0,
        &["rotated"],
    );
    agent.expect(&signed_by(&EVENT, &[three, two]), 0, &["recorded"]);
    agent.expect(&signed_by(&EVENT, &[one, two]), 4, &["KEY_UNKNOWN"]);
    agent.expect(&["key", "show", "led"], 0, &["with the agent, SHA256:", "superseded"]);
    agent.expect(&["doctor", "led"], 0, &["with the agent", "healthy"]);
    let shown = json(&place, "key show", &["led"], 0);
    assert!(
        shown["keys"][0]["custody"]["agent"].is_null(),
        "without an agent nothing is known of it"
    );
    // Gone in the middle.
    drop(agent);
    let mut command = place.command(&signed_by(&EVENT, &["agent:"]));
    let output = command.env("SSH_AUTH_SOCK", place.path("socket")).output().unwrap();
    check(&EVENT, &output, 4, &["AGENT", "no agent can be reached"]);
    place.expect(&["verify", "led", "--checkpoint", "held"], 0, &["intact"]);
}

/// An operator whose key is with an agent, on a token say; and a lost key that is replaced by one of the agent.
#[test]
fn operators_and_new_keys_with_the_agent() {
    let place = empty();
    let agent = Agent::start(&place);
    let [one, _, three] = [0, 1, 2].map(|at| agent.names[at].as_str());
    // The public half in the form that init takes.
    let line = fs::read_to_string(place.path("one.pub")).unwrap();
    let blob = sigchain::text::parse_base64(line.split(' ').nth(1).unwrap()).unwrap();
    let public = blob.last_chunk::<32>().unwrap();
    let pem = sigchain::key::PublicKey::from_bytes(public).unwrap().to_pem();
    fs::write(place.path("op.pub"), pem).unwrap();
    place.expect(&["init", "led", "--name", "a.org/x", "--operator", "op.pub"], 0, &[]);
    let shown = json(&place, "key show", &["led"], 0);
    let entry = shown["keys"][0]["id"].as_str().unwrap();
    fs::remove_file(place.path(&format!("home/keys/{entry}.pem"))).unwrap();
    let propose = ["key", "rotate", "led", "--lost", "-o", "prop", "--new", three];
    agent.expect(&propose, 0, &["proposed"]);
    agent.expect(&signed_by(&["key", "approve", "prop", "-o", "appr"], &[one]), 0, &["approved"]);
    let apply = ["key", "rotate", "led", "--approval", "appr"];
    agent.expect(&apply, 4, &["KEY_MISSING", "--signer agent:"]);
    agent.expect(&signed_by(&apply, &[three]), 0, &["rotated"]);
    agent.expect(&signed_by(&EVENT, &[three]), 0, &["recorded"]);
    agent.expect(&["doctor", "led"], 1, &["the agent of this session holds an operator's key"]);
}
