//! Plots, as SVG within the page. Each says in words what it shows.

use std::fmt::Write as _;

use sigchain::stamp::Stamp;

use crate::out::{self, grouped};
use crate::report::collect::{Collected, Counts};
use crate::report::page::Page;

/// Names that have a bar of their own.
const BARS: usize = 12;
/// Units of the picture for an interval, one of them empty, and up to the top.
const STEP: usize = 10;
const TOP: u64 = 100;

/// Entries over time, with marks where the clock was doubted.
pub(super) fn timeline(page: &mut Page, collected: &Collected) {
    let line = &collected.timeline;
    let counts = line.counts();
    let peak = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut bars = String::new();
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // Something is never drawn as nothing.
        let height = (count.saturating_mul(TOP) / peak).max(2);
        let (left, right) = (at.saturating_mul(STEP), at.saturating_add(1).saturating_mul(STEP));
        // Writing to a String cannot fail.
        let _ = write!(
            bars,
            "M{left} {TOP}V{}H{}V{TOP}z",
            TOP - height.min(TOP),
            right.saturating_sub(2)
        );
    }
    let mut marks = String::new();
    for anomaly in &collected.clock.items {
        if let Some(at) = line.of(anomaly.time.micros()) {
            let _ = write!(marks, "M{} 0V{TOP}", at.saturating_mul(STEP).saturating_add(STEP / 2));
        }
    }
    let busiest = counts.iter().position(|count| *count == peak).unwrap_or(0);
    let time = |micros: i64| Stamp::from_micros(micros).map_or(String::new(), short);
    let (first, last) = (collected.first.map(short), collected.last.map(|(_, last)| short(last)));
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let interval = span(line.width());
    let words = format!(
        "{} from {first} to {last}. Each bar is {interval}; the highest, at {}, has {}.",
        out::entries(collected.entries),
        time(line.begins(busiest)),
        out::entries(peak)
    );
    page.markup("<figure>\n<svg class=\"timeline\" viewBox=\"0 0 ");
    page.number(counts.len().max(1).saturating_mul(STEP)).markup(" ").number(TOP);
    page.markup(
        "\" preserveAspectRatio=\"none\" role=\"img\" aria-labelledby=\"over over-words\">",
    );
    page.markup("<title id=\"over\">Entries over time</title><desc id=\"over-words\">")
        .text(&words);
    page.markup("</desc>\n<path class=\"fill\" d=\"").text(&bars).markup("\"/>");
    if !marks.is_empty() {
        page.markup("<path class=\"mark\" d=\"").text(&marks).markup("\"/>");
    }
    page.markup("</svg>\n<div class=\"axis\" aria-hidden=\"true\"><span>").text(&first);
    page.markup("</span><span class=\"middle\">").text(&time(line.begins(counts.len() / 2)));
    page.markup("</span><span>").text(&last).markup("</span></div>\n<figcaption>").text(&words);
    if !marks.is_empty() {
        page.markup(" Upright lines: where the clock was doubted, or believed again.");
    }
    page.markup("</figcaption>\n</figure>\n");
}

/// A bar for each of the most frequent names, and one for all others.
pub(super) fn names(page: &mut Page, caption: &'static str, head: &'static str, counts: &Counts) {
    let ranked = counts.ranked();
    let rest = ranked.iter().skip(BARS).map(|(_, n)| *n).fold(counts.other, u64::saturating_add);
    let mut rows: Vec<(String, u64)> =
        ranked.iter().take(BARS).map(|(name, n)| (out::safe(name), *n)).collect();
    if rest > 0 {
        let names = counts.len().saturating_sub(BARS);
        let at_least = if counts.other > 0 { "at least " } else { "" };
        rows.push((
            format!("{at_least}{} others", grouped(u64::try_from(names).unwrap_or(0))),
            rest,
        ));
    }
    bars(page, caption, head, &rows);
}

/// A table with a bar in each row: the numbers are there for whoever does not see the bars.
pub(super) fn bars(
    page: &mut Page,
    caption: &'static str,
    head: &'static str,
    rows: &[(String, u64)],
) {
    let total = rows.iter().map(|(_, n)| *n).fold(0, u64::saturating_add).max(1);
    let peak = rows.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
    page.markup("<table class=\"bars\"><caption>")
        .markup(caption)
        .markup("</caption>\n<thead><tr><th scope=\"col\">");
    page.markup(head).markup(
        "</th><th scope=\"col\" class=\"n\">Entries</th><th scope=\"col\" class=\"n\">Share</th>",
    );
    page.markup("<td></td></tr></thead>\n<tbody>\n");
    for (name, count) in rows {
        page.markup("<tr><th scope=\"row\">").text(name).markup("</th><td class=\"n\">");
        page.text(&grouped(*count)).markup("</td><td class=\"n\">").text(&share(*count, total));
        page.markup("</td><td class=\"plot\"><svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" ");
        page.markup(
            "aria-hidden=\"true\" focusable=\"false\"><rect class=\"fill\" height=\"10\" width=\"",
        );
        page.number((count.saturating_mul(1000) / peak).max(4)).markup("\"/></svg></td></tr>\n");
    }
    page.markup("</tbody></table>\n");
}

fn share(count: u64, total: u64) -> String {
    let tenths = count.saturating_mul(1000) / total;
    if tenths == 0 { "< 0.1 %".to_owned() } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

/// A time to the second.
pub(super) fn short(stamp: Stamp) -> String {
    let text = stamp.to_string().replace('T', " ");
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds} UTC"))
}

/// A length of time, in a unit that people read.
fn span(micros: u64) -> String {
    let units = [
        (86_400_000_000, "days"),
        (3_600_000_000, "h"),
        (60_000_000, "min"),
        (1_000_000, "s"),
        (1000, "ms"),
    ];
    match units.into_iter().find(|(unit, _)| micros >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", micros / unit, micros % unit / (unit / 10)),
        None => format!("{micros} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_shares() {
        let spans = [1, 1_500, 2_097_152, 90_000_000, 5_400_000_000, 172_800_000_000].map(span);
        assert_eq!(spans, ["1 us", "1.5 ms", "2.0 s", "1.5 min", "1.5 h", "2.0 days"]);
        assert_eq!([share(1, 3), share(1, 5000), share(5, 5)], ["33.3 %", "< 0.1 %", "100.0 %"]);
    }
}
