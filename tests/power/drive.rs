//! Explores what crashes leave: runs a workload up to a crash, hands what is left to a check, crashes that too, and so on.
//!
//! What is outside of the machine and survives it, such as what was acknowledged to whom, is a value of the caller's (`K`), which
//! workload and check write down as they go. Both may end with an error once the machine has crashed or a call has failed. On a machine
//! that works they have to succeed. What must hold is asserted: a panic is a failure at any time.

use std::any::Any;
use std::fmt::{self, Write as _};
use std::io;
use std::panic::{self, AssertUnwindSafe};

use rustix::io::Errno;

use crate::power::sim::{Fault, Sim};
use crate::support::Random;

/// Crashes in a row, at most: the first hits the workload, the others checks.
const DEPTH: usize = 3;

/// How many states are made of one crashed workload. The check is often the dearer half.
const CUTS: usize = 4;

/// What to explore.
pub struct Explore<'e> {
    seed: u64,
    states: usize,
    kills: bool,
    errors: bool,
    prepare: Box<dyn Fn(&Sim) + 'e>,
}

/// What was explored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Final states that were checked to the end.
    pub states: usize,
    pub power_cuts: usize,
    pub kills: usize,
    /// Calls that failed as planned, or for want of room.
    pub errors: usize,
    /// States by how many crashes led to them.
    pub by_depth: [usize; DEPTH],
    /// The most operations that a workload has had.
    pub ops: u64,
}

/// A state in which the check failed.
pub struct Failure {
    /// How many states had passed before it.
    pub after: usize,
    what: String,
    story: String,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nafter {} states; it came so:\n{}", self.what, self.after, self.story)
    }
}

/// Explores so many states. Stops the test at the first in which the check fails.
pub fn explore<K: Clone + Default>(
    seed: u64,
    states: usize,
    workload: impl Fn(&Sim, &mut Random, &mut K) -> io::Result<()>,
    check: impl Fn(&Sim, &mut Random, &mut K) -> io::Result<()>,
) -> Explored {
    Explore::new(seed, states).run(workload, check).unwrap()
}

impl<'e> Explore<'e> {
    pub fn new(seed: u64, states: usize) -> Self {
        Self { seed, states, kills: false, errors: false, prepare: Box::new(|_| ()) }
    }

    /// Half of the crashes leave the cache: only the process ends.
    pub fn kills(mut self) -> Self {
        self.kills = true;
        self
    }

    /// Half of all workloads and of the checks before the last meet an error as well, once or from then on.
    pub fn errors(mut self) -> Self {
        self.errors = true;
        self
    }

    /// What is done to each empty disk.
    pub fn prepare(mut self, prepare: impl Fn(&Sim) + 'e) -> Self {
        self.prepare = Box::new(prepare);
        self
    }

    /// Runs it. The same seed gives the same run, as long as workload and check do the same on the same disk.
    pub fn run<K: Clone + Default>(
        &self,
        workload: impl Fn(&Sim, &mut Random, &mut K) -> io::Result<()>,
        check: impl Fn(&Sim, &mut Random, &mut K) -> io::Result<()>,
    ) -> Result<Explored, Failure> {
        let mut random = Random::new(self.seed);
        let mut run = Run { explore: self, explored: Explored::default(), check_ops: 1 };
        while run.explored.states < self.states {
            let sim = Sim::new(random.next());
            (self.prepare)(&sim);
            // The first goes through, to see how long it is.
            if run.explored.states > 0 {
                run.plan(&sim, run.explored.ops, &mut random);
            }
            let mut known = K::default();
            run.attempt(std::slice::from_ref(&sim), || workload(&sim, &mut random, &mut known))?;
            run.explored.ops = run.explored.ops.max(sim.ops());
            for _ in 0..CUTS {
                let mut random = Random::new(random.next());
                run.descend(&sim, &check, &mut random, known.clone())?;
            }
        }
        Ok(run.explored)
    }
}

struct Run<'r, 'e> {
    explore: &'r Explore<'e>,
    explored: Explored,
    /// The most operations that a check has had.
    check_ops: u64,
}

impl Run<'_, '_> {
    /// Crash after crash, up to a check that nothing disturbs.
    fn descend<K>(
        &mut self,
        first: &Sim,
        check: impl Fn(&Sim, &mut Random, &mut K) -> io::Result<()>,
        random: &mut Random,
        mut known: K,
    ) -> Result<(), Failure> {
        let crashes = 1 + random.below(DEPTH);
        let mut sims = vec![first.clone()];
        for left in (0..crashes).rev() {
            let sim = self.end(&sims[sims.len() - 1], random);
            sims.push(sim.clone());
            if left > 0 {
                self.plan(&sim, self.check_ops, random);
            }
            self.attempt(&sims, || check(&sim, random, &mut known))?;
            self.check_ops = self.check_ops.max(sim.ops());
        }
        self.explored.states += 1;
        self.explored.by_depth[crashes - 1] += 1;
        Ok(())
    }

    fn end(&mut self, sim: &Sim, random: &mut Random) -> Sim {
        if self.explore.kills && random.below(2) == 0 {
            self.explored.kills += 1;
            return sim.after_kill();
        }
        self.explored.power_cuts += 1;
        sim.after_power_cut(random.next())
    }

    /// Plans a crash somewhere in the first `ops` operations or right behind them, and perhaps an error.
    fn plan(&mut self, sim: &Sim, ops: u64, random: &mut Random) {
        let fault = match random.below(3) {
            0 => Fault::CrashBefore,
            1 => Fault::CrashAmid(random.below(4096)),
            _ => Fault::CrashAfter,
        };
        sim.plan(random.next() % (ops + 1), false, fault);
        if self.explore.errors && random.below(2) == 0 {
            let errno = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS][random.below(4)];
            let fault = match random.below(4) {
                0 | 1 => Fault::Fail(errno),
                2 => Fault::FailDone(errno),
                _ => Fault::Short(random.below(4096), errno),
            };
            sim.plan(random.next() % ops.max(1), random.below(4) == 0, fault);
        }
    }

    /// Runs a workload or a check on the last of the machines.
    fn attempt(
        &mut self,
        sims: &[Sim],
        run: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Failure> {
        let sim = &sims[sims.len() - 1];
        let what = match panic::catch_unwind(AssertUnwindSafe(run)) {
            Err(cause) => panic_text(&*cause),
            Ok(ended) => {
                let errors = sim.errors();
                self.explored.errors += errors;
                match ended {
                    Err(error) if !sim.has_crashed() && errors == 0 => {
                        format!("failed on a machine that works: {error}")
                    }
                    _ => return Ok(()),
                }
            }
        };
        Err(Failure { after: self.explored.states, what, story: story(sims) })
    }
}

pub fn panic_text(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or(cause.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// All operations that led to a state.
pub fn story(sims: &[Sim]) -> String {
    let mut story = String::new();
    for (i, sim) in sims.iter().enumerate() {
        writeln!(story, "machine {i}, on what the one before has left:").unwrap();
        for step in sim.steps() {
            let (op, path, what) = (step.op, step.path, step.what);
            writeln!(story, "  {op:3} {path}: {what:?}, {:?}", step.outcome).unwrap();
        }
    }
    story
}
