//! `sigchain status --metrics`: the same in the text form that Prometheus reads, under the names that a ledger's own metrics have.

use std::fmt::{Display, Write as _};

use sigchain::key::Role;

use crate::ledger::status::{Anchored, Status};

/// Metrics, in their order.
struct Metrics {
    text: String,
    chain: String,
}

impl Metrics {
    /// One of which there is one.
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name}{{chain=\"{}\"}} {value}", self.chain);
    }

    fn head(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn labelled(&mut self, name: &str, label: &str, of: &str, value: impl Display) {
        let (chain, of) = (&self.chain, escaped(of));
        let _ = writeln!(self.text, "{name}{{chain=\"{chain}\",{label}=\"{of}\"}} {value}");
    }
}

/// A label's value. What is not printable has no place in it; a chain's name has nothing of that kind.
fn escaped(value: &str) -> String {
    let printable = sigchain::text::printable(value);
    printable.replace('\\', "\\\\").replace('"', "\\\"")
}

pub(super) fn render(status: &Status) -> String {
    let directory = &status.directory;
    let size = directory.entries();
    let mut m = Metrics { text: String::new(), chain: directory.chain_id().to_string() };
    m.head("audit_info", "Which chain this is.");
    m.labelled("audit_info", "name", &status.enrolled.name, 1);
    let is_behind = matches!(status.anchored, Anchored::At(anchored) if anchored > size);
    let is_ok = !status.is_quarantined() && !is_behind;
    m.gauge(
        "audit_chain_ok",
        "0 if the ledger is quarantined or ends before what is anchored. Nothing was verified.",
        u8::from(is_ok),
    );
    m.gauge("audit_entries", "Entries that are durable.", size);
    m.gauge(
        "audit_quarantined",
        "1 if the ledger is quarantined.",
        u8::from(status.is_quarantined()),
    );
    let is_known = !matches!(status.anchored, Anchored::Unknown(_));
    m.gauge(
        "audit_anchor_ok",
        "0 if what this machine has anchored cannot be read.",
        u8::from(is_known),
    );
    if let Some(exposed) = status.exposed() {
        let help = "Entries beyond the last anchor of this machine.";
        m.gauge("audit_exposed_entries", help, exposed);
    }
    if let Some(head) = &status.head {
        let help = "When the last entry was recorded, since 1970.";
        let micros = head.fields.system_time.micros();
        let seconds = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        m.gauge("audit_head_timestamp_seconds", help, seconds);
    }
    let bytes: u64 = status.segments.iter().map(|(_, bytes, _)| *bytes).sum();
    m.gauge("audit_segments", "Files of the ledger.", status.segments.len());
    m.gauge("audit_segment_bytes", "Bytes in them that belong to the chain.", bytes);
    m.gauge(
        "audit_operators",
        "Operators, who alone can revoke a key.",
        status.enrolled.operators.len(),
    );
    m.head("audit_keys_at_hand", "Active keys of the chain that this user has, by role.");
    for role in [Role::Entry, Role::Checkpoint] {
        let active = status.enrolled.active(role);
        let at_hand = active.filter(|id| status.custody.of(*id).is_at_hand()).count();
        m.labelled("audit_keys_at_hand", "role", role.name(), at_hand);
    }
    if let Some(actions) = &status.actions {
        let help = "Actions that were begun and have no outcome.";
        m.gauge("audit_open_actions", help, actions.len());
    }
    m.text
}
