//! `sigchain completions` and `sigchain man`: what comes from the declarations of the arguments.

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::generate;
use clap_mangen::Man;

use crate::args::{self, CompletionsOptions, ManOptions};
use crate::newfile;
use crate::out;
use crate::trouble::Trouble;

/// What man calls the manual that the pages are of.
const MANUAL: &str = "sigchain manual";

pub(crate) fn scripts(asked: &CompletionsOptions) -> Result<u8, Trouble> {
    let mut script = Vec::new();
    generate(asked.shell, &mut args::declared(), "sigchain", &mut script);
    out::print(&String::from_utf8_lossy(&script)).map(|()| 0)
}

pub(crate) fn pages(asked: &ManOptions) -> Result<u8, Trouble> {
    let mut all = args::declared();
    all.build();
    if let Some(dir) = &asked.output {
        return write_all(&all, dir);
    }
    let mut found = &all;
    let mut name = vec!["sigchain"];
    for word in &asked.command {
        let names: Vec<&str> = found.get_subcommands().map(clap::Command::get_name).collect();
        found = found.find_subcommand(word).ok_or_else(|| {
            let what = format!("there is no command \"{}\"", asked.command.join(" "));
            Trouble::usage(what, &names.join(", "))
        })?;
        name.push(found.get_name());
    }
    let page = page(found, &name.join("-")).map_err(|error| not_written(Path::new("-"), &error))?;
    out::print(&page).map(|()| 0)
}

/// One page, in roff.
fn page(command: &clap::Command, name: &str) -> io::Result<String> {
    let mut roff = Vec::new();
    let command = command.clone().display_name(name.to_owned());
    let source = format!("sigchain {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).title(name.to_uppercase()).source(source);
    let man = man.manual(MANUAL.to_owned());
    man.render(&mut roff)?;
    String::from_utf8(roff).map_err(io::Error::other)
}

fn write_all(all: &clap::Command, dir: &Path) -> Result<u8, Trouble> {
    let failed = |error: io::Error| not_written(dir, &error);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut pages = vec![("sigchain".to_owned(), all)];
    let mut at = 0;
    while let Some((name, command)) = pages.get(at).cloned() {
        // How to ask for help is in the page of the program.
        let own = command.get_subcommands().filter(|command| command.get_name() != "help");
        pages.extend(own.map(|command| (format!("{name}-{}", command.get_name()), command)));
        at += 1;
    }
    // None of them is written if one cannot be.
    for (name, _) in &pages {
        let path = dir.join(format!("{name}.1"));
        if path.symlink_metadata().is_ok() {
            return Err(not_written(&path, &io::ErrorKind::AlreadyExists.into()));
        }
    }
    for (name, command) in &pages {
        let path = dir.join(format!("{name}.1"));
        let page = page(command, name).map_err(failed)?;
        newfile::write(&path, page.as_bytes()).map_err(|error| not_written(&path, &error))?;
    }
    out::note(&format!("wrote {} pages to \"{}\"", pages.len(), dir.display()));
    Ok(0)
}

fn not_written(path: &Path, error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let what = format!("\"{}\" exists already", path.display());
        let expected = "a directory without these pages: nothing is overwritten";
        return Trouble::usage(what, expected).coded("FS_EXISTS");
    }
    let what = format!("cannot write \"{}\": {error}", path.display());
    let next = "give another directory, or make room";
    Trouble::unreadable(what, "a directory that can be written to", next)
        .coded(sigchain::disk::code_of(error))
}
