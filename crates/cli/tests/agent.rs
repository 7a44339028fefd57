//! The agent of `examples/agent.rs`, as a process of its own: what it counts is what its chain says, to both verifiers, to programs and to
//! people; it can be killed, and an episode of it can be run again.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use serde_json::Value;
use sigchain::action::{Recording, RerunError};
use sigchain::context::Context;
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Genesis, Ledger};
use sigchain::payload::Payload;
use sigchain::point::Point;
use sigchain::replay::{ChainFile, replay};
use sigchain::verify::Verifier;

use crate::ledger::support::{Place, check, empty};
use crate::support::campaign;

#[path = "../../../examples/agent.rs"]
#[expect(dead_code, reason = "its own main is not called")]
mod clerk;

/// The arguments of a clerk, which is this binary with nothing else to do.
const CLERK: &str = "SIGCHAIN_TEST_CLERK";

#[test]
fn process() {
    let Ok(arguments) = env::var(CLERK) else { return };
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    process::exit(clerk::run(&arguments).into());
}

fn start(place: &Place, episodes: usize) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "agent::process", "--nocapture"]).current_dir(place.dir.path());
    command.env(CLERK, format!("led {episodes} 3")).stdout(Stdio::piped()).spawn().unwrap()
}

/// What a clerk said that came to its end: its table, and all of it.
fn finish(child: Child) -> (BTreeMap<String, u64>, String) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // That includes that an episode could be served from its record.
    assert_eq!(output.status.code(), Some(0), "{said}");
    let rows = said.lines().filter_map(|line| {
        let (what, how_many) = line.rsplit_once("  ")?;
        Some((what.trim().to_owned(), how_many.trim().parse().ok()?))
    });
    (rows.collect(), said)
}

/// The chain as a file, intact to both verifiers, and what it comes to.
fn judged(place: &Place, name: &str) -> Context {
    place.expect(&["export", "led", "-o", name], 0, &[]);
    let chain_id = place.status()["chain_id"].as_str().unwrap().to_owned();
    place.expect(&["verify", name, "--chain-id", &chain_id], 0, &["intact: "]);
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/verifier/verify.py");
    let args = [other, name, "--chain-id", &chain_id];
    check(&args, &place.by("python3").args(args).output().unwrap(), 0, &[]);
    fold(place, name, &Point::Head)
}

fn fold(place: &Place, name: &str, point: &Point) -> Context {
    let mut file = ChainFile::new(Verifier::new(), File::open(place.path(name)).unwrap()).unwrap();
    replay(&mut file, point, Context::default()).unwrap().state
}

/// The rows of the table, as a chain says them.
fn rows(context: &Context) -> BTreeMap<String, u64> {
    let Context { actions, episodes, reviews, .. } = context;
    let rows = [
        ("episodes completed", episodes.completed),
        ("episodes cancelled", episodes.cancelled),
        ("episodes failed", episodes.failed),
        ("reviews approved", reviews.approved),
        ("reviews vetoed", reviews.vetoed),
        ("reviews expired", reviews.expired),
        ("actions", actions.begun),
        ("entries", context.entries),
    ];
    rows.into_iter().map(|(what, how_many)| (what.to_owned(), how_many)).collect()
}

/// Nothing is in the chain that nobody could follow.
fn is_sound(context: &Context) {
    assert_eq!(context.unreadable, sigchain::context::Unreadable::default());
    assert_eq!((context.actions.unexpected, context.reviews.unexpected), (0, 0));
    assert_eq!((context.episodes.unexpected, context.episodes.unclear), (0, 0));
}

/// The table of one run is the difference that it made to the chain; the run again is one entry more.
fn agrees(table: &BTreeMap<String, u64>, before: &Context, after: &Context) {
    let (before, mut rows) = (rows(before), rows(after));
    for (what, how_many) in &mut rows {
        *how_many -= before[what];
    }
    *rows.get_mut("entries").unwrap() -= 1;
    let mut table = table.clone();
    assert!(table.remove("entries a second").unwrap() > 0);
    assert_eq!(table, rows);
}

#[test]
fn an_agent_and_its_chain_say_the_same() {
    let place = empty();
    let episodes = campaign::rounds(20, 1000);
    let (table, said) = finish(start(&place, episodes));
    assert_eq!(table.len(), 9, "{said}");
    let context = judged(&place, "led.sigchain");
    is_sound(&context);
    assert!(context.episodes.open.is_empty() && context.actions.open.is_empty(), "{said}");
    let mut nothing = Context::default();
    // The first entry is the chain's own.
    nothing.entries = 1;
    agrees(&table, &nothing, &context);
    assert!(said.contains("run-1 again from its record: ") && said.contains(" served, 0 entries"));
    reads_well(&place);
    is_served(&place);
}

#[test]
fn a_killed_agent_goes_on() {
    let place = empty();
    let mut child = start(&place, 1_000_000);
    let began = Instant::now();
    let has_begun = |place: &Place| {
        let output = place.run(&["episode", "led", "run-9"]);
        output.status.success()
    };
    while !has_begun(&place) {
        assert!(began.elapsed() < Duration::from_secs(60), "no ninth episode");
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None);
    // Readers see what is known to be durable; what else was written is found when it is opened.
    let killed = judged(&place, "killed.sigchain");
    let (table, said) = finish(start(&place, 10));
    let after = judged(&place, "after.sigchain");
    let at = after.entries - table["entries"] - 2;
    let before = fold(&place, "after.sigchain", &Point::Sequence(at));
    assert!(before.entries >= killed.entries);
    let open = before.episodes.open.len();
    assert!(open > 0 && open <= 8, "{open}");
    let expected = format!(
        "the last run was killed: {open} episodes, {} actions and {} reviews",
        before.actions.open.len(),
        before.reviews.open.len()
    );
    assert!(said.contains(&expected), "{expected}: {said}");
    is_sound(&after);
    agrees(&table, &before, &after);
    assert!(after.episodes.open.is_empty() && after.reviews.open.is_empty(), "{said}");
    // What came of them nobody knows, and nobody says.
    assert_eq!(after.actions.open, before.actions.open);
    for action in after.actions.open.values() {
        assert!(said.contains(&format!("  entry {}, ", action.begun.sequence)), "{said}");
    }
}

/// Each entry has words, in the transcript and in the tree.
fn reads_well(place: &Place) {
    let list: Value = json(place, &["episode", "led", "--json"]);
    let mut types = BTreeMap::new();
    for episode in list["episodes"].as_array().unwrap().iter().take(40) {
        let id = episode["episode_id"].as_str().unwrap();
        let read = json(place, &["episode", "led", id, "--json"]);
        assert_eq!(read["open"], serde_json::json!([]), "{id}");
        for entry in read["entries"].as_array().unwrap() {
            let [kind, said] = ["event_type", "text"].map(|name| entry[name].as_str().unwrap());
            assert!(said != kind && !said.contains("(not shown)"), "{id}: {entry}");
            assert!(!said.contains("::") && !said.contains("{\"actor\""), "{id}: {said}");
            *types.entry(kind.to_owned()).or_insert(0) += 1;
        }
    }
    let missing = ["tool.error", "review.approve", "review.request", "llm.response"];
    let missing: Vec<_> = missing.into_iter().filter(|kind| !types.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?} of {types:?}");
    let said = place.expect(&["episode", "led", "run-1"], 0, &["asks model clerk-1", "ends, "]);
    assert!(!said.contains("{\"actor\"") && !said.contains("commitment"), "{said}");
}

fn json(place: &Place, args: &[&str]) -> Value {
    let output = place.run(args);
    assert!(output.status.success(), "{args:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An episode's intents get their outcomes from the file, in their order and no other, and nothing is done.
fn is_served(place: &Place) {
    let recording = || {
        let file = File::open(place.path("led.sigchain")).unwrap();
        let mut file = ChainFile::new(Verifier::new(), file).unwrap();
        replay(&mut file, &Point::Head, Recording::new("run-2")).unwrap().state
    };
    let read = json(place, &["episode", "led", "run-2", "--json"]);
    // What was done within an action is served with that.
    let is_own = |entry: &&Value| {
        let kind = entry["event_type"].as_str().unwrap();
        let is_intent = ["llm.request", "tool.call", "retrieval.request"].contains(&kind);
        is_intent && entry["actor"] == "agent:clerk"
    };
    let entries = read["entries"].as_array().unwrap();
    let intents: Vec<Event> = entries.iter().filter(is_own).map(event).collect();
    let genesis = Genesis::new("example.org/again", SigningKey::generate().unwrap());
    let ledger = Ledger::in_memory(genesis).unwrap();
    let whole = recording();
    for intent in &intents {
        let served = ledger.action(intent.clone()).replay(&whole);
        assert!(matches!(served, Ok(_) | Err(RerunError::Failed { .. })), "{served:?}");
    }
    assert_eq!(usize::try_from(whole.served()).unwrap(), intents.len());
    let past = ledger.action(intents[0].clone()).replay(&whole);
    assert!(matches!(past, Err(RerunError::Differs(_))), "{past:?}");
    let other = recording();
    let early = ledger.action(intents[1].clone()).replay(&other);
    assert!(matches!(early, Err(RerunError::Differs(_))), "{early:?}");
    assert_eq!((ledger.head().sequence, other.served()), (0, 0));
}

fn event(entry: &Value) -> Event {
    let text = |name: &str| entry[name].as_str().unwrap();
    let payload = Payload::new("application/json", entry["payload"].to_string()).unwrap();
    Event::new(text("actor"), text("event_type")).unwrap().payload(payload)
}
