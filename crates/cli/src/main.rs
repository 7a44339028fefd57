//! The program `sigchain`: records events, verifies what was recorded, and shows what verification catches.

mod args;
mod bench;
mod demo;
mod held;
mod history;
mod input;
mod json;
mod ledger;
mod newfile;
mod out;
mod trouble;
mod verify;

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Command;
use crate::trouble::Trouble;

fn main() -> ExitCode {
    allow_files();
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            trouble.print();
            ExitCode::from(trouble.exit())
        }
    }
}

/// A ledger has a file open for each of its segments, and what a process may open at once is often 1,024 unless it asks for more. Where
/// it does not get it a ledger with fewer segments works as before.
fn allow_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn run() -> Result<u8, Trouble> {
    match args::parse(lexopt::Parser::from_env())? {
        Command::Append(asked) => ledger::append(*asked),
        Command::Bench(wanted) => bench::run(&wanted),
        Command::Checkpoint(path) => ledger::checkpoint(&path),
        Command::Demo { keep } => demo::run(keep),
        Command::Export(asked) => ledger::export(&asked),
        Command::Forget(path) => ledger::forget(&path),
        Command::Help(text) => out::print(text).map(|()| 0),
        Command::Init(asked) => ledger::init(&asked),
        Command::Log(options) => history::log(&options),
        Command::Replay(options) => history::replay(&options),
        Command::Show(options) => history::show(&options),
        Command::Status { ledger, json } => ledger::status(&ledger, json),
        Command::Verify(options) => verify::run(&options),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            out::print(&format!("sigchain {version} (format version 1)\n")).map(|()| 0)
        }
    }
}
