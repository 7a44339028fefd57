//! How far a verification is: one line on standard error, where that is a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sigchain::digest::Digest;

use crate::out::{entries, grouped};

/// What is over before this needs no line.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known while it goes on; written by those who work, read by the one who shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) entries: Arc<AtomicU64>,
}

/// Shows it until it is dropped, which leaves no trace on the terminal.
pub(super) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// `length` is how many bytes there are, if that is known.
    pub(super) fn begin(counters: &Counters, length: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let counters = counters.clone();
        let (stop, stopped) = mpsc::channel();
        let show = move || {
            let begun = Instant::now();
            let mut shown = 0;
            let mut pause = PATIENCE;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let line = describe(&counters, length, begun.elapsed());
                rewrite(&line, &mut shown);
                pause = PAUSE;
            }
            if shown > 0 {
                rewrite("", &mut shown);
                rewrite("", &mut shown);
            }
        };
        // Without a thread to spare nothing is shown.
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(show);
        Self(thread.ok().map(|thread| (stop, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// Writes over what stood there before. Spaces and no escape sequences: any terminal knows those.
fn rewrite(line: &str, shown: &mut usize) {
    let text = format!("\r{line:<width$}", width = *shown);
    *shown = line.len();
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Short enough for eighty columns: a longer line would be broken, and could not be written over.
fn describe(counters: &Counters, length: Option<u64>, since: Duration) -> String {
    let bytes = counters.bytes.load(Ordering::Relaxed);
    let judged = counters.entries.load(Ordering::Relaxed);
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = judged.saturating_mul(1000).checked_div(millis).unwrap_or(0);
    let mut line = format!("verifying: {}, {}/s, {}", entries(judged), grouped(rate), size(bytes));
    if let Some(length) = length.filter(|length| *length >= bytes && bytes > 0) {
        // Bytes that are read and bytes that are judged differ by what is in flight, which is little.
        let left = (u128::from(length - bytes) * u128::from(millis)) / u128::from(bytes) / 1000;
        // Writing to a String cannot fail.
        let _ = write!(line, " of {}, {} left", size(length), time(left));
    }
    line
}

/// `1.2 GB`.
fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000_u64), ("MB", 1_000_000), ("kB", 1000)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10))
        }
        None => format!("{bytes} B"),
    }
}

fn time(seconds: u128) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

/// Counts what is read, and digests it where that is asked for.
pub(super) struct Counted<R> {
    source: R,
    bytes: Arc<AtomicU64>,
    hasher: Option<Sha256>,
}

impl<R: Read> Counted<R> {
    pub(super) fn new(source: R, counters: &Counters, digests: bool) -> Self {
        let hasher = digests.then(Sha256::new);
        Self { source, bytes: Arc::clone(&counters.bytes), hasher }
    }

    /// Reads what nobody wanted to judge any more, such as what lies behind damage: a digest is of all of it.
    pub(super) fn finish(mut self) -> io::Result<Option<(u64, Digest)>> {
        if self.hasher.is_none() {
            return Ok(None);
        }
        io::copy(&mut self, &mut io::sink())?;
        let digest = self.hasher.map(|hasher| Digest::new(hasher.finalize().into()));
        Ok(digest.map(|digest| (self.bytes.load(Ordering::Relaxed), digest)))
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let (Some(hasher), Some(read)) = (&mut self.hasher, buffer.get(..count)) {
            hasher.update(read);
        }
        self.bytes.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let counters = Counters::default();
        let line = |length, millis| describe(&counters, length, Duration::from_millis(millis));
        assert_eq!(line(Some(10), 0), "verifying: 0 entries, 0/s, 0 B");
        counters.bytes.store(1_250_000_000, Ordering::Relaxed);
        counters.entries.store(3_000_000, Ordering::Relaxed);
        let said = line(Some(5_000_000_000), 10_000);
        assert_eq!(said, "verifying: 3,000,000 entries, 300,000/s, 1.2 GB of 5.0 GB, 30 s left");
        assert!(line(None, 10_000).ends_with("1.2 GB"));
        assert!(line(Some(1), 10_000).ends_with("1.2 GB"), "a file that grew has no end in sight");
        counters.bytes.store(12_345, Ordering::Relaxed);
        assert!(line(Some(1_000_000), 10_000).ends_with("12.3 kB of 1.0 MB, 14 min left"));
    }

    #[test]
    fn a_digest_is_of_all_of_it() {
        let mut counted = Counted::new(&b"abcdef"[..], &Counters::default(), true);
        let mut some = [0; 2];
        counted.read_exact(&mut some).unwrap();
        assert_eq!(counted.finish().unwrap(), Some((6, Digest::of(&[b"abcdef"]))));
    }
}
