//! Which entries are meant: everywhere by the same flags.

use clap::Args;
use sigchain::id::TraceId;
use sigchain::limit::FieldError;
use sigchain::point::Point;
use sigchain::select::Filter;
use sigchain::stamp::ValidTime;

use crate::args::parse;
use crate::trouble::Trouble;

/// Which entries are meant.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which entries")]
pub(crate) struct Selection {
    /// From this entry on
    #[arg(long, value_name = "POINT", value_parser = parse::point, allow_negative_numbers = true)]
    pub(crate) since: Option<Point>,
    /// Up to this entry, and with it
    #[arg(long, value_name = "POINT", value_parser = parse::point, allow_negative_numbers = true)]
    pub(crate) until: Option<Point>,
    /// Only of this type; with * for any part of it, as in 'llm.*'. Given several times: of any of these
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only by this actor
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only of this run or session
    #[arg(long, value_name = "ID")]
    episode: Option<String>,
    /// Only of this thread of work
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only of this W3C trace (32 hex digits)
    #[arg(long, value_name = "ID", value_parser = parse::trace)]
    trace: Option<TraceId>,
    /// Only what says that it was true at this time or later (2026-11-20T05:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    valid_from: Option<ValidTime>,
    /// Only what says that it was true before this time
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    valid_to: Option<ValidTime>,
}

impl Selection {
    /// What is wanted of an entry, the points aside.
    pub(crate) fn filter(&self) -> Result<Filter, Trouble> {
        self.narrow().map_err(|error| {
            let what = format!("\"{}\" is no {}", error.found, error.field);
            Trouble::usage(what, error.expected)
        })
    }

    fn narrow(&self) -> Result<Filter, FieldError> {
        let mut filter = Filter::new();
        for pattern in &self.types {
            filter = filter.event_type(pattern)?;
        }
        if let Some(actor) = &self.actor {
            filter = filter.actor(actor)?;
        }
        if let Some(id) = &self.episode {
            filter = filter.episode(id)?;
        }
        if let Some(id) = &self.correlation {
            filter = filter.correlation(id)?;
        }
        if let Some(trace) = self.trace {
            filter = filter.trace(trace);
        }
        Ok(filter.valid(self.valid_from, self.valid_to))
    }

    /// What was said and holds, by the names of the flags.
    pub(crate) fn described(&self) -> Vec<(&'static str, Vec<String>)> {
        let point = |point: &Option<Point>| point.iter().map(Point::to_string).collect();
        let text = |word: &Option<String>| word.iter().cloned().collect();
        let time = |time: Option<ValidTime>| time.iter().map(ToString::to_string).collect();
        let all = [
            ("since", point(&self.since)),
            ("until", point(&self.until)),
            ("type", self.types.clone()),
            ("actor", text(&self.actor)),
            ("episode", text(&self.episode)),
            ("correlation", text(&self.correlation)),
            ("trace", self.trace.iter().map(ToString::to_string).collect()),
            ("valid-from", time(self.valid_from)),
            ("valid-to", time(self.valid_to)),
        ];
        all.into_iter().filter(|(_, words)| !words.is_empty()).collect()
    }
}
