//! What a ledger tells those who listen.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::mirror;
use sigchain::payload::Payload;

const CANARY: &str = "canary-in-a-payload";

fn names(snapshotter: &Snapshotter) -> Vec<(String, DebugValue)> {
    let all = snapshotter.snapshot().into_vec();
    all.into_iter().map(|(key, _, _, value)| (key.key().name().to_owned(), value)).collect()
}

fn check_gauge(values: &[(String, DebugValue)], name: &str, expected: f64) {
    match values.iter().find(|(found, _)| found == name) {
        Some((_, DebugValue::Gauge(value))) => {
            assert!((value.into_inner() - expected).abs() < 1e-9, "{name}: {value}");
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn event() -> Event {
    let payload = Payload::new("text/plain", CANARY).unwrap();
    Event::new("agent:secret-actor", "test.call").unwrap().payload(payload)
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn metrics_and_events_say_what_happened_and_nothing_of_what_was_recorded() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("observed");
    drop(std::fs::remove_dir_all(&path));
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let key = |n: u8| SigningKey::from_seed(&[n; 32]).unwrap();
    let options = || Options::new().files(Files::new().anchors(Vec::new()));
    // For all tests of this program: what the others do is said to it as well, and must not hold the secrets of this one either.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    metrics::with_local_recorder(&recorder, || {
        let genesis = Genesis::new("example.org/observed", key(1)).checkpoints(key(2));
        let ledger = Ledger::create_at(&path, genesis, options()).unwrap();
        for _ in 0..5 {
            ledger.append(event()).unwrap();
        }
        ledger.append_batch(Vec::new()).unwrap_err();
        ledger.close(Duration::from_secs(10)).unwrap();
        drop(ledger);
        let values = names(&snapshotter);
        check_gauge(&values, "audit_entries", 6.0);
        check_gauge(&values, "audit_fsync_ok", 1.0);
        check_gauge(&values, "audit_queue_entries", 0.0);
        let latencies = values.iter().find(|(name, _)| name == "audit_append_latency_seconds");
        let Some((_, DebugValue::Histogram(latencies))) = latencies else { panic!("{values:?}") };
        assert_eq!(latencies.len(), 5);
        assert!(values.iter().any(|(name, _)| name == "audit_refused_total"));
        // Damaged, it is not opened, and both say so.
        let segment = path.join("segment-0000000000");
        let mut bytes = std::fs::read(&segment).unwrap();
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        let signers = Signers::new(key(1), key(2));
        Ledger::open_at(&path, signers, options()).unwrap_err();
        check_gauge(&names(&snapshotter), "audit_chain_ok", 0.0);
    });
    // Of a mirror too, by whose thread it is told.
    let mirror = path.with_extension("mirror");
    drop(std::fs::remove_file(&mirror));
    std::fs::write(&mirror, "in the way").unwrap();
    let other = path.with_extension("mirrored");
    drop(std::fs::remove_dir_all(&other));
    let files = Files::new().anchors(Vec::new()).mirror(&mirror, mirror::Options::new());
    let genesis = Genesis::new("example.org/observed", key(1)).checkpoints(key(2));
    let ledger = Ledger::create_at(&other, genesis, Options::new().files(files)).unwrap();
    ledger.append(event()).unwrap();
    ledger.close(Duration::from_secs(10)).unwrap_err();
    let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("the mirror does not go on"), "{said}");
    assert!(said.contains("closed") && said.contains("not opened"), "{said}");
    for secret in [CANARY, "secret-actor"] {
        assert!(!said.contains(secret), "{said}");
    }
}
