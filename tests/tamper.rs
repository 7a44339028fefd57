//! Whatever is done to a file is seen: every bit, every cut, every entry moved, and in the right place.

use sigchain::chainfile::Form;
use sigchain::fault::{Code, Phase};
use sigchain::frame::{Frame, GapReason, Summary, Trailer};
use sigchain::key::{Role, SigningKey};
use sigchain::reserved::{KeyRecord, Reserved};
use sigchain::verify::{Anchors, Verdict};

use crate::differential::{mutate, mutate_frames};
use crate::support::{
    Build, Draft, Genesis, NAME, Random, anchored_to, checkpoint_key, event_id, file, found,
    frame_ranges, key, rounds, verify,
};
use crate::vectors::every_kind;

/// Fifty entries after genesis, and the frames of the file.
fn fifty() -> Build {
    let mut build = Build::new();
    build.events(50).trailer();
    build
}

fn judge(build: &Build) -> Vec<(Code, Option<u64>)> {
    let report = verify(&build.file(Form::ChainFile), &Anchors::default());
    found(&report)
}

/// The entry with sequence n is frame n + 1: the header stands first.
const HEADER: usize = 1;

/// [S-frame-1] [S-frame-2] A flipped bit is found in the frame that it is in, in the content phase, and nothing else is
/// reported: what follows from it is folded.
#[test]
fn every_bit_of_a_file_with_every_kind_of_frame() {
    let build = every_kind();
    let whole = build.file(Form::ChainFile);
    let ranges = frame_ranges(&whole);
    let kinds: Vec<_> = build.frames.iter().map(Frame::kind).collect();
    assert_eq!(kinds.len(), ranges.len());
    let mut flipped = whole.clone();
    for bit in 0..whole.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        let report = verify(&flipped, &Anchors::default());
        flipped[bit / 8] ^= 1 << (bit % 8);
        let [fault] = report.faults.as_slice() else {
            panic!("bit {bit}: {:?}", found(&report));
        };
        assert_eq!(fault.phase(), Phase::Content, "bit {bit}");
        let at = ranges.iter().position(|range| range.contains(&(bit / 8)));
        let Some(at) = at.filter(|at| *at > 0) else {
            assert_eq!(report.verdict(), Verdict::Unreadable, "bit {bit} of the beginning");
            continue;
        };
        assert_eq!(usize::try_from(fault.place).unwrap(), ranges[at].start, "bit {bit}");
        let in_head = bit / 8 < ranges[at].start + 16;
        let code = if in_head { Code::FrameHead } else { Code::FrameBody };
        assert_eq!(fault.code, code, "bit {bit} of frame {at}");
    }
}

/// A bit flipped by somebody who makes the CRCs right again: whatever a signature or commitment covers is found in the content
/// phase, at its entry.
#[test]
fn every_bit_of_an_entry_with_right_crcs() {
    let build = fifty();
    let whole = build.file(Form::ChainFile);
    let ranges = frame_ranges(&whole);
    let range = ranges[20 + HEADER].clone();
    let body = whole[range.start + 16..range.end].to_vec();
    for bit in 0..body.len() * 8 {
        let mut changed = body.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let frame = crate::support::raw_frame(b'E', 0, 0, &changed);
        let bytes = [&whole[..range.start], &frame, &whole[range.end..]].concat();
        let report = verify(&bytes, &Anchors::default());
        let [fault] = report.faults.as_slice() else {
            panic!("bit {bit}: {:?}", found(&report));
        };
        assert_eq!(usize::try_from(fault.place).unwrap(), range.start, "bit {bit}");
        let codes =
            [Code::Signature, Code::PayloadMismatch, Code::EntryMalformed, Code::KeyUnknown];
        assert!(codes.contains(&fault.code), "bit {bit}: {}", fault.code);
    }
}

/// The frames of a file, with every `left` taken for 0.
fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
    frame_ranges(bytes)
        .into_iter()
        .map(|range| bytes[range.start + 16..range.end].to_vec())
        .collect()
}

#[test]
fn random_edits_are_all_detected() {
    let mut random = Random::new(0xed17);
    let mut build = Build::new();
    build.events(200).checkpoint().events(100).trailer();
    let whole = build.file(Form::ChainFile);
    let anchors = anchored_to(build.chain_id);
    for round in 0..rounds(500, 100_000) {
        let changed = if random.below(2) == 0 {
            mutate(&mut random, &whole)
        } else {
            mutate_frames(&mut random, &whole)
        };
        let report = verify(&changed, &anchors);
        if report.verdict() == Verdict::Intact {
            // `left` is not signed and may say another thing; nothing else may.
            assert_eq!(entries(&changed), entries(&whole), "round {round}");
        }
    }
}

/// [S-seq-1] [S-link-1] [S-trailer-1] [S-trailer-2]
#[test]
fn every_cut_is_detected() {
    let build = every_kind();
    let whole = build.file(Form::ChainFile);
    for cut in 0..whole.len() {
        let report = verify(&whole[..cut], &anchored_to(build.chain_id));
        assert_eq!(report.total(), 1, "cut at {cut}: {:?}", found(&report));
    }
}

#[test]
fn every_deletion_is_found_where_it_is() {
    for at in 1..=50 {
        let mut build = fifty();
        build.frames.remove(at + HEADER);
        let missing = u64::try_from(at).unwrap();
        let expected = if at == 50 {
            vec![(Code::CheckpointSize, None)]
        } else {
            vec![(Code::Sequence, Some(missing + 1))]
        };
        assert_eq!(judge(&build), expected, "without entry {at}");
    }
}

#[test]
fn every_duplication_is_found_where_it_is() {
    for at in 1..=50 {
        for place in at + 1..=51 {
            let mut build = fifty();
            build.frames.insert(place + HEADER, build.frames[at + HEADER].clone());
            let doubled = u64::try_from(at).unwrap();
            assert_eq!(judge(&build), [(Code::Sequence, Some(doubled))], "{at} again at {place}");
        }
    }
}

#[test]
fn every_swap_is_found_where_it_is() {
    for a in 1..=50usize {
        for b in a + 1..=50 {
            let mut build = fifty();
            build.frames.swap(a + HEADER, b + HEADER);
            let found = judge(&build);
            let first = found.first().copied();
            assert_eq!(first, Some((Code::Sequence, u64::try_from(b).ok())), "{a} and {b}");
            // The later entry comes early; those between are then behind; the one after the pair is ahead no more.
            assert!(found.iter().all(|(code, _)| *code == Code::Sequence), "{a} and {b}");
        }
    }
}

/// [S-digest-1] [S-digest-2] An entry of another chain of the same keys never passes for one of this, at any place.
#[test]
fn every_splice_from_another_chain_is_found() {
    let other = {
        let mut build = Build::genesis(&Genesis { salt: 99, ..Genesis::default() });
        build.events(50);
        build
    };
    for from in 1..=50usize {
        for at in 1..=50 {
            let mut build = fifty();
            build.frames[at + HEADER] = other.frames[from + HEADER].clone();
            let sequence = u64::try_from(from).ok();
            assert_eq!(judge(&build), [(Code::Signature, sequence)], "{from} at {at}");
        }
    }
}

#[test]
fn every_insertion_of_a_forged_entry_is_found() {
    for at in 1..=51usize {
        let mut forged = Build::new();
        forged.events(u64::try_from(at).unwrap() - 1);
        let event = sigchain::event::Event::new("agent:forger", "agent.note").unwrap();
        forged.push(Draft::new(event).key(key(66)));
        let mut build = fifty();
        build.frames.insert(at + HEADER, forged.frames[at + HEADER].clone());
        let found = judge(&build);
        assert_eq!(found.first(), Some(&(Code::KeyUnknown, u64::try_from(at).ok())), "at {at}");
    }
}

/// Five parts of a file in every order, one of them missing, one of them twice.
#[test]
fn every_permutation_and_loss_of_parts() {
    let build = fifty();
    let parts: Vec<Vec<Frame<'static>>> =
        build.frames[2..52].chunks(10).map(<[_]>::to_vec).collect();
    let assemble = |order: &[usize]| {
        let mut frames = build.frames[..2].to_vec();
        frames.extend(order.iter().flat_map(|part| parts[*part].clone()));
        frames.extend(build.frames[52..].iter().cloned());
        verify(&file(&frames, Form::ChainFile), &Anchors::default())
    };
    let mut orders: Vec<Vec<usize>> = vec![vec![]];
    for _ in 0..5 {
        orders = orders
            .into_iter()
            .flat_map(|order| {
                let free = (0..5).filter(|part| !order.contains(part)).collect::<Vec<_>>();
                free.into_iter().map(move |part| [order.clone(), vec![part]].concat())
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let is_right = order == [0, 1, 2, 3, 4];
        assert_eq!(assemble(&order).counts.is_empty(), is_right, "{order:?}");
    }
    for part in 0..5 {
        let without: Vec<_> = (0..5).filter(|p| *p != part).collect();
        assert!(!assemble(&without).counts.is_empty(), "without {part}");
        let twice = [&(0..=part).collect::<Vec<_>>()[..], &(part..5).collect::<Vec<_>>()].concat();
        assert!(!assemble(&twice).counts.is_empty(), "{part} twice");
    }
}

/// [S-checkpoint-5] [S-anchor-1] With an older genuine checkpoint in the trailer's place exactly the sizes at which a signed
/// checkpoint exists can be cut to unseen; an anchor beyond shows it.
#[test]
fn an_older_checkpoint_as_trailer_hides_exactly_one_cut() {
    let mut build = Build::new();
    build.events(20);
    let older = build.checkpoint_at(12, &checkpoint_key());
    let held = build.checkpoint_at(17, &checkpoint_key());
    for size in 1..=21usize {
        let mut frames = build.frames[..=size].to_vec();
        let count = u64::try_from(frames.len()).unwrap();
        frames.push(Frame::Trailer(Trailer::new(count, Summary::Signed(older.clone()))));
        let cut = file(&frames, Form::ChainFile);
        let report = verify(&cut, &anchored_to(build.chain_id));
        assert_eq!(report.counts.is_empty(), size == 12, "cut to {size}");
        let mut anchors = anchored_to(build.chain_id);
        anchors.checkpoints.push(held.clone());
        let report = verify(&cut, &anchors);
        assert!(size >= 17 || report.counts.contains_key(&Code::AnchorAhead), "cut to {size}");
    }
}

/// [S-verify-3] A wrong key on a long chain: one fault for each entry, the first hundred kept, all counted.
#[test]
fn a_wrong_key_gives_a_bounded_report() {
    let mut build = Build::new();
    for _ in 0..1000 {
        let event = sigchain::event::Event::new("agent:forger", "agent.note").unwrap();
        build.push(Draft::new(event).key(key(66)).fields(|fields| {
            fields.signer_key_id = crate::support::entry_key().id();
        }));
    }
    build.trailer();
    let report = verify(&build.file(Form::ChainFile), &Anchors::default());
    assert_eq!(report.faults.len(), 100);
    assert_eq!(report.counts.get(&Code::Signature), Some(&1000));
    assert_eq!(report.total(), 1000);
}

/// A length that cannot be trusted ends the reading; a damaged genesis ends all of it.
#[test]
fn damage_at_the_front_is_one_fault() {
    let whole = fifty().file(Form::ChainFile);
    let ranges = frame_ranges(&whole);
    let mut broken = whole.clone();
    broken[ranges[5].start + 5] ^= 0x40;
    assert_eq!(found(&verify(&broken, &Anchors::default())), [(Code::FrameHead, None)]);
    let mut broken = whole;
    broken[ranges[1].start + 60] ^= 1;
    assert_eq!(found(&verify(&broken, &Anchors::default())), [(Code::FrameBody, Some(0))]);
}

/// A gap that cannot be read stands for nobody knows how many entries: the next gap may begin anywhere ahead, and no fault is made of it,
/// but not before what was read already. The name of the chain is told whatever else is wrong.
#[test]
fn a_gap_behind_one_that_cannot_be_read_may_begin_anywhere_ahead() {
    let mut build = Build::new();
    build.events(9).elide(3, 2, GapReason::Elided).elide(6, 2, GapReason::Elided).trailer();
    let judged = |frames: &[usize]| {
        let whole = build.file(Form::ChainFile);
        let ranges = frame_ranges(&whole);
        let mut broken = whole[..ranges[HEADER].start].to_vec();
        for frame in frames {
            let at = broken.len();
            broken.extend_from_slice(&whole[ranges[*frame].clone()]);
            if *frame == 4 {
                broken[at + 16] ^= 1;
            }
        }
        let report = verify(&broken, &Anchors::default());
        assert_eq!(report.name, NAME);
        found(&report)
    };
    // Frames: the header, 0 to 2, the gap of 3 and 4, 5, the gap of 6 and 7, 8 and 9, the trailer.
    assert_eq!(judged(&[1, 2, 3, 4, 6, 7, 8, 9]), [(Code::FrameBody, None)]);
    let back = judged(&[1, 2, 3, 4, 5, 4, 4]);
    assert_eq!(back[0], (Code::FrameBody, None), "{back:?}");
}

/// [S-key-6] T20: any entry signed by the key of an earlier or later epoch is refused.
#[test]
fn a_key_of_another_epoch_is_refused_everywhere() {
    const EPOCHS: u8 = 10;
    let keys: Vec<SigningKey> = (0..EPOCHS).map(|n| key(100 + n)).collect();
    let chain = |wrong: Option<(usize, usize)>| {
        let mut build = Build::genesis(&Genesis {
            keys: vec![(keys[0].clone(), Role::Entry), (checkpoint_key(), Role::Checkpoint)],
            ..Genesis::default()
        });
        for epoch in 0..keys.len() {
            let event = sigchain::event::Event::new("agent:planner", "agent.note").unwrap();
            let signer = match wrong {
                Some((at, by)) if at == epoch => &keys[by],
                _ => &keys[epoch],
            };
            build.push(Draft::new(event).key(signer.clone()));
            if let Some(next) = keys.get(epoch + 1) {
                let id = event_id(build.sequence);
                let record = KeyRecord::new(next, Role::Entry, &build.chain_id, id);
                let old = keys[epoch].id();
                let rotate = Reserved::Rotate { approvals: Vec::new(), key: record, old };
                build.push(Draft::reserved(&rotate).key(keys[epoch].clone()));
            }
        }
        build.trailer();
        judge(&build)
    };
    assert_eq!(chain(None), []);
    let mut refused = 0;
    for at in 0..keys.len() {
        for by in (0..keys.len()).filter(|by| *by != at) {
            let sequence = u64::try_from(1 + 2 * at).ok();
            let code = if by < at { Code::KeyEnded } else { Code::KeyUnknown };
            assert_eq!(chain(Some((at, by))), [(code, sequence)], "epoch {at} by key {by}");
            refused += 1;
        }
    }
    assert_eq!(refused, 90);
}
