//! What is verified: a file, a pipe or the directory of a ledger; where it comes from, and what its beginning says it is.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::path::Path;

use sigchain::chainfile::MAGIC;
use sigchain::directory::{Atlas, Stream};
use sigchain::disk;
use sigchain::fault::Fault;

use crate::args;
use crate::ledger;
use crate::trouble::Trouble;

/// Bytes that are looked at before anything is decided: more than any genesis needs, and all of any note.
const HEAD: u64 = 256 * 1024;

/// What a file is, judged by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of frames, or nothing that we know: the verifier says which.
    Chain,
    /// A lone checkpoint.
    Note,
    /// A `.tlog-proof`.
    Proof,
}

/// What the places of faults count.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    Bytes,
    Lines,
    /// Bytes of a ledger's segments.
    Segments(Atlas),
}

impl Places {
    /// Of a file that begins with this byte.
    pub(crate) fn of_file(first: Option<&u8>) -> Self {
        if first == Some(&b'{') { Self::Lines } else { Self::Bytes }
    }

    /// Whether they are of a ledger, which goes on and so has no trailer.
    pub(crate) fn is_ledger(&self) -> bool {
        matches!(self, Self::Segments(_))
    }

    /// The segment in which a fault is, if there are any, and the place there.
    pub(crate) fn locate(&self, fault: &Fault) -> (Option<u64>, u64) {
        let located = match self {
            Self::Segments(atlas) => atlas.locate(fault.place),
            Self::Bytes | Self::Lines => None,
        };
        located.map_or((None, fault.place), |(segment, byte)| (Some(segment), byte))
    }

    /// The place of a fault, in words.
    pub(crate) fn describe(&self, fault: &Fault) -> String {
        let unit = if matches!(self, Self::Lines) { "line" } else { "byte" };
        let place = match self.locate(fault) {
            (Some(segment), byte) => format!("segment {segment}, {unit} {byte}"),
            (None, place) => format!("{unit} {place}"),
        };
        fault.sequence.map_or(place.clone(), |sequence| format!("{place}, entry {sequence}"))
    }
}

pub(crate) struct Input {
    name: String,
    head: Vec<u8>,
    source: Box<dyn Read>,
    places: Places,
    length: Option<u64>,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, Trouble> {
        let name = name(path);
        let failed = |error| cannot_read(&name, &error);
        let (mut places, mut length) = (None, None);
        let mut source: Box<dyn Read> = if args::is_stdin(path) {
            Box::new(io::stdin().lock())
        } else if is_ledger(path)? {
            let stream = stream(path)?;
            places = Some(Places::Segments(stream.atlas()));
            length = Some(stream.length());
            Box::new(stream)
        } else {
            let mut file = File::open(path).map_err(failed)?;
            let archive = Unpacked::of(&mut file).map_err(failed)?;
            // Of a pipe nobody knows how much will come.
            length = file.metadata().ok().filter(Metadata::is_file).map(|about| about.len());
            match archive {
                Some(unpacked) => {
                    length = None;
                    Box::new(unpacked)
                }
                None => Box::new(file),
            }
        };
        let mut head = Vec::new();
        (&mut source).take(HEAD).read_to_end(&mut head).map_err(failed)?;
        let places = places.unwrap_or_else(|| Places::of_file(head.first()));
        Ok(Self { name, head, source, places, length })
    }

    /// What the places of its faults count.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// How many bytes it has, about, if that can be known before it is read.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// What to call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its first bytes.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.head.starts_with(b"c2sp.org/tlog-proof@") {
            Kind::Proof
        } else if self.head.starts_with(&MAGIC) || self.head.first() == Some(&b'{') {
            Kind::Chain
        } else if holds(&self.head, "\n\u{2014} ".as_bytes()) {
            // The dash that begins a signature line of a note.
            Kind::Note
        } else {
            Kind::Chain
        }
    }

    /// All of it, from the beginning.
    pub(crate) fn into_reader(self) -> impl Read {
        io::Cursor::new(self.head).chain(self.source)
    }

    /// All of it, if it is not longer than `limit`; otherwise one byte more than that, which no parser takes.
    pub(crate) fn into_bytes(self, limit: usize) -> Result<Vec<u8>, Trouble> {
        let name = self.name.clone();
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.into_reader().take(limit).read_to_end(&mut bytes);
        read.map_err(|error| cannot_read(&name, &error))?;
        Ok(bytes)
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What to call a file.
pub(crate) fn name(path: &Path) -> String {
    if args::is_stdin(path) {
        "standard input".to_owned()
    } else {
        path.to_string_lossy().into_owned()
    }
}

/// All of a small file; at most one byte more than `limit`.
pub(crate) fn read_small(path: &Path, limit: usize) -> Result<Vec<u8>, Trouble> {
    Input::open(path)?.into_bytes(limit)
}

/// What the file system says of a path. If it says nothing, the path must not be taken for something else: a ledger that is read as
/// a file ends without a trailer.
pub(crate) fn about(path: &Path) -> Result<Metadata, Trouble> {
    path.metadata().map_err(|error| cannot_read(&name(path), &error))
}

fn is_ledger(path: &Path) -> Result<bool, Trouble> {
    about(path).map(|about| about.is_dir())
}

/// The files of a ledger as one chain file, up to what is durable.
pub(crate) fn stream(path: &Path) -> Result<Stream, Trouble> {
    ledger::view(path)?.stream().map_err(|error| cannot_read(&name(path), &error))
}

/// What can be read again from its beginning.
pub(crate) trait Again: Read + Seek {}
impl<T: Read + Seek> Again for T {}

/// Opens what can be read again from its beginning: a file or a ledger.
pub(crate) fn open_again(path: &Path) -> Result<Box<dyn Again>, Trouble> {
    if is_ledger(path)? {
        return Ok(Box::new(stream(path)?));
    }
    again(path).map_err(|error| cannot_read(&name(path), &error))
}

/// The same of a file, which may be compressed.
pub(crate) fn again(path: &Path) -> io::Result<Box<dyn Again>> {
    let mut file = File::open(path)?;
    Ok(match Unpacked::of(&mut file)? {
        Some(unpacked) => Box::new(unpacked),
        None => Box::new(file),
    })
}

/// What the bytes of a compressed file begin with.
const PACKED: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A compressed file (.zst), read as what it was.
struct Unpacked {
    file: File,
    bytes: zstd::Decoder<'static, io::BufReader<File>>,
    at: u64,
}

impl Unpacked {
    /// The file, if it is one that can be read again and is compressed. Otherwise it stands where it stood.
    fn of(file: &mut File) -> io::Result<Option<Self>> {
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut start = Vec::new();
        (&mut *file).take(4).read_to_end(&mut start)?;
        file.rewind()?;
        if start != PACKED {
            return Ok(None);
        }
        let file = file.try_clone()?;
        let bytes = zstd::Decoder::new(file.try_clone()?)?;
        Ok(Some(Self { file, bytes, at: 0 }))
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

impl Seek for Unpacked {
    /// Only to the beginning, and to where it stands.
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        match to {
            io::SeekFrom::Start(0) => {
                self.file.rewind()?;
                self.bytes = zstd::Decoder::new(self.file.try_clone()?)?;
                self.at = 0;
            }
            io::SeekFrom::Current(0) => {}
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "only to the beginning")),
        }
        Ok(self.at)
    }
}

/// Refuses what cannot be read again from its beginning, such as a pipe, where that is needed.
pub(crate) fn must_be_regular(path: &Path, option: &str) -> Result<(), Trouble> {
    let metadata = about(path)?;
    if metadata.is_file() || metadata.is_dir() {
        return Ok(());
    }
    let what = format!("{option} with \"{}\", which is no regular file and no ledger", name(path));
    Err(Trouble::usage(what, "a file that can be read more than once"))
}

pub(crate) fn cannot_read(name: &str, error: &io::Error) -> Trouble {
    Trouble::unreadable(
        format!("cannot read \"{name}\": {error}"),
        "a file that can be read to its end",
        "check the name and your rights; nothing was judged",
    )
    .coded(disk::code_of(error))
}
