//! Two verifiers that share nothing must never disagree: on the vectors, and on files that were changed at random.

use std::fs;

use sigchain::chainfile::Form;
use sigchain::frame::GapReason;
use sigchain::verify::Anchors;

use crate::fuzz_corpora::second;
use crate::support::{Random, anchored_to, raw_frame, rounds, verify};
use crate::vectors;

/// Judges a file by both and compares all that both must say alike.
fn agree(file: &[u8], anchors: &Anchors) -> Result<(), String> {
    second::compare(&verify(file, anchors), file, anchors)
}

#[test]
fn both_verifiers_agree_on_all_vectors() {
    let wrong: Vec<_> = vectors::all()
        .into_iter()
        .filter_map(|vector| {
            agree(&vector.bytes, &vector.anchors)
                .err()
                .map(|difference| format!("{}: {difference}", vector.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Changes a file as damage, a clumsy tool or an attacker would.
pub fn mutate(random: &mut Random, file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.bytes::<1>()[0],
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, random.bytes::<1>()[0]),
            4 => bytes.truncate(at),
            _ => {
                let len = random.below(40).min(bytes.len() - at);
                let copy = bytes[at..at + len].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

/// Changes frames and makes their CRCs right again, so that only what lies behind them can notice.
pub fn mutate_frames(random: &mut Random, file: &[u8]) -> Vec<u8> {
    let ranges = crate::support::frame_ranges(file);
    let mut frames: Vec<Vec<u8>> = ranges.into_iter().map(|range| file[range].to_vec()).collect();
    for _ in 0..=random.below(2) {
        if frames.len() < 2 {
            break;
        }
        let (at, other) = (random.below(frames.len()), random.below(frames.len()));
        match random.below(7) {
            0 => drop(frames.remove(at)),
            1 => frames.swap(at, other),
            2 => frames.insert(other, frames[at].clone()),
            _ => frames[at] = reframed(random, &frames[at]),
        }
    }
    [file[..8].to_vec(), frames.concat()].concat()
}

fn reframed(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    let (letter, left) = (frame[0], u16::from_be_bytes([frame[2], frame[3]]));
    let mut body = frame[16..].to_vec();
    if random.below(8) == 0 {
        let left = if letter == b'E' { u16::from(random.bytes::<1>()[0] % 3) } else { left };
        return raw_frame(letter, 0, left, &body);
    }
    if body.is_empty() {
        return frame.to_vec();
    }
    let at = random.below(body.len());
    match random.below(4) {
        0 => drop(body.remove(at)),
        1 => body.insert(at, random.bytes::<1>()[0]),
        2 => body[at] = random.bytes::<1>()[0],
        _ => body[at] ^= 1 << random.below(8),
    }
    raw_frame(letter, 0, left, &body)
}

/// [S-verify-2] Same faults, same places, same verdicts, whatever the damage.
#[test]
fn both_verifiers_agree_on_mutated_files() {
    let vectors = vectors::all();
    let mut random = Random::new(0x5eed);
    let mut wrong = Vec::new();
    for round in 0..rounds(4_000, 200_000) {
        let vector = &vectors[random.below(vectors.len())];
        let framed = vector.bytes.len() > 100 && vector.bytes[0] == 0x89;
        let is_whole = framed && crate::support::is_framed(&vector.bytes);
        let file = if is_whole && random.below(3) > 0 {
            mutate_frames(&mut random, &vector.bytes)
        } else {
            mutate(&mut random, &vector.bytes)
        };
        if let Err(difference) = agree(&file, &vector.anchors) {
            let kept = std::env::temp_dir().join(format!("sigchain-differ-{round}"));
            fs::write(&kept, &file).unwrap();
            wrong.push(format!("{} round {round}: {difference}; {}", vector.name, kept.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}

/// The verifiers agree about each prefix of a file, with and without what its owner held.
#[test]
fn both_verifiers_agree_on_every_cut() {
    let mut build = crate::support::Build::new();
    build.events(3).checkpoint().events(2).elide(4, 1, GapReason::Elided).seal().trailer();
    let mut anchors = anchored_to(build.chain_id);
    anchors.checkpoints.push(build.checkpoint_at(4, &crate::support::checkpoint_key()));
    for form in [Form::ChainFile, Form::JsonLines] {
        let file = build.file(form);
        for cut in (0..file.len()).step_by(7) {
            agree(&file[..cut], &anchors).unwrap_or_else(|e| panic!("{cut}: {e}"));
        }
    }
}
