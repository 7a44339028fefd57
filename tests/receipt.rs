//! Receipts and references: spec/ledger.md section 5.

use sigchain::receipt::Reference;
use sigchain::stamp::Stamp;

use crate::ledger::support::{event, ledger};

#[test]
fn a_reference_has_one_text() {
    let ledger = ledger();
    let receipt = ledger.append(event(1)).unwrap();
    let reference = receipt.reference();
    let text = reference.to_string();
    assert_eq!(Reference::parse(&text), Some(reference));
    assert_eq!(Stamp::from(reference), receipt.stamp);
    assert!(text.is_ascii() && text.len() < 200 && !text.contains([' ', ',', ';', '"']), "{text}");
    let parts: Vec<&str> = text.split('.').collect();
    let changed = |at: usize, part: &str| {
        let mut parts = parts.clone();
        parts[at] = part;
        parts.join(".")
    };
    let upper = parts[3].to_uppercase();
    for wrong in [
        changed(0, "sigchain2"),
        changed(1, &reference.chain_id.to_string()),
        changed(2, "01"),
        changed(2, "+1"),
        changed(2, "9007199254740992"),
        changed(3, &upper),
        changed(3, "0"),
        changed(4, "018f0000-0000-4000-8000-000000000000"),
        changed(5, ""),
        format!("{text}."),
        format!("{text}.x"),
        format!(" {text}"),
        parts[..5].join("."),
        String::new(),
    ] {
        assert_eq!(Reference::parse(&wrong), None, "{wrong}");
    }
}

/// Whatever is accepted is the one text of what it says: each byte of one in turn is exchanged for each of some.
#[test]
fn whatever_parses_prints_as_it_was() {
    let ledger = ledger();
    let text = ledger.append(event(1)).unwrap().reference().to_string();
    let mut accepted = 0;
    for at in 0..text.len() {
        for byte in "0189aAfgzZ.-_+ =\u{0}".chars() {
            let wrong: String =
                text.chars().enumerate().map(|(i, c)| if i == at { byte } else { c }).collect();
            if let Some(reference) = Reference::parse(&wrong) {
                assert_eq!(reference.to_string(), wrong);
                accepted += 1;
            }
        }
    }
    // Most digits may be others; what may not is caught above or here.
    assert!((200..text.len() * 17).contains(&accepted), "{accepted}");
}
