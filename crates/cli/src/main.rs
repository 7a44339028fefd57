//! The program `sigchain`: records events, verifies what was recorded, and shows what verification catches.

mod access;
mod act;
mod actions;
mod args;
mod bench;
mod completions;
mod demo;
mod doctor;
mod episode;
mod exit;
mod explain;
mod extract;
mod held;
mod history;
mod input;
mod json;
mod key;
mod ledger;
mod look;
mod newfile;
mod out;
mod passphrase;
mod paths;
mod quarantine;
mod record;
mod report;
mod retain;
mod signing;
mod trouble;
mod verify;

use std::env;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::{Asked, Command};
use crate::trouble::Trouble;

fn main() -> ExitCode {
    allow_files();
    // Behind -- there are no flags.
    out::decide(env::args_os().take_while(|word| word != "--"));
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
    let command = match args::parse(env::args_os())? {
        Asked::Command(command, options) => {
            look::decide(options);
            command
        }
        Asked::Text(text) => return out::print(&text).map(|()| 0),
    };
    match command {
        Command::Action(options) => Ok(act::action(&options)),
        Command::Append(options) => ledger::append(*options),
        Command::Archive(options) => retain::archive(&options),
        Command::Bench(wanted) => bench::run(&wanted),
        Command::Checkpoint(options) => extract::checkpoint(&options),
        Command::Completions(options) => completions::scripts(&options),
        Command::Demo(options) => demo::run(options.keep),
        Command::Diff(options) => history::diff(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Episode(options) => episode::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Export(options) => extract::export(&options),
        Command::Forget(options) => ledger::forget(&options.ledger),
        Command::Hold(options) => retain::hold(&options),
        Command::Init(options) => ledger::init(&options),
        Command::Key(options) => key::run(&options),
        Command::Log(options) => history::log(&options),
        Command::Man(options) => completions::pages(&options),
        Command::Quarantine(options) => quarantine::run(&options),
        Command::Prove(options) => extract::prove(&options),
        Command::Replay(options) => history::replay(&options),
        Command::Restore(options) => retain::restore(&options),
        Command::Review(options) => act::review(&options),
        Command::Sample(options) => extract::sample(&options),
        Command::Scrub(options) => quarantine::scrub(&options),
        Command::Show(options) => history::show(&options),
        Command::Status(options) => ledger::status(&options),
        Command::Verify(options) => verify::run(&options),
    }
}
