//! When `append --lines` and `log --follow` go on, and when they stop: SIGTERM and SIGINT are requests to bring to an end what was begun.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is something to read, or the end.
    Input,
    /// A signal asks for the end, or this process itself.
    Asked,
    /// Nobody is left to hear the outcomes.
    Deaf,
}

/// What asks for the end: signals, as bytes in a pipe, and this process itself, by a pipe that it closes.
#[derive(Debug)]
pub(crate) struct Stop {
    signals: PipeReader,
    own: PipeReader,
    open: Mutex<Option<PipeWriter>>,
}

impl Stop {
    /// From now on the first signal is a request. The second one ends the process there and then, as if it were not caught: on a disk
    /// that hangs there is no other way.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_default(signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
            pipe::register(signal, writer.try_clone()?)?;
        }
        let (own, open) = io::pipe()?;
        Ok(Self { signals: reader, own, open: Mutex::new(Some(open)) })
    }

    /// Asks for the end, as a signal does: whoever waits for a line would wait for ever if the caller waits for the end.
    pub(super) fn ask(&self) {
        // Closing it cannot fail, even where nothing can be written any more.
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Waits for what comes first.
    pub(super) fn wait(&self, input: impl AsFd, output: impl AsFd) -> io::Result<Next> {
        let mut fds = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.own, PollFlags::IN),
            // Nothing is asked of it; that it is broken is always said.
            PollFd::new(&output, PollFlags::empty()),
            PollFd::new(&input, PollFlags::IN),
        ];
        ask(&mut fds, None)?;
        let [signal, own, output, _] = fds.map(|fd| fd.revents());
        Ok(match (signal.is_empty() && own.is_empty(), output.is_empty()) {
            (false, _) => Next::Asked,
            (true, false) => Next::Deaf,
            (true, true) => Next::Input,
        })
    }

    /// Waits so long for a signal, or for nobody to be left who listens. Says whether one of the two came.
    pub(crate) fn comes_within(&self, time: Duration, output: impl AsFd) -> io::Result<bool> {
        let mut fds =
            [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&output, PollFlags::empty())];
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        ask(&mut fds, Some(&time))?;
        Ok(fds.iter().any(|fd| !fd.revents().is_empty()))
    }
}

fn ask(fds: &mut [PollFd<'_>], time: Option<&Timespec>) -> io::Result<()> {
    loop {
        match poll(fds, time) {
            Err(Errno::INTR) => {}
            asked => return Ok(asked.map(drop)?),
        }
    }
}
