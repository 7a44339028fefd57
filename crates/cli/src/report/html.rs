//! The report for people: one page that stands alone, to be read on a screen and on paper.
//!
//! It holds no script and loads nothing: the policy in its head allows just the one style sheet that it holds, by its digest.

use sigchain::digest::Digest;
use sigchain::text;

use crate::report::Subject;
use crate::report::content;
use crate::report::page::Page;

/// The one style sheet.
const STYLE: &str = include_str!("style.css");

pub(super) fn render(subject: &Subject<'_>) -> String {
    let mut page = Page::default();
    let digest = text::base64(Digest::of(&[STYLE.as_bytes()]).as_bytes());
    page.markup("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.markup("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
    page.text(&digest).markup("'; base-uri 'none'; form-action 'none'\">\n");
    page.markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.markup("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.markup("<meta name=\"referrer\" content=\"no-referrer\">\n<title>Verification of ");
    page.foreign(title(subject))
        .markup("</title>\n<style>")
        .markup(STYLE)
        .markup("</style>\n</head>\n<body>\n");
    content::write(&mut page, subject, title(subject));
    page.markup("</body>\n</html>\n");
    page.into_text()
}

fn title<'s>(subject: &'s Subject<'_>) -> &'s str {
    let name = subject.view.report.name.as_str();
    if name.is_empty() { subject.view.name } else { name }
}
