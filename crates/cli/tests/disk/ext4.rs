//! A real file system on a disk that fails below it: a block that cannot be written, once, while everything else works; and the power
//! that goes while all is under way. What the page cache shows then is not what the disk holds, so it is mounted again before
//! anybody looks.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::disk::book::Book;
use crate::disk::campaign::{Campaign, Random, has, is_inside, runs};
use crate::disk::full::must;
use crate::disk::place::Place;
use crate::disk::place::{INIT, text};
use crate::disk::session::{self, Session, kill};

const TOOLS: &[&str] =
    &["unshare", "mount", "umount", "mkfs.ext4", "truncate", "python3", "/dev/loop-control"];
const DAEMON: &str = "qemu-storage-daemon";

/// A disk in a file, with a file system on it.
#[derive(Debug)]
struct Disk {
    kept: Place,
    /// What lets a write fail.
    daemon: Option<Child>,
    is_mounted: bool,
}

impl Disk {
    fn new(options: &[&str]) -> Self {
        let kept = Place::empty();
        let image = kept.path("image");
        must("truncate", &["-s", "16M", &shown(&image)]);
        must("mkfs.ext4", &[&["-q"], options, &[&*shown(&image)]].concat());
        fs::create_dir(kept.path("mnt")).unwrap();
        Self { kept, daemon: None, is_mounted: false }
    }

    /// Puts something in front of it by which what `event` stands for fails once, when it comes for the n-th time.
    fn failing(mut self, event: (&str, &str), number: usize) -> Self {
        let states: Vec<String> = (1..number)
            .map(|n| format!("{{\"event\":\"{}\",\"state\":{n},\"new_state\":{}}}", event.0, n + 1))
            .collect();
        let debug = format!(
            "{{\"driver\":\"blkdebug\",\"node-name\":\"bd\",\"image\":\"base\",\"inject-error\":[{{\"event\":\"{}\",\
             \"iotype\":\"{}\",\"errno\":5,\"state\":{number},\"once\":true}}],\"set-state\":[{}]}}",
            event.0,
            event.1,
            states.join(",")
        );
        let (image, export) = (self.kept.path("image"), self.kept.path("export"));
        fs::write(&export, b"").unwrap();
        let base = format!("driver=file,node-name=base,filename={}", shown(&image));
        let fuse =
            format!("type=fuse,id=e,node-name=top,mountpoint={},writable=on", shown(&export));
        let mut command = Command::new(DAEMON);
        command.args(["--blockdev", &base, "--blockdev", &debug]);
        command.args(["--blockdev", "driver=raw,node-name=top,file=bd", "--export", &fuse]);
        self.daemon = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let wanted = fs::metadata(&image).unwrap().len();
        for _ in 0..500 {
            if fs::metadata(&export).is_ok_and(|about| about.len() == wanted) {
                return self;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{DAEMON} exports nothing");
    }

    fn mnt(&self) -> PathBuf {
        self.kept.path("mnt")
    }

    fn mount(&mut self) {
        let name = if self.daemon.is_some() { "export" } else { "image" };
        let image = self.kept.path(name);
        must("mount", &["-o", "loop", &shown(&image), &shown(&self.mnt())]);
        self.is_mounted = true;
    }

    fn unmount(&mut self) {
        // What was killed there may take a moment to be gone.
        for _ in 0..200 {
            let mut command = Command::new("umount");
            if command.arg(self.mnt()).stderr(Stdio::null()).status().unwrap().success() {
                self.is_mounted = false;
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it cannot be unmounted");
    }

    /// What the disk holds, and no cache.
    fn mount_again(&mut self) {
        self.unmount();
        self.mount();
    }

    /// What makes the power go when it reads a byte: nothing more is written, not even the journal.
    fn switch(&self) -> Child {
        let script = "import fcntl,os,struct,sys\n\
                      fd=os.open(sys.argv[1],os.O_RDONLY)\n\
                      print(flush=True)\n\
                      sys.stdin.read(1)\n\
                      fcntl.ioctl(fd,0x8004587d,struct.pack('I',2))";
        let mut command = Command::new("python3");
        command.args(["-c", script, &shown(&self.mnt())]);
        let mut switch = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        switch.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        switch
    }

    /// A ledger on it; keys and anchors too, or on a disk of their own.
    fn place(&self, is_shared: bool) -> Place {
        let home = if is_shared { self.mnt().join("home") } else { self.kept.path("home") };
        Place::within(&self.mnt(), &home)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            drop(Command::new("umount").args(["-l"]).arg(self.mnt()).status());
        }
        if let Some(daemon) = &mut self.daemon {
            kill(&daemon.id().to_string());
            drop(daemon.wait());
            drop(Command::new("umount").args(["-l"]).arg(self.kept.path("export")).status());
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn every_block_that_cannot_be_written_leaves_no_hole() {
    let name = "a block of ext4 that cannot be written, once";
    let tools = [TOOLS, &[DAEMON, "/dev/fuse"]].concat();
    let test = "disk::ext4::every_block_that_cannot_be_written_leaves_no_hole";
    if !has(name, &tools, true) || !is_inside(test) {
        return;
    }
    let mut all = Vec::new();
    for number in 1..=110 {
        for options in [&[][..], &["-O", "^has_journal"]] {
            for event in [("pwritev", "write"), ("flush_to_disk", "flush")] {
                all.push((number, options, event));
            }
        }
    }
    let mut campaign = Campaign::new(name);
    let mut hit = 0;
    for (number, options, event) in Random::of(700).sample(all, 4) {
        let mut disk = Disk::new(options).failing(event, number);
        disk.mount();
        let found = blocked(&mut disk, &mut hit);
        campaign.note(&format!("{} number {number}, mkfs.ext4 {options:?}", event.1), found);
    }
    println!("disk: of these, {hit} were met by the program");
    campaign.end();
}

fn blocked(disk: &mut Disk, hit: &mut usize) -> Result<(), String> {
    let mut place = disk.place(true);
    let output = place.run(&INIT);
    if !place.is_made_by(&output) {
        *hit += 1;
        disk.mount_again();
        return crate::disk::faults::made(&mut place, &output, &[]);
    }
    let mut book = Book::default();
    let ended = session::run(&place, &[], &mut book, &[])?;
    *hit += usize::from(ended.exit != Some(0));
    // A new process, which must not believe what the cache shows. The file system may have become read-only: then it is refused.
    session::run(&place, &[], &mut book, &[])?;
    session::run(&place, &[], &mut book, &[])?;
    disk.mount_again();
    book.goes_on(&place, &[])
}

#[test]
fn random_power_cuts_lose_nothing() {
    let name = "a power cut on a mounted ext4";
    let test = "disk::ext4::random_power_cuts_lose_nothing";
    if !has(name, TOOLS, true) || !is_inside(test) {
        return;
    }
    let mut campaign = Campaign::new(name);
    let mut random = Random::of(800);
    for number in 0..runs(3, 60) {
        let mut disk = Disk::new(&[]);
        disk.mount();
        let mut place = disk.place(number % 2 == 0);
        let output = place.run(&INIT);
        assert!(place.is_made_by(&output), "{}", text(&output));
        let mut book = Book::default();
        // The same disk, again and again.
        for _ in 0..runs(2, 8) {
            let after = Duration::from_micros(random.below(60_000));
            let found = cut(&mut disk, &place, &mut book, after);
            campaign.note(&format!("disk {number}, after {after:?}"), found);
        }
    }
    campaign.end();
}

fn cut(disk: &mut Disk, place: &Place, book: &mut Book, after: Duration) -> Result<(), String> {
    let mut session = Session::begin(place, &[], &[]).map_err(|error| error.to_string())?;
    let mut switch = disk.switch();
    let over = session.over();
    let found = thread::scope(|scope| {
        let power = scope.spawn(|| {
            thread::sleep(after);
            over.store(true, Ordering::SeqCst);
            switch.stdin.take().unwrap().write_all(b"!").unwrap();
            assert!(switch.wait().unwrap().success(), "the power cannot be cut");
        });
        let mut lines = 1;
        let mut found = Ok(());
        while found.is_ok() && session.send(book, lines, 60) {
            match (0..lines).try_for_each(|_| match session.hear(book) {
                Ok(Some(outcome)) if outcome["ok"] == true => Ok(()),
                Ok(_) => Err(None),
                Err(what) => Err(Some(what)),
            }) {
                Ok(()) => lines = lines % 5 + 1,
                Err(None) => break,
                Err(Some(what)) => found = Err(what),
            }
        }
        drop(power.join());
        found
    });
    kill(&session.id().to_string());
    session.end(book)?;
    found?;
    disk.mount_again();
    book.goes_on(place, &[])
}

/// Where nothing can be written whoever reads is as before, and whoever would append is told.
#[test]
fn a_disk_that_is_read_only_can_be_read() {
    let name = "a file system that is read-only, and files that cannot be changed";
    let tools = [TOOLS, &["chattr"]].concat();
    if !has(name, &tools, true) || !is_inside("disk::ext4::a_disk_that_is_read_only_can_be_read") {
        return;
    }
    let mut campaign = Campaign::new(name);
    let mut disk = Disk::new(&[]);
    disk.mount();
    let (mut place, mut book) = (disk.place(true), Book::default());
    let output = place.run(&INIT);
    assert!(place.is_made_by(&output), "{}", text(&output));
    session::run(&place, &[], &mut book, &[]).unwrap();
    let mnt = shown(&disk.mnt());
    must("mount", &["-o", "remount,ro", &mnt]);
    campaign.note("read-only", refuses(&place, &mut book, "FS_READ_ONLY"));
    must("mount", &["-o", "remount,rw", &mnt]);
    campaign.note("and no longer", book.goes_on(&place, &[]));
    let led = shown(&place.path("led"));
    must("chattr", &["-R", "+i", &led]);
    campaign.note("chattr +i", refuses(&place, &mut book, "Operation not permitted"));
    must("chattr", &["-R", "-i", &led]);
    campaign.note("and no longer", book.goes_on(&place, &[]));
    campaign.end();
}

fn refuses(place: &Place, book: &mut Book, says: &str) -> Result<(), String> {
    let ended = session::run(place, &[], book, &[])?;
    if ended.exit != Some(4) || !ended.said.contains(says) {
        return Err(format!("{ended:?}"));
    }
    for args in [&["show", "led", "3"][..], &["status", "led"], &["checkpoint", "led"]] {
        let output = place.run(args);
        if !output.status.success() {
            return Err(format!("{args:?}: {}", text(&output)));
        }
    }
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = place.run(&["export", "led", "-o", &shown(&elsewhere.path().join("out"))]);
    if !output.status.success() {
        return Err(format!("export: {}", text(&output)));
    }
    book.is_sound(place)
}
