//! Chains of the kinds that the demonstration does not make: with payloads that are withheld or erased, that continue each other,
//! and large ones.

use std::fs;
use std::path::Path;

use sigchain::chain::{Candidate, Chain, Link};
use sigchain::chainfile::{Form, Writer};
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::{Role, SigningKey};
use sigchain::payload::{Part, Payload};
use sigchain::reserved::{KeyRecord, Predecessor, Reserved};
use sigchain::stamp::Stamp;
use sigchain::tree::Frontier;

/// A chain under construction.
struct Build {
    key: SigningKey,
    chain: Option<Chain>,
    tree: Frontier,
    entries: Vec<(sigchain::entry::Entry<'static>, Part<'static>)>,
    tag: u64,
}

impl Build {
    fn new(tag: u64, predecessor: Option<Predecessor>) -> Self {
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let operator = SigningKey::from_seed(&[4; 32]).unwrap();
        let (entries, tree) = (Vec::new(), Frontier::new());
        let mut build = Self { key, chain: None, tree, entries, tag };
        let id = build.id();
        let approve = predecessor.is_some();
        let mut genesis = Reserved::Genesis {
            approvals: Vec::new(),
            keys: vec![KeyRecord::new(&build.key, Role::Entry, &Digest::ZERO, id)],
            name: format!("chain-{tag}"),
            operators: vec![operator.public().operator_hash()],
            predecessor,
        };
        if approve {
            genesis = genesis.approved_by(&operator, &Digest::ZERO, id);
        }
        build.add(genesis.event("sigchain").unwrap(), Some(&genesis), |_| ());
        build
    }

    fn id(&self) -> EventId {
        EventId::new(self.tag * 1000 + u64::try_from(self.entries.len()).unwrap(), [0; 10])
    }

    fn add(
        &mut self,
        event: Event,
        reserved: Option<&Reserved>,
        hide: impl Fn(&mut Part<'static>),
    ) {
        let head = self.chain.as_ref().and_then(Chain::head);
        let sequence = head.map_or(0, |head| head.sequence + 1);
        let place = Place {
            chain_id: self.chain.as_ref().map_or(Digest::ZERO, Chain::id),
            prior_hash: head.map_or(Digest::ZERO, |head| head.digest),
            sequence,
            stamp: Stamp::from_micros(i64::try_from(self.tag * 1_000_000 + sequence).unwrap())
                .unwrap(),
            signer: self.key.id(),
        };
        let mut part = event.payload_ref().clone().salted(|| [7; 16]);
        let linked = Linked::new(event, self.id(), part.commitment().unwrap(), &place);
        let link = Link::new(linked.fields(), linked.digest());
        if let Some(chain) = &mut self.chain {
            chain.admit(&Candidate { link, reserved, root: None }).unwrap();
        } else {
            self.chain = Some(Chain::begin(&link, reserved.unwrap()).unwrap());
        }
        let entry = linked.sign(&self.key).unwrap();
        self.tree.push(sigchain::tree::leaf_hash(&entry.digest(), entry.signature()));
        hide(&mut part);
        self.entries.push((entry, part));
    }

    fn note(&mut self, payload: Payload, hide: impl Fn(&mut Part<'static>)) {
        let event = Event::new("agent:\u{202e}evil", "agent.note").unwrap();
        self.add(event.payload(payload), None, hide);
    }

    fn file(&self, form: Form) -> Vec<u8> {
        let id = self.chain.as_ref().unwrap().id();
        let mut writer = Writer::new(Vec::new(), form, id).unwrap();
        for (entry, part) in &self.entries {
            writer.entry(0, entry.clone(), part.clone()).unwrap();
        }
        writer.finish_unsigned().unwrap()
    }

    fn continued(&self, tag: u64) -> Self {
        let size = u64::try_from(self.entries.len()).unwrap();
        let chain = self.chain.as_ref().unwrap().id();
        let (root, statement) = (self.tree.root(), "the disk was lost".to_owned());
        Self::new(tag, Some(Predecessor { chain, evidence: None, root, size, statement }))
    }
}

fn plain(bytes: impl Into<Vec<u8>>) -> Payload {
    Payload::new("text/plain", bytes).unwrap()
}

/// Writes files of the kinds that the demonstration does not make.
pub(crate) fn write(folder: &Path) {
    let mut mixed = Build::new(1, None);
    mixed.note(plain("first line\nsecond \u{1b}[31mline\u{202e}"), |_| ());
    mixed.note(plain("line one\nline \u{202e}two"), |_| ());
    mixed.note(plain((0..=255).collect::<Vec<u8>>().repeat(3)), |_| ());
    let fields = [("city", "text/plain", &b"Bonn"[..]), ("name", "text/plain", b"Dana")];
    mixed.note(Payload::by_field(fields).unwrap(), |part| {
        part.hide("name");
    });
    mixed.note(plain("secret"), |part| *part = Part::Withheld);
    mixed.note(plain("gone"), |part| *part = Part::Erased(7));
    let erased = Reserved::Erased { detail: vec![0xa0], entries: vec![(6, 1)] };
    mixed.add(erased.event("sigchain").unwrap(), Some(&erased), |_| ());
    fs::write(folder.join("mixed.sigchain"), mixed.file(Form::ChainFile)).unwrap();
    let mut one = Build::new(2, None);
    one.note(plain("a"), |_| ());
    let mut two = one.continued(3);
    // What was written after the state that the successor continues.
    one.note(plain("b"), |_| ());
    two.note(plain("c"), |_| ());
    let mut three = two.continued(4);
    three.note(plain("d"), |_| ());
    for (name, build) in [("one", &one), ("two", &two), ("three", &three)] {
        fs::write(folder.join(format!("{name}.sigchain")), build.file(Form::ChainFile)).unwrap();
    }
    let mut other = Build::new(2, None);
    other.note(plain("another"), |_| ());
    let mut liar = other.continued(5);
    liar.note(plain("e"), |_| ());
    let bytes = liar.file(Form::ChainFile);
    fs::write(folder.join("liar.sigchain"), bytes).unwrap();
    let long = (0..300).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
    let mut large = Build::new(6, None);
    (0..400).for_each(|_| large.note(plain(long.as_str()), |_| ()));
    fs::write(folder.join("large.jsonl"), large.file(Form::JsonLines)).unwrap();
}
