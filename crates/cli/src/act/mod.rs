//! `sigchain action` and `sigchain review`: a program as an action, and who else has to agree to it.

mod child;
mod review;

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sigchain::action::{ActionError, Begun, Ended, Said};
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::limit::FieldError;
use sigchain::receipt::Reference;
use sigchain::review::ReviewError;
use sigchain::vocabulary::{Failure, ToolCall};

use crate::act::child::{Child, Finished, How};
use crate::args::ActionOptions;
use crate::args::Doing;
use crate::exit::{NO, REFUSED};
use crate::ledger;
use crate::out::safe;
use crate::trouble::Trouble;

pub(crate) use crate::act::review::run as review;

/// It ran, and its outcome is not recorded.
const NOT_TOLD: u8 = 124;
/// It did not run.
const NOT_RUN: u8 = 125;
/// It could not be run, and was not found.
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// A program that was ended by a signal: and its number.
const SIGNALLED: u8 = 128;
/// How long another writer is waited for at the end, at least: the program has run, and that has to be told.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn action(options: &ActionOptions) -> u8 {
    let begun = match begin(options) {
        Ok(begun) => begun,
        Err(trouble) => {
            trouble.print();
            return NOT_RUN;
        }
    };
    let child = Child::new(&options.doing.program, options.timeout);
    let child = child.with("SIGCHAIN_CAUSE", begun.intent().event_id.to_string());
    let child = child.with("SIGCHAIN_LEDGER", absolute(&options.place.ledger));
    let child = match &options.doing.episode {
        Some(episode) => child.with("SIGCHAIN_EPISODE", episode),
        None => child,
    };
    let finished = child.run();
    let exit = exit_of(&finished.how);
    let intent = *begun.intent();
    match end(options, begun, ended(&finished)) {
        Ok(()) => exit,
        Err(trouble) => {
            trouble.print();
            let (code, event) = (exit, intent.event_id);
            let entry = intent.sequence;
            ledger::tell(&format!(
                "the program ran and its exit code is {code}, which is not recorded: entry {entry} stays an open action, event {event}"
            ));
            NOT_TOLD
        }
    }
}

/// Records that it is about to be done.
fn begin(options: &ActionOptions) -> Result<Begun, Trouble> {
    let intent = intent(&options.doing)?;
    let ledger = ledger::open(&options.place.ledger, &options.signing, options.of_files.files())?;
    let approved = options.after_review.map(|id| review::approved(&ledger, &id));
    let begun = match approved {
        None => ledger.action(intent).begin(),
        Some(Ok(approved)) => ledger.action(intent).after_review(&approved).begin(),
        Some(Err(error)) => Err(Box::new(ActionError::NotAllowed(Box::new(error)))),
    };
    let closed = ledger::close(&ledger);
    let begun = begun.map_err(|error| not_begun(&error))?;
    if closed != 0 {
        let what = "the intent may not be where everybody else looks";
        let next = "nothing was run; see what is said above";
        return Err(Trouble::of_ledger(closed, what, "a ledger that can be closed", next));
    }
    Ok(begun)
}

/// Records what came of it.
fn end(options: &ActionOptions, begun: Begun, ended: Ended) -> Result<(), Trouble> {
    let files = options.of_files.patient_files(PATIENCE);
    let ledger = ledger::open(&options.place.ledger, &options.signing, files)?;
    let recorded = begun.end(&ledger, ended);
    let closed = ledger::close(&ledger);
    recorded.map_err(|error| ledger::of_append(&error))?;
    if closed == 0 {
        return Ok(());
    }
    let what = "the outcome may not be where everybody else looks";
    Err(Trouble::of_ledger(closed, what, "a ledger that can be closed", "see what is said above"))
}

/// The call of a program as that of a tool.
fn intent(doing: &Doing) -> Result<Event, Trouble> {
    let of_field = |error: FieldError| {
        Trouble::usage(format!("\"{}\" is no {}", safe(&error.found), error.field), error.expected)
    };
    let words: Vec<String> = doing.program.iter().map(text).collect();
    let program = doing.program.first().map(Path::new).and_then(Path::file_name);
    let tool = doing.tool.clone().or_else(|| program.map(|name| text(&name.to_owned())));
    let arguments = if doing.hide_arguments {
        json!({"digest": Digest::of(&[json!(words).to_string().as_bytes()]).to_string()})
    } else {
        json!({"argv": words})
    };
    let call = ToolCall::new(tool.unwrap_or_default()).arguments(arguments).tool_type("program");
    let mut event = call.event(&doing.actor).map_err(of_field)?;
    if let Some(episode) = &doing.episode {
        event = event.episode(episode).map_err(of_field)?;
    }
    if let Some(correlation) = &doing.correlation {
        event = event.correlation(correlation).map_err(of_field)?;
    }
    match &doing.cause {
        None => Ok(event),
        Some(text) => match (Reference::parse(text), EventId::parse(text)) {
            (Some(found), _) => Ok(event.caused_by(found.event_id).after(found)),
            (None, Some(id)) => Ok(event.caused_by(id)),
            (None, None) => {
                let what = format!("--cause \"{}\" is no event", safe(text));
                Err(Trouble::usage(what, "a UUID of version 7, or a reference (sigchain1...)"))
            }
        },
    }
}

/// An argument as text. Bytes that are none are replaced: what is recorded is for people.
fn text(word: &OsString) -> String {
    word.to_string_lossy().into_owned()
}

fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string()
}

fn not_begun(error: &ActionError<(), Infallible>) -> Trouble {
    let next = "nothing was run";
    match error {
        ActionError::NotRecorded(error) => ledger::of_append(error),
        ActionError::NotAllowed(error) => of_review(error).advising(next),
        other => Trouble::of_ledger(REFUSED, other.to_string(), "an intent that is new", next),
    }
}

/// Why a review is not decided, or allows nothing.
fn of_review(error: &ReviewError) -> Trouble {
    match error {
        ReviewError::Append(error) => ledger::of_append(error),
        other => {
            let expected = "a review that waits for this decision, or allows this action";
            let next = "see how it stands: sigchain review list LEDGER; sigchain show LEDGER EVENT";
            Trouble::of_ledger(NO, safe(&other.to_string()), expected, next).coded("REVIEW")
        }
    }
}

/// What came of it, as it is recorded.
fn ended(finished: &Finished) -> Ended {
    let output = |output: &child::Output| json!({"bytes": output.bytes, "digest": output.digest.to_string()});
    let mut said = Said::nothing().with(
        "outputs",
        json!({"stderr": output(&finished.stderr), "stdout": output(&finished.stdout)}),
    );
    if !finished.is_whole {
        // Somebody it left behind still holds its output.
        said = said.with("outputs_cut", true);
    }
    let message = |said: Said, text: &str| said.with("message", Value::from(text));
    match &finished.how {
        How::Exited(0) => Ended::Done(said.with("exit_code", 0)),
        How::Exited(code) => Ended::Failed(Failure::Error, said.with("exit_code", *code)),
        How::Signalled(signal, failure) => {
            let text = format!("ended by signal {signal}");
            Ended::Failed(*failure, message(said, &text))
        }
        How::NotStarted(error) => {
            let text = format!("it could not be run: {error}");
            Ended::Failed(Failure::Error, message(said, &text))
        }
        How::Unknown(error) => {
            let text = format!("it ran, and how it ended is not known: {error}");
            Ended::Failed(Failure::Error, message(said, &text))
        }
    }
}

fn exit_of(how: &How) -> u8 {
    match how {
        How::Exited(code) => u8::try_from(*code).unwrap_or(u8::MAX),
        How::Signalled(signal, _) => {
            u8::try_from(*signal).map_or(u8::MAX, |signal| SIGNALLED.saturating_add(signal))
        }
        How::NotStarted(error) => {
            ledger::tell(&format!("the program could not be run: {error}"));
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            if is_missing { NOT_FOUND } else { NOT_RUNNABLE }
        }
        How::Unknown(error) => {
            ledger::tell(&format!("the program ran, and how it ended is not known: {error}"));
            NOT_TOLD
        }
    }
}
