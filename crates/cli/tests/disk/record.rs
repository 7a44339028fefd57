//! Who took something out is recorded first: where nobody knows whether it is, nothing is taken out.

use crate::disk::campaign::has;
use crate::disk::faults::Left;
use crate::disk::place::text;
use crate::disk::session::runner;
use crate::disk::strace::{Fault, Happens, Trace};

/// Whatever is recorded, and what it makes.
const TAKING: [(&[&str], &str); 3] = [
    (&["export", "led", "-o", "out"], "out"),
    (&["sample", "led", "-n", "2", "--seed", "s", "-o", "out"], "out"),
    (&["verify", "led", "--report", "out.html"], "out.html"),
];

/// Each sync of the record fails, one after the other. At one of them the entry is written, and whether it stays is not known.
#[test]
fn what_may_be_recorded_is_not_taken_out() {
    let name = "a disk that fails while it is recorded who takes something out";
    if !has(name, &["strace"], false) {
        return;
    }
    let left = Left::closed();
    for (args, output) in TAKING {
        let mut uncertain = 0;
        for number in 1..100 {
            let (place, trace) = (left.place.twin(), Trace::new());
            let line: Vec<&str> = place.line.iter().map(String::as_str).collect();
            let held = if args[0] == "verify" { &line[..] } else { &[] };
            let happens = Happens::Error("EIO");
            let fault = Fault { call: "fdatasync".to_owned(), number, lasts: true, happens };
            let mut command = runner(&place, &fault.by(trace.path()));
            let said = command.args(args).args(held).args(["--record", "audit"]).output().unwrap();
            if !trace.has_happened() {
                assert!(number > 1, "{args:?} syncs nothing: {}", text(&said));
                break;
            }
            let is_there = place.path(output).exists();
            let (code, said) = (said.status.code(), text(&said));
            assert_eq!(is_there, code == Some(0), "{args:?}: {fault}: {code:?}: {said}");
            if code == Some(6) {
                uncertain += 1;
                assert!(said.contains("UNCERTAIN") && said.contains("  next: "), "{said}");
            }
            // Nothing of what was there is lost, and nothing is there that was not signed.
            let verified = place.verify();
            assert_eq!(verified.status.code(), Some(0), "{fault}: {}", text(&verified));
        }
        assert!(uncertain > 0, "{args:?} is never uncertain");
    }
}
