//! A page of HTML. Markup is written in this program; everything else is text, and goes through one place that escapes it.

use std::fmt::{self, Write as _};

use crate::out::{self, safe};

/// Bytes of the rows of one table: what a page may hold is bounded, however long the chain and hostile its texts.
pub(super) const TABLE_MAX: usize = 14 << 10;

/// Rows of one table: who wants all of them asks the program, and paper is finite.
const ROWS: u64 = 40;

/// Characters of a code that stays on one line.
const WORD: usize = 32;

/// A cell of a table.
pub(super) enum Cell {
    /// A digest, a code, a name.
    Code(String),
    Number(u64),
    Text(String),
    /// A time, which is not to be broken.
    Time(String),
}

#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// Markup. Only what stands in the source of this program can be static, so nothing from a file comes this way.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, between tags or in a quoted attribute.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Whoever passes these has forgotten to make them visible.
                c if c.is_control() => self.0.extend(c.escape_unicode()),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Text from outside that nobody has made harmless yet.
    pub(super) fn foreign(&mut self, text: &str) -> &mut Self {
        self.text(&safe(text))
    }

    pub(super) fn number(&mut self, number: impl fmt::Display) -> &mut Self {
        // Writing to a String cannot fail; no number has a character that means anything here.
        let _ = write!(self.0, "{number}");
        self
    }

    pub(super) fn paragraph(&mut self, text: &str) -> &mut Self {
        self.markup("<p>").text(text).markup("</p>\n")
    }

    pub(super) fn list(&mut self, items: &[String]) -> &mut Self {
        self.markup("<ul>\n");
        for item in items {
            self.markup("<li>").text(item).markup("</li>\n");
        }
        self.markup("</ul>\n")
    }

    /// A term and what it is, within a `dl`.
    pub(super) fn fact(&mut self, term: &'static str, what: &str) -> &mut Self {
        self.markup("<div><dt>").markup(term).markup("</dt><dd>").text(what).markup("</dd></div>\n")
    }

    pub(super) fn code_fact(&mut self, term: &'static str, what: &str) -> &mut Self {
        self.markup("<div><dt>").markup(term).markup("</dt><dd><code>");
        self.text(what).markup("</code></dd></div>\n")
    }

    /// A table that says what it is, with as many of its rows as there is room for. `total` is how many there are.
    pub(super) fn table(
        &mut self,
        caption: &'static str,
        heads: &[&'static str],
        rows: impl Iterator<Item = Vec<Cell>>,
        total: u64,
        room: usize,
    ) {
        self.markup("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"")
            .markup(caption);
        self.markup("\"><table><caption>").markup(caption).markup("</caption>\n<thead><tr>");
        let mut rows = rows.peekable();
        for (at, head) in heads.iter().enumerate() {
            let below = rows.peek().and_then(|row| row.get(at)).filter(|_| at > 0);
            let is_number = matches!(below, Some(Cell::Number(_)));
            let begin =
                if is_number { "<th scope=\"col\" class=\"n\">" } else { "<th scope=\"col\">" };
            self.markup(begin).markup(head).markup("</th>");
        }
        self.markup("</tr></thead>\n<tbody>\n");
        let (mut shown, begin) = (0_u64, self.0.len());
        for row in rows {
            if self.0.len().saturating_sub(begin) > room || shown >= ROWS {
                break;
            }
            self.row(row);
            shown = shown.saturating_add(1);
        }
        self.markup("</tbody></table></div>\n");
        let more = total.saturating_sub(shown);
        if more > 0 {
            self.markup("<p class=\"more\">")
                .text(&out::grouped(more))
                .markup(" more, not listed here.</p>\n");
        }
    }

    fn row(&mut self, cells: Vec<Cell>) {
        self.markup("<tr>");
        for (at, cell) in cells.into_iter().enumerate() {
            let (begin, end) =
                if at == 0 { ("<th scope=\"row\"", "</th>") } else { ("<td", "</td>") };
            self.markup(begin);
            match cell {
                Cell::Code(code) => {
                    // A digest may be broken, a word may not.
                    let is_word = code.len() <= WORD;
                    self.markup(if is_word { "><code class=\"k\">" } else { "><code>" });
                    self.text(&code).markup("</code>")
                }
                // Numbers of entries are names, and stand where names stand.
                Cell::Number(number) if at == 0 => self.markup(">").number(number),
                Cell::Number(number) => self.markup(" class=\"n\">").text(&out::grouped(number)),
                Cell::Text(text) => self.markup(">").text(&text),
                Cell::Time(time) => self.markup(" class=\"time\">").text(&time),
            };
            self.markup(end);
        }
        self.markup("</tr>\n");
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_text_becomes_markup() {
        let mut page = Page::default();
        page.text("<a b=\"'&\">\u{1b}[").foreign("\u{202e}</p>");
        assert_eq!(
            page.into_text(),
            r"&lt;a b=&quot;&#39;&amp;&quot;&gt;\u{1b}[\u{202e}&lt;/p&gt;"
        );
    }

    #[test]
    fn a_table_has_room_for_so_much() {
        let mut page = Page::default();
        let rows = (0..10_000).map(|n| vec![Cell::Number(n), Cell::Text("\"".repeat(300))]);
        page.table("Things", &["Number", "What"], rows, 20_000, TABLE_MAX);
        let text = page.into_text();
        assert!(text.len() < TABLE_MAX + 4096, "{}", text.len());
        assert!(text.contains("19,992 more, not listed here"), "{}", &text[text.len() - 200..]);
    }
}
