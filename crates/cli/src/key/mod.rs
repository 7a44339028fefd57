//! `sigchain key`: the keys of a chain, from the first to the last.

mod apply;
mod approve;
mod change;
pub(crate) mod custody;
mod new;
mod propose;
mod show;

use crate::args::{KeyCommand, KeyOptions};
use crate::trouble::Trouble;

pub(crate) fn run(options: &KeyOptions) -> Result<u8, Trouble> {
    match &options.command {
        KeyCommand::New(asked) => new::run(asked),
        KeyCommand::Show(asked) => show::run(asked),
        KeyCommand::Enroll(asked) => propose::enroll(asked),
        KeyCommand::Rotate(asked) => propose::rotate(asked),
        KeyCommand::Revoke(asked) => propose::revoke(asked),
        KeyCommand::Approve(asked) => approve::run(asked),
    }
}
