//! What the ledger does, as metrics and events for whoever listens. No payload, no secret, no name of anybody in either.
//!
//! | metric | |
//! |---|---|
//! | `audit_append_latency_seconds` | from an entry's place in the chain to its being durable |
//! | `audit_commit_seconds` | one write and its sync |
//! | `audit_batch_entries` | entries of one commit |
//! | `audit_queue_entries` | entries on their way after a commit |
//! | `audit_entries` | entries that are durable |
//! | `audit_fsync_ok` | 1 if the last write and sync succeeded, else 0 |
//! | `audit_chain_ok` | 1 while appends are taken; 0 once the ledger has failed, or was not opened because of what is wrong with it |
//! | `audit_exposed_entries` | entries that are durable and not at every anchor yet; all of them where there are no anchors |
//! | `audit_anchor_ok` | 1 if the last attempt to anchor succeeded, else 0 |
//! | `audit_mirror_entries` | entries that are in the mirror |
//! | `audit_mirror_ok` | 1 if the last attempt to write to the mirror succeeded, else 0 |
//! | `audit_clock_deviation_seconds` | of the clock, when an anomaly began or ended |
//! | `audit_room_ok` | 1 once there is room again; 0 while appends are refused because the disk is full |
//! | `audit_scrub_entries` | entries that the running pass of the scrub has verified |
//! | `audit_scrub_bytes` | bytes that it has read |
//! | `audit_scrub_unreadable` | segments of which the disk did not give something, in the last pass |
//! | `audit_refused_total` | events that were refused, by code |

#[cfg(feature = "observe")]
mod imp {
    use std::time::Duration;

    use metrics::{counter, gauge, histogram};
    use tracing::{error, info, warn};

    use crate::clock::Mark;
    use crate::mirror::Progress;

    fn float(count: u64) -> f64 {
        // Beyond 2^32 nobody counts entries one by one in a graph.
        let (high, low) = (count >> 32, count & 0xffff_ffff);
        let part = |n: u64| u32::try_from(n).map_or(f64::INFINITY, f64::from);
        part(high).mul_add(4_294_967_296.0, part(low))
    }

    pub(in crate::ledger) fn append(nanos: u64) {
        histogram!("audit_append_latency_seconds").record(Duration::from_nanos(nanos));
    }

    pub(in crate::ledger) fn commit(entries: usize, took: Duration, failure: Option<&str>) {
        gauge!("audit_fsync_ok").set(if failure.is_none() { 1.0 } else { 0.0 });
        histogram!("audit_commit_seconds").record(took);
        histogram!("audit_batch_entries").record(float(crate::codec::len_u64(entries)));
        if let Some(what) = failure {
            error!(entries, what, "a write failed");
        }
    }

    pub(in crate::ledger) fn durable(size: u64, queue: usize, exposed: u64) {
        gauge!("audit_entries").set(float(size));
        gauge!("audit_queue_entries").set(float(crate::codec::len_u64(queue)));
        gauge!("audit_exposed_entries").set(float(exposed));
    }

    pub(in crate::ledger) fn opened(size: u64, tail: &str, decision: &str) {
        gauge!("audit_chain_ok").set(1.0);
        info!(size, tail, decision, "opened");
    }

    pub(in crate::ledger) fn stopped(code: &'static str, what: &str) {
        gauge!("audit_chain_ok").set(0.0);
        error!(code, what, "not opened");
    }

    pub(in crate::ledger) fn scrubbed(entries: u64, bytes: u64) {
        gauge!("audit_scrub_entries").set(float(entries));
        gauge!("audit_scrub_bytes").set(float(bytes));
    }

    pub(in crate::ledger) fn scrub_ended(entries: u64, unreadable: u64) {
        gauge!("audit_scrub_unreadable").set(float(unreadable));
        info!(entries, unreadable, "scrubbed");
    }

    pub(in crate::ledger) fn unreadable(segment: u64, what: &str) {
        error!(segment, what, "the disk does not give what a segment holds");
    }

    pub(in crate::ledger) fn failed(what: &str) {
        gauge!("audit_chain_ok").set(0.0);
        error!(what, "the ledger refuses from now on");
    }

    pub(in crate::ledger) fn closed(size: u64) {
        info!(size, "closed");
    }

    pub(in crate::ledger) fn anchored(size: u64, exposed: u64) {
        gauge!("audit_anchor_ok").set(1.0);
        gauge!("audit_exposed_entries").set(float(exposed));
        tracing::debug!(size, "anchored");
    }

    pub(in crate::ledger) fn not_anchored(what: &str) {
        gauge!("audit_anchor_ok").set(0.0);
        warn!(what, "not anchored");
    }

    pub(in crate::ledger) fn mirrored(before: &Progress, now: &Progress) {
        gauge!("audit_mirror_entries").set(float(now.next));
        gauge!("audit_mirror_ok").set(if now.trouble.is_none() { 1.0 } else { 0.0 });
        if let Some(what) = now.trouble.as_ref().filter(|_| now.trouble != before.trouble) {
            warn!(entries = now.next, what, "the mirror does not go on");
        }
        if let Some(what) = now.set_aside.as_ref().filter(|_| now.set_aside != before.set_aside) {
            warn!(entries = now.next, what, "a file of the mirror was set aside");
        }
    }

    pub(in crate::ledger) fn not_remembered(what: &str) {
        warn!(what, "no anchor could note where the ledger is");
    }

    pub(in crate::ledger) fn unsealed() {
        gauge!("audit_anchor_ok").set(0.0);
        warn!("nobody signs checkpoints: nothing is sealed or anchored");
    }

    pub(in crate::ledger) fn not_tended(what: &str) {
        warn!(what, "indexes could not be made: look-ups are slow");
    }

    pub(in crate::ledger) fn no_snapshot(what: &str) {
        warn!(what, "a snapshot could not be made: a replay reads more");
    }

    pub(in crate::ledger) fn snapshot_ignored(sequence: u64, why: &str) {
        tracing::debug!(sequence, why, "a snapshot is not used");
    }

    pub(in crate::ledger) fn not_sealed(what: &str) {
        warn!(what, "a segment that is full could not be sealed, and grows");
    }

    pub(in crate::ledger) fn clock(mark: &Mark) {
        let micros = i32::try_from(mark.deviation / 1000).map_or(f64::MAX, f64::from) / 1000.0;
        gauge!("audit_clock_deviation_seconds").set(micros);
        warn!(anomaly = mark.anomaly.name(), event = mark.event_type(), "the clock");
    }

    pub(in crate::ledger) fn room(is_there: bool) {
        gauge!("audit_room_ok").set(if is_there { 1.0 } else { 0.0 });
    }

    pub(in crate::ledger) fn refused(code: &'static str) {
        counter!("audit_refused_total", "code" => code).increment(1);
    }
}

#[cfg(not(feature = "observe"))]
mod imp {
    use std::time::Duration;

    use crate::clock::Mark;
    use crate::mirror::Progress;

    pub(in crate::ledger) const fn append(_: u64) {}
    pub(in crate::ledger) const fn commit(_: usize, _: Duration, _: Option<&str>) {}
    pub(in crate::ledger) const fn durable(_: u64, _: usize, _: u64) {}
    pub(in crate::ledger) const fn opened(_: u64, _: &str, _: &str) {}
    pub(in crate::ledger) const fn stopped(_: &'static str, _: &str) {}
    pub(in crate::ledger) const fn scrubbed(_: u64, _: u64) {}
    pub(in crate::ledger) const fn scrub_ended(_: u64, _: u64) {}
    pub(in crate::ledger) const fn unreadable(_: u64, _: &str) {}
    pub(in crate::ledger) const fn failed(_: &str) {}
    pub(in crate::ledger) const fn closed(_: u64) {}
    pub(in crate::ledger) const fn anchored(_: u64, _: u64) {}
    pub(in crate::ledger) const fn not_anchored(_: &str) {}
    pub(in crate::ledger) const fn mirrored(_: &Progress, _: &Progress) {}
    pub(in crate::ledger) const fn not_remembered(_: &str) {}
    pub(in crate::ledger) const fn unsealed() {}
    pub(in crate::ledger) const fn not_tended(_: &str) {}
    pub(in crate::ledger) const fn no_snapshot(_: &str) {}
    pub(in crate::ledger) const fn snapshot_ignored(_: u64, _: &str) {}
    pub(in crate::ledger) const fn not_sealed(_: &str) {}
    pub(in crate::ledger) const fn clock(_: &Mark) {}
    pub(in crate::ledger) const fn room(_: bool) {}
    pub(in crate::ledger) const fn refused(_: &'static str) {}
}

pub(super) use imp::{
    anchored, append, clock, closed, commit, durable, failed, mirrored, no_snapshot, not_anchored,
    not_remembered, not_sealed, not_tended, opened, refused, room, scrub_ended, scrubbed,
    snapshot_ignored, stopped, unreadable, unsealed,
};
