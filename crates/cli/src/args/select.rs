//! Which entries are meant: everywhere by the same flags.

use clap::Args;
use sigchain::id::TraceId;
use sigchain::limit::FieldError;
use sigchain::point::Point;
use sigchain::select::Filter;

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
    /// Only by this actor; may be given several times, as all of these
    #[arg(long = "actor", value_name = "ACTOR")]
    actors: Vec<String>,
    /// Only of this run or session
    #[arg(long = "episode", value_name = "ID")]
    episodes: Vec<String>,
    /// Only of this thread of work
    #[arg(long = "correlation", value_name = "ID")]
    correlations: Vec<String>,
    /// Only of this W3C trace (32 hex digits)
    #[arg(long = "trace", value_name = "ID")]
    traces: Vec<String>,
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
        for actor in &self.actors {
            filter = filter.actor(actor)?;
        }
        for id in &self.episodes {
            filter = filter.episode(id)?;
        }
        for id in &self.correlations {
            filter = filter.correlation(id)?;
        }
        for id in &self.traces {
            let expected = "32 lower-case hexadecimal digits";
            let trace = TraceId::parse(id).ok_or_else(|| FieldError::new("trace", expected, id))?;
            filter = filter.trace(trace);
        }
        Ok(filter)
    }
}
