//! When `append --lines` goes on reading, and when it stops: SIGTERM and SIGINT are requests to bring to an end what was begun.

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is something to read, or the end.
    Input,
    /// A signal asks for the end.
    Signal,
    /// Nobody is left to hear the outcomes.
    Deaf,
}

/// Signals, as bytes in a pipe.
#[derive(Debug)]
pub(super) struct Stop(PipeReader);

impl Stop {
    /// From now on the first signal is a request. The second one ends the process there and then, as if it were not caught: on a disk
    /// that hangs there is no other way.
    pub(super) fn on_signals() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_default(signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
            pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self(reader))
    }

    /// Waits for what comes first.
    pub(super) fn wait(&self, input: impl AsFd, output: impl AsFd) -> io::Result<Next> {
        let mut fds = [
            PollFd::new(&self.0, PollFlags::IN),
            // Nothing is asked of it; that it is broken is always said.
            PollFd::new(&output, PollFlags::empty()),
            PollFd::new(&input, PollFlags::IN),
        ];
        loop {
            match poll(&mut fds, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let [signal, output, _] = fds.map(|fd| fd.revents());
        Ok(match (signal.is_empty(), output.is_empty()) {
            (false, _) => Next::Signal,
            (true, false) => Next::Deaf,
            (true, true) => Next::Input,
        })
    }
}
