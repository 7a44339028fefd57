//! A disk in memory that honours a sync, and promises nothing else.
//!
//! The process sees all that it wrote, as in a page cache. A power cut leaves what was synced; of every write and every change of a
//! name since then it leaves any part, in any order, whatever else was synced meanwhile (`content`, `names`). A sync that failed is
//! reported once. What it lost reads well until the power cut, is not made durable by another sync, and not by writing it again.
//!
//! Everything follows from the seeds and the order of calls.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;
use sigchain::disk::{File, Folder};

use crate::power::content::Content;
use crate::power::names::{Map, Names};
use crate::support::Random;

/// No file is longer: a write far behind the end must not take the machine's memory.
const LEN_MAX: usize = 1 << 32;

/// One incarnation of a machine: the disk, its cache, and the process that holds handles on it. Ends at a crash.
#[derive(Clone)]
pub struct Sim(Arc<Mutex<Machine>>);

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process ends before it.
    CrashBefore,
    /// The process ends with so many bytes of a write in the cache. Before any operation but a write.
    CrashAmid(usize),
    /// The process ends after it, and has not heard of it.
    CrashAfter,
    /// It fails, and is not done. A sync fails as on ext4: what it lost is lost for good.
    Fail(Errno),
    /// It fails, but is done.
    FailDone(Errno),
    /// A write fails after so many bytes. Anything else is not done.
    Short(usize, Errno),
}

/// A call that changes something or makes it durable. These are counted, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Create,
    MakeFolder,
    Write { offset: usize, len: usize },
    Rename { to: String },
    Remove,
    SyncFile,
    SyncFolder,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A sync that was left out, although it reports success.
    LeftOut,
    Failed(io::ErrorKind),
    Crashed,
}

/// One counted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub op: u64,
    /// The folder's path, `.` for the outermost, or the file's.
    pub path: Arc<str>,
    pub what: What,
    pub outcome: Outcome,
}

impl Step {
    pub fn is_sync(&self) -> bool {
        matches!(self.what, What::SyncFile | What::SyncFolder)
    }
}

/// Which syncs are left out.
pub type LeaveOut = Arc<dyn Fn(&Step) -> bool + Send + Sync>;

/// The error of every call once the machine has crashed.
#[derive(Debug)]
struct Crash;

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated machine has crashed: this process is gone")
    }
}

impl std::error::Error for Crash {}

/// Whether an error is that of a crashed machine.
pub fn is_crash(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Crash>()).is_some()
}

struct Machine {
    /// Files and folders by number; the outermost folder is 0. None is ever taken away: a power cut may bring back its name.
    nodes: Vec<Option<Node>>,
    capacity: usize,
    used: usize,
    spills: bool,
    ops: u64,
    plans: Vec<(u64, bool, Fault)>,
    leave_out: Option<LeaveOut>,
    crashed: bool,
    errors: usize,
    steps: Vec<Step>,
    locks: u64,
    random: Random,
}

#[derive(Clone)]
struct Node {
    path: Arc<str>,
    body: Body,
    /// How many hold it open.
    handles: usize,
    has_name: bool,
}

#[derive(Clone)]
enum Body {
    File(Content),
    Folder {
        names: Names,
        /// The handle that holds the lock.
        lock: Option<u64>,
    },
}

/// What is to be done, with what.
#[derive(Clone, Copy)]
enum Call<'c> {
    Create(usize, &'c str),
    MakeFolder(usize, &'c str),
    Write(usize, &'c [u8], usize),
    Rename(usize, &'c str, &'c str),
    Remove(usize, &'c str),
    Sync(usize),
}

impl Sim {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let root = Node::new(".".into(), Body::folder(Names::default()));
        let mut machine = Machine::new(vec![Some(root)], Random::new(seed));
        machine.capacity = 1 << 40;
        Self::of(machine)
    }

    fn of(machine: Machine) -> Self {
        Self(Arc::new(Mutex::new(machine)))
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A handle on the outermost folder, as another process or another open would get it.
    pub fn root(&self) -> Arc<dyn Folder> {
        Arc::new(Handle::new(&mut self.machine(), self, 0, true))
    }

    /// So many bytes fit onto the disk; the first beyond them is refused, and those before it are written.
    pub fn hold(&self, capacity: usize) {
        self.machine().capacity = capacity;
    }

    /// So many more bytes fit onto the disk than are on it.
    pub fn fill(&self, left: usize) {
        let mut machine = self.machine();
        machine.capacity = machine.used.saturating_add(left);
    }

    /// Sectors fail as a whole: garbage takes synced bytes beside it, too.
    pub fn spill(&self) {
        self.machine().spills = true;
    }

    /// What goes wrong at operation `op`, and, if it does for ever, at each one after it.
    pub fn plan(&self, op: u64, for_ever: bool, fault: Fault) {
        self.machine().plans.push((op, for_ever, fault));
    }

    /// Syncs for which this is true report success and are not done, now and in every later incarnation.
    pub fn leave_out(&self, which: impl Fn(&Step) -> bool + Send + Sync + 'static) {
        self.machine().leave_out = Some(Arc::new(which));
    }

    /// How many operations there have been.
    pub fn ops(&self) -> u64 {
        self.machine().ops
    }

    pub fn has_crashed(&self) -> bool {
        self.machine().crashed
    }

    /// How many calls have failed as planned, or for want of room.
    pub fn errors(&self) -> usize {
        self.machine().errors
    }

    /// All operations, in order.
    pub fn steps(&self) -> Vec<Step> {
        self.machine().steps.clone()
    }

    /// The syncs among them.
    pub fn syncs(&self) -> Vec<Step> {
        self.machine().steps.iter().filter(|step| step.is_sync()).cloned().collect()
    }

    /// The disk as a power cut leaves it, on a machine that has just started. This one has crashed, if it had not yet.
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let mut old = self.machine();
        old.crashed = true;
        let mut random = Random::new(seed);
        let mut nodes = vec![None; old.nodes.len()];
        let mut found = vec![0];
        while let Some(number) = found.pop() {
            let node = old.node(number);
            let body = match &node.body {
                Body::File(content) => {
                    Body::File(Content::durable(content.after_cut(&mut random, old.spills)))
                }
                Body::Folder { names, .. } => {
                    let names: Map = names.after_cut(&mut random);
                    found.extend(names.values());
                    Body::folder(Names::durable(names))
                }
            };
            nodes[number] = Some(Node::new(node.path.clone(), body));
        }
        let mut new = Machine::new(nodes, random);
        new.rename_all(0);
        new.inherit(&old);
        Self::of(new)
    }

    /// The same disk after the process was killed: another one finds all that the first had written, in the cache, durable or not.
    pub fn after_kill(&self) -> Self {
        let mut old = self.machine();
        old.crashed = true;
        let mut nodes = old.nodes.clone();
        for node in nodes.iter_mut().flatten() {
            node.handles = 0;
            if let Body::Folder { lock, .. } = &mut node.body {
                *lock = None;
            }
        }
        let mut new = Machine::new(nodes, old.random.clone());
        new.inherit(&old);
        Self::of(new)
    }

    /// Shows the files in the outermost folder: what the medium holds of those whose names are durable, or, `cached`, what the process reads
    /// of those that it finds.
    pub fn show_files(&self, cached: bool, mut show: impl FnMut(&str, &[u8])) {
        let machine = self.machine();
        let names = machine.names(0);
        for (name, node) in if cached { names.live() } else { names.on_medium() } {
            if let Body::File(content) = &machine.node(*node).body {
                show(name, if cached { content.in_cache() } else { content.on_medium() });
            }
        }
    }

    fn act(&self, call: Call<'_>) -> io::Result<usize> {
        self.machine().act(call)
    }

    /// A handle on the node that a call has found or made.
    fn handle(&self, number: usize, writable: bool) -> io::Result<Handle> {
        let mut machine = self.machine();
        machine.check_alive()?;
        Ok(Handle::new(&mut machine, self, number, writable))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.machine();
        write!(f, "Sim({} operations, crashed: {})", machine.ops, machine.crashed)
    }
}

impl Node {
    fn new(path: Arc<str>, body: Body) -> Self {
        Self { path, body, handles: 0, has_name: true }
    }

    fn file(&self) -> io::Result<&Content> {
        match &self.body {
            Body::File(content) => Ok(content),
            Body::Folder { .. } => Err(Errno::ISDIR.into()),
        }
    }
}

impl Body {
    fn folder(names: Names) -> Self {
        Self::Folder { names, lock: None }
    }
}

impl Machine {
    fn new(nodes: Vec<Option<Node>>, random: Random) -> Self {
        Self {
            used: nodes.iter().flatten().map(Self::occupied).sum(),
            nodes,
            capacity: 0,
            spills: false,
            ops: 0,
            plans: Vec::new(),
            leave_out: None,
            crashed: false,
            errors: 0,
            steps: Vec::new(),
            locks: 0,
            random,
        }
    }

    fn inherit(&mut self, old: &Self) {
        self.capacity = old.capacity;
        self.spills = old.spills;
        self.leave_out.clone_from(&old.leave_out);
    }

    /// The bytes that a node takes on the disk.
    fn occupied(node: &Node) -> usize {
        match &node.body {
            Body::File(content) if node.has_name || node.handles > 0 => content.len(),
            _ => 0,
        }
    }

    /// Gives every node the path that it has now.
    fn rename_all(&mut self, number: usize) {
        let live: Vec<_> =
            self.names(number).live().iter().map(|(name, node)| (name.clone(), *node)).collect();
        for (name, node) in live {
            let path = self.path_in(number, &name);
            self.node_mut(node).path = path;
            if matches!(self.node(node).body, Body::Folder { .. }) {
                self.rename_all(node);
            }
        }
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.crashed { Err(crash()) } else { Ok(()) }
    }

    fn node(&self, number: usize) -> &Node {
        self.nodes[number].as_ref().unwrap()
    }

    fn node_mut(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().unwrap()
    }

    fn names(&self, folder: usize) -> &Names {
        match &self.node(folder).body {
            Body::Folder { names, .. } => names,
            Body::File(_) => panic!("handles on folders are made of folders only"),
        }
    }

    fn names_mut(&mut self, folder: usize) -> &mut Names {
        match &mut self.node_mut(folder).body {
            Body::Folder { names, .. } => names,
            Body::File(_) => panic!("handles on folders are made of folders only"),
        }
    }

    fn path_in(&self, folder: usize, name: &str) -> Arc<str> {
        match &*self.node(folder).path {
            "." => name.into(),
            path => format!("{path}/{name}").into(),
        }
    }

    fn find(&self, folder: usize, name: &str) -> io::Result<usize> {
        self.names(folder).get(name).ok_or_else(|| Errno::NOENT.into())
    }

    /// Counts a call, does to it what is planned for it, and records it.
    fn act(&mut self, call: Call<'_>) -> io::Result<usize> {
        self.check_alive()?;
        let op = self.ops;
        self.ops += 1;
        let mut step = self.step(op, call);
        let mut plans = self.plans.iter();
        let plan = plans.find(|(at, for_ever, _)| *at == op || (*for_ever && *at < op));
        let is_write = matches!(call, Call::Write(..));
        let is_left_out =
            step.is_sync() && self.leave_out.as_ref().is_some_and(|which| which(&step));
        let fault = plan.map(|(.., fault)| *fault);
        if let Some(Fault::Fail(_) | Fault::FailDone(_) | Fault::Short(..)) = fault {
            self.errors += 1;
        }
        let done = match fault {
            None if is_left_out => Ok(0),
            None => self.apply(call, None),
            Some(Fault::CrashAmid(count)) if is_write => self.crash(Some((call, Some(count)))),
            Some(Fault::CrashBefore | Fault::CrashAmid(_)) => self.crash(None),
            Some(Fault::CrashAfter) if is_left_out => self.crash(None),
            Some(Fault::CrashAfter) => self.crash(Some((call, None))),
            Some(Fault::FailDone(errno)) => self.apply(call, None).and(Err(errno.into())),
            Some(Fault::Short(count, errno)) if is_write => {
                self.apply(call, Some(count)).and(Err(errno.into()))
            }
            Some(Fault::Fail(errno) | Fault::Short(_, errno)) => {
                self.fail_sync(call);
                Err(errno.into())
            }
        };
        step.outcome = match &done {
            Err(_) if self.crashed => Outcome::Crashed,
            Err(error) => Outcome::Failed(error.kind()),
            Ok(_) if is_left_out => Outcome::LeftOut,
            Ok(_) => Outcome::Done,
        };
        self.steps.push(step);
        done
    }

    fn step(&self, op: u64, call: Call<'_>) -> Step {
        let path = |number| self.node(number).path.clone();
        let (path, what) = match call {
            Call::Create(folder, name) => (self.path_in(folder, name), What::Create),
            Call::MakeFolder(folder, name) => (self.path_in(folder, name), What::MakeFolder),
            Call::Write(file, bytes, offset) => {
                (path(file), What::Write { offset, len: bytes.len() })
            }
            Call::Rename(folder, from, to) => {
                (self.path_in(folder, from), What::Rename { to: to.to_owned() })
            }
            Call::Remove(folder, name) => (self.path_in(folder, name), What::Remove),
            Call::Sync(node) if self.node(node).file().is_ok() => (path(node), What::SyncFile),
            Call::Sync(node) => (path(node), What::SyncFolder),
        };
        Step { op, path, what, outcome: Outcome::Done }
    }

    /// Ends the process, after it has done what is given.
    fn crash(&mut self, last: Option<(Call<'_>, Option<usize>)>) -> io::Result<usize> {
        if let Some((call, part)) = last {
            // Nobody is left to hear whether it could be done.
            let _ = self.apply(call, part);
        }
        self.crashed = true;
        Err(crash())
    }

    fn fail_sync(&mut self, call: Call<'_>) {
        let Call::Sync(number) = call else { return };
        match &mut self.nodes[number].as_mut().unwrap().body {
            Body::File(content) => content.fail_sync(&mut self.random),
            Body::Folder { names, .. } => names.fail_sync(),
        }
    }

    /// Does it, of a write only as many bytes as `part` says. Answers with the number of the node that it found or made.
    fn apply(&mut self, call: Call<'_>, part: Option<usize>) -> io::Result<usize> {
        match call {
            Call::Create(folder, name) => self.add(folder, name, Body::File(Content::default())),
            Call::MakeFolder(folder, name) => match self.names(folder).get(name) {
                Some(found) => Ok(found),
                None => self.add(folder, name, Body::folder(Names::default())),
            },
            Call::Write(file, bytes, offset) => {
                let part = part.map_or(bytes, |count| &bytes[..count.min(bytes.len())]);
                self.write(file, part, offset)
            }
            Call::Rename(folder, from, to) => {
                let node = self.find(folder, from)?;
                if self.names(folder).get(to).is_some() {
                    return Err(Errno::EXIST.into());
                }
                self.names_mut(folder).rename(from, to);
                let path = self.path_in(folder, to);
                self.node_mut(node).path = path;
                Ok(node)
            }
            Call::Remove(folder, name) => {
                let node = self.find(folder, name)?;
                self.node(node).file()?;
                self.names_mut(folder).remove(name);
                self.let_go(node, |node| node.has_name = false);
                Ok(node)
            }
            Call::Sync(node) => {
                match &mut self.node_mut(node).body {
                    Body::File(content) => content.sync(),
                    Body::Folder { names, .. } => names.sync(),
                }
                Ok(node)
            }
        }
    }

    fn add(&mut self, folder: usize, name: &str, body: Body) -> io::Result<usize> {
        if self.names(folder).get(name).is_some() {
            return Err(Errno::EXIST.into());
        }
        let (number, path) = (self.nodes.len(), self.path_in(folder, name));
        self.nodes.push(Some(Node::new(path, body)));
        self.names_mut(folder).add(name, number);
        Ok(number)
    }

    fn write(&mut self, file: usize, bytes: &[u8], offset: usize) -> io::Result<usize> {
        let room = self.capacity.saturating_sub(self.used);
        let Body::File(content) = &mut self.node_mut(file).body else {
            panic!("handles on files are made of files only");
        };
        let len = content.len();
        // Up to the end nothing is needed; beyond it, a byte for each.
        let fits = len.saturating_add(room).saturating_sub(offset).min(bytes.len());
        content.write(&bytes[..fits], offset);
        let grown = content.len() - len;
        self.used += grown;
        if fits < bytes.len() {
            self.errors += 1;
            return Err(Errno::NOSPC.into());
        }
        Ok(file)
    }

    /// Takes a name or a handle from a node. The last of them frees its bytes.
    fn let_go(&mut self, number: usize, take: impl FnOnce(&mut Node)) {
        let node = self.node_mut(number);
        let before = Self::occupied(node);
        take(node);
        let after = Self::occupied(node);
        self.used -= before - after;
    }
}

fn crash() -> io::Error {
    io::Error::other(Crash)
}

/// An open file or folder.
#[derive(Debug)]
struct Handle {
    sim: Sim,
    node: usize,
    /// Whose lock it is.
    id: u64,
    writable: bool,
}

impl Handle {
    fn new(machine: &mut Machine, sim: &Sim, node: usize, writable: bool) -> Self {
        machine.node_mut(node).handles += 1;
        machine.locks += 1;
        Self { sim: sim.clone(), node, id: machine.locks, writable }
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Machine>> {
        let machine = self.sim.machine();
        machine.check_alive()?;
        Ok(machine)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let id = self.id;
        self.sim.machine().let_go(self.node, |node| {
            node.handles -= 1;
            if let Body::Folder { lock, .. } = &mut node.body
                && *lock == Some(id)
            {
                *lock = None;
            }
        });
    }
}

impl Folder for Handle {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let node = self.sim.act(Call::Create(self.node, name))?;
        Ok(Box::new(self.sim.handle(node, true)?))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Box<dyn File>> {
        let node = {
            let machine = self.alive()?;
            let node = machine.find(self.node, name)?;
            if machine.node(node).file().is_err() {
                // Where it asks to write, the machine's own file system refuses a folder, otherwise the library does.
                let refused = io::Error::from(io::ErrorKind::PermissionDenied);
                return Err(if writable { Errno::ISDIR.into() } else { refused });
            }
            node
        };
        Ok(Box::new(self.sim.handle(node, writable)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.sim.act(Call::Rename(self.node, from, to)).map(drop)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.sim.act(Call::Remove(self.node, name)).map(drop)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let machine = self.alive()?;
        Ok(machine.names(self.node).live().keys().map(ToString::to_string).collect())
    }

    fn folder(&self, name: &str, create: bool) -> io::Result<Arc<dyn Folder>> {
        let node = if create {
            self.sim.act(Call::MakeFolder(self.node, name))?
        } else {
            self.alive()?.find(self.node, name)?
        };
        if self.alive()?.node(node).file().is_ok() {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Arc::new(self.sim.handle(node, true)?))
    }

    fn sync(&self) -> io::Result<()> {
        self.sim.act(Call::Sync(self.node)).map(drop)
    }

    fn lock(&self) -> io::Result<bool> {
        let mut machine = self.alive()?;
        let Body::Folder { lock, .. } = &mut machine.node_mut(self.node).body else {
            panic!("handles on folders are made of folders only");
        };
        Ok(*lock.get_or_insert(self.id) == self.id)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut machine = self.alive()?;
        if let Body::Folder { lock, .. } = &mut machine.node_mut(self.node).body
            && *lock == Some(self.id)
        {
            *lock = None;
        }
        Ok(())
    }

    fn room(&self) -> io::Result<u64> {
        let machine = self.alive()?;
        Ok(u64::try_from(machine.capacity.saturating_sub(machine.used)).unwrap())
    }
}

impl File for Handle {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.sim.machine().check_alive()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if !self.writable {
            return Err(Errno::BADF.into());
        }
        if offset.saturating_add(bytes.len()) > LEN_MAX {
            return Err(Errno::FBIG.into());
        }
        self.sim.act(Call::Write(self.node, bytes, offset)).map(drop)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(self.alive()?.node(self.node).file()?.read(buffer, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.sim.act(Call::Sync(self.node)).map(drop)
    }

    fn len(&self) -> io::Result<u64> {
        let len = self.alive()?.node(self.node).file()?.len();
        Ok(u64::try_from(len).unwrap())
    }
}
