//! An application that knows nothing of ledgers, and is recorded by what it says to `tracing`; the same is written for people.
//!
//! `cargo run --features tracing-layer --example tracing`
#![expect(clippy::print_stdout, reason = "an example is read")]

use std::error::Error;
use std::time::Duration;

use sigchain::key::SigningKey;
use sigchain::ledger::{Genesis, Ledger};
use tracing::{info, info_span, subscriber};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;

/// An agent that asks a model and calls a tool, with the fields of OpenTelemetry's conventions.
fn agent() {
    let run = info_span!("run", sigchain.episode = "run-7");
    let _in_run = run.enter();
    let chat = info_span!(
        "chat",
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "example",
        gen_ai.request.model = "m-1",
        gen_ai.usage.input_tokens = tracing::field::Empty,
        gen_ai.usage.output_tokens = tracing::field::Empty,
    );
    chat.in_scope(|| info!("the model is asked"));
    chat.record("gen_ai.usage.input_tokens", 12_u64);
    chat.record("gen_ai.usage.output_tokens", 34_u64);
    drop(chat);
    let tool = info_span!(
        "execute_tool",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = "search",
        gen_ai.tool.call.arguments = r#"{"query":"tides"}"#,
    );
    tool.in_scope(|| info!(sigchain = "note.made", text = "three pages", "found"));
}

fn main() -> Result<(), Box<dyn Error>> {
    let genesis = Genesis::new("example.org/agents", SigningKey::generate()?);
    let ledger = Ledger::in_memory(genesis)?;
    let (observer, keeper) = sigchain::layer::observe(&ledger, "agent:planner")?;
    let registry = tracing_subscriber::registry();
    subscriber::set_global_default(registry.with(observer).with(fmt::layer().without_time()))?;
    agent();
    if !keeper.flush(Duration::from_secs(10)) {
        return Err("not all of it is recorded yet".into());
    }
    for at in 0..=ledger.head().sequence {
        let Some(entry) = ledger.entry(at)? else { break };
        let fields = &entry.fields;
        let cause = fields.causation_id.map(|id| format!(", caused by {id}")).unwrap_or_default();
        println!("entry {at}: {} {}{cause}", fields.event_id, fields.event_type);
    }
    println!("{} missed", keeper.missed());
    Ok(())
}
