//! The locks, threads and atomics of the ledger, in one place, so that shuttle and loom can put theirs in and choose
//! every schedule themselves.
//!
//! Nothing here poisons: whether the ledger can go on after a panic is for the ledger to say.

#[cfg(not(any(shuttle, loom)))]
mod imp {
    use std::io;
    use std::sync::mpsc::{RecvTimeoutError, sync_channel};
    use std::thread::Builder;
    use std::time::Duration;

    pub(crate) use parking_lot::{Condvar, MutexGuard};
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

    /// A lock.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock()
        }

        /// As `lock`, for locks that are held for a microsecond: to give up the core for that costs several.
        pub(crate) fn lock_soon(&self) -> MutexGuard<'_, T> {
            const SPINS: u32 = 100;
            for _ in 0..SPINS {
                if let Some(guard) = self.0.try_lock() {
                    return guard;
                }
                spin_loop();
            }
            self.0.lock()
        }

        #[expect(
            clippy::unused_self,
            reason = "where time is scheduled the lock is taken again through it"
        )]
        /// Lets go of the lock, waits, takes it again.
        pub(crate) fn wait<'g>(
            &'g self,
            mut guard: MutexGuard<'g, T>,
            changed: &Condvar,
        ) -> MutexGuard<'g, T> {
            changed.wait(&mut guard);
            guard
        }

        #[expect(
            clippy::unused_self,
            reason = "where time is scheduled the lock is taken again through it"
        )]
        /// As `wait`, but comes back after `time` at the latest.
        pub(crate) fn wait_for<'g>(
            &'g self,
            mut guard: MutexGuard<'g, T>,
            changed: &Condvar,
            time: Duration,
        ) -> MutexGuard<'g, T> {
            changed.wait_for(&mut guard, time);
            guard
        }
    }

    /// A thread of the ledger's own. Nobody joins it.
    pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }

    /// Has something done by another thread, and waits for it no longer than `time`; nothing if it is not done by then. A process that
    /// was stopped has not waited: of the parts that the time is cut into that costs one.
    pub(crate) fn within<T: Send + 'static>(
        time: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        const PARTS: u32 = 100;
        let (tell, told) = sync_channel(1);
        spawn("sigchain-asker", move || drop(tell.send(work())))?;
        for _ in 0..PARTS {
            match told.recv_timeout(time / PARTS) {
                Err(RecvTimeoutError::Timeout) => {}
                done => return Ok(done.ok()),
            }
        }
        Ok(None)
    }
}

#[cfg(any(shuttle, loom))]
mod imp {
    use std::io;
    use std::sync::PoisonError;
    use std::time::Duration;

    #[cfg(loom)]
    use loom as scheduler;
    #[cfg(not(loom))]
    use shuttle as scheduler;

    pub(crate) use scheduler::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use scheduler::sync::{Condvar, MutexGuard};
    pub(crate) use scheduler::thread::yield_now as spin_loop;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(scheduler::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(scheduler::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn lock_soon(&self) -> MutexGuard<'_, T> {
            self.lock()
        }

        #[expect(clippy::unused_self, reason = "called as in the other `imp`")]
        pub(crate) fn wait<'g>(
            &'g self,
            guard: MutexGuard<'g, T>,
            changed: &Condvar,
        ) -> MutexGuard<'g, T> {
            changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
        }

        /// No time passes in a schedule: the wait may end at any moment, which is all that its caller may rely on. An hour never
        /// passes: who waits that long waits to be woken, and where nobody does, the schedule must not go on.
        pub(crate) fn wait_for<'g>(
            &'g self,
            guard: MutexGuard<'g, T>,
            changed: &Condvar,
            time: Duration,
        ) -> MutexGuard<'g, T> {
            const NEVER: Duration = Duration::from_secs(3600);
            if time >= NEVER {
                return self.wait(guard, changed);
            }
            drop(guard);
            scheduler::thread::yield_now();
            self.lock()
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "called as in the other `imp`")]
    pub(crate) fn spawn(_: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        scheduler::thread::spawn(work);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "called as in the other `imp`")]
    pub(crate) fn within<T>(_: Duration, work: impl FnOnce() -> T) -> io::Result<Option<T>> {
        Ok(Some(work()))
    }
}

pub(crate) use imp::{
    AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, spawn,
    spin_loop, within,
};
