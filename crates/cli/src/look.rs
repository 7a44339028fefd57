//! How it looks on a terminal: colour, and a pager for what does not fit on one screen. Elsewhere there is neither.

#![expect(
    clippy::doc_markdown,
    reason = "comments on arguments are the help, printed as they stand"
)]

use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Stdout, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use clap::{Args, ValueEnum};
use signal_hook::consts::SIGINT;

/// How it is to look.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct LookOptions {
    /// Colour: on a terminal unless $NO_COLOR is set, or as you say
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        global = true
    )]
    color: When,
    /// No pager ($PAGER, or less) on a terminal
    #[arg(long, global = true)]
    no_pager: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default)]
struct Look {
    has_colour: bool,
    has_pager: bool,
}

static LOOK: OnceLock<Look> = OnceLock::new();

/// Decides it, once.
pub(crate) fn decide(options: LookOptions) {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_terminal = io::stdout().is_terminal();
    let has_colour = match options.color {
        When::Always => true,
        When::Never => false,
        When::Auto => {
            let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
            is_terminal && !is_dumb && !is_set("NO_COLOR")
        }
    };
    let _ = LOOK.set(Look { has_colour, has_pager: is_terminal && !options.no_pager });
}

fn look() -> Look {
    LOOK.get().copied().unwrap_or_default()
}

/// What a colour stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    /// What is good.
    Good,
    /// What is bad.
    Bad,
    /// What wants a second look.
    Odd,
    /// What is beside the point.
    Dim,
    /// What is talked about.
    Name,
}

/// Text in a colour, where there is colour.
pub(crate) fn paint(paint: Paint, text: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = painted(&mut out, paint, |out| out.write_str(text));
    out
}

/// The same for what is written straight away.
pub(crate) fn painted(
    out: &mut String,
    paint: Paint,
    write: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    if !look().has_colour {
        return write(out);
    }
    let code = match paint {
        Paint::Good => "32",
        Paint::Bad => "1;31",
        Paint::Odd => "33",
        Paint::Dim => "2",
        Paint::Name => "36",
    };
    write!(out, "\u{1b}[{code}m")?;
    write(out)?;
    out.write_str("\u{1b}[0m")
}

/// Where an answer goes that may be long: a pager on a terminal, standard output elsewhere.
pub(crate) enum Page {
    Plain(Stdout),
    Paged(Child, Option<ChildStdin>),
}

impl Page {
    /// Standard output, whatever it is.
    pub(crate) fn plain() -> Self {
        Self::Plain(io::stdout())
    }

    /// A pager if there is to be one and it can be run.
    pub(crate) fn begin() -> Self {
        if !look().has_pager {
            return Self::plain();
        }
        let named = ["SIGCHAIN_PAGER", "PAGER"].into_iter().find_map(env::var_os);
        let named = named.map_or("less".to_owned(), |value| value.to_string_lossy().into_owned());
        let mut words = named.split_whitespace();
        let Some(program) = words.next().filter(|program| *program != "cat") else {
            return Self::plain();
        };
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped());
        if env::var_os("LESS").is_none() {
            // Quit where all fits on one screen, show colours, leave what was shown where it is.
            command.env("LESS", "FRX");
        }
        let Ok(mut child) = command.spawn() else { return Self::plain() };
        // Ctrl-C is the pager's while it runs; when it ends, nothing more can be written, and this ends too.
        let _ = signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)));
        let input = child.stdin.take();
        Self::Paged(child, input)
    }

    /// Waits until the pager has been left. What is said on the side comes after it.
    pub(crate) fn finish(&mut self) {
        if let Self::Paged(child, input) = self {
            drop(input.take());
            // If it cannot be waited for it is gone.
            let _ = child.wait();
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stdout) => stdout.write(bytes),
            Self::Paged(_, Some(input)) => input.write(bytes),
            Self::Paged(_, None) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stdout) => stdout.flush(),
            Self::Paged(_, Some(input)) => input.flush(),
            Self::Paged(_, None) => Ok(()),
        }
    }
}
