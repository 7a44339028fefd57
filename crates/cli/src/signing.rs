//! Who signs: keys in files of this user, or with the OpenSSH agent.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use sigchain::agent::{Agent, AgentError, AgentSigner, Identity, fingerprint};
use sigchain::digest::Digest;
use sigchain::key::{KeyId, PublicKey, Purpose, Role, Signature, SigningKey};
use sigchain::keyfile::{self, Keys, Passphrase};
use sigchain::signer::{Signer, SignerError, Statement};
use sigchain::text;

use crate::args::{SignerName, SignerOptions};
use crate::ledger::keys::{self, Enrolled};
use crate::passphrase;
use crate::trouble::Trouble;

/// How long the agent is given for each answer: somebody may have to confirm it.
const CONFIRMING: Duration = Duration::from_secs(60);

/// A key that signs.
#[derive(Clone, Debug)]
pub(crate) enum Hand {
    File(SigningKey),
    Agent(AgentSigner),
}

impl Hand {
    fn inner(&self) -> &dyn Signer {
        match self {
            Self::File(key) => key,
            Self::Agent(signer) => signer,
        }
    }
}

impl Signer for Hand {
    fn public(&self) -> &PublicKey {
        self.inner().public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        self.inner().sign(statement)
    }

    fn at_once(&self) -> usize {
        self.inner().at_once()
    }

    fn sign_several(
        &self,
        purpose: Purpose,
        digests: &[Digest],
    ) -> (Vec<Signature>, Option<SignerError>) {
        self.inner().sign_several(purpose, digests)
    }

    fn is_in_process(&self) -> bool {
        self.inner().is_in_process()
    }
}

/// What the user said about who signs, and what the agent has of it.
#[derive(Debug)]
pub(crate) struct Signing {
    options: SignerOptions,
    /// Keys that were named, in their order.
    named: Vec<AgentSigner>,
    /// The agent, if any of its keys will do.
    any: Option<Agent>,
    asked: OnceCell<passphrase::Phrase>,
}

impl Signing {
    /// The agent is asked once, and only if it was named.
    pub(crate) fn open(options: &SignerOptions) -> Result<Self, Trouble> {
        let (mut named, mut any) = (Vec::new(), None);
        if !options.signers.is_empty() {
            let agent = Agent::from_env().map_err(|error| of_agent(&error))?;
            let agent = agent.with_timeout(CONFIRMING);
            for name in &options.signers {
                match name {
                    SignerName::Agent(name) => {
                        named.push(agent.signer(name).map_err(|error| of_agent(&error))?);
                    }
                    SignerName::AnyOfAgent => any = Some(agent.clone()),
                }
            }
        }
        Ok(Self { options: options.clone(), named, any, asked: OnceCell::new() })
    }

    /// As `open`; a key that was named has to be one that this chain lets sign, or the wrong one was named.
    pub(crate) fn of(options: &SignerOptions, enrolled: &Enrolled) -> Result<Self, Trouble> {
        let signing = Self::open(options)?;
        for signer in &signing.named {
            let id = signer.public().id();
            if enrolled.keys.get(&id).is_none_or(|key| key.until.is_some()) {
                let print = fingerprint(signer.public());
                let what = format!("the agent's key {print} (key id {id}) signs nothing here");
                let next =
                    "sigchain key show LEDGER lists the chain's keys; sigchain key enroll adds one";
                let expected = "an active key of this chain";
                return Err(Trouble::unreadable(what, expected, next).coded("KEY_UNKNOWN"));
            }
        }
        Ok(signing)
    }

    /// The key of the agent that was named and signs in this role, if there is one.
    pub(crate) fn in_role(&self, enrolled: &Enrolled, role: Role) -> Result<Option<Hand>, Trouble> {
        let active: Vec<KeyId> = enrolled.active(role).collect();
        let is_named = |signer: &&AgentSigner| active.contains(&signer.public().id());
        if let Some(signer) = self.named.iter().find(is_named) {
            return Ok(Some(Hand::Agent(signer.clone())));
        }
        let Some(agent) = &self.any else { return Ok(None) };
        let mut held = agent.identities().map_err(|error| of_agent(&error))?;
        held.retain(|identity| active.contains(&identity.public.id()));
        only(agent, &held)
    }

    /// The one key that was named, whatever it is for; none if none was.
    pub(crate) fn first(&self) -> Result<Option<Hand>, Trouble> {
        if let Some(signer) = self.named.first() {
            return Ok(Some(Hand::Agent(signer.clone())));
        }
        match &self.any {
            Some(agent) => only(agent, &agent.identities().map_err(|error| of_agent(&error))?),
            None => Ok(None),
        }
    }

    /// All keys that were named, in their order.
    pub(crate) fn named(&self) -> impl Iterator<Item = Hand> {
        self.named.iter().cloned().map(Hand::Agent)
    }

    /// The same options without this key, which the chain does not know yet.
    pub(crate) fn others(&self, id: KeyId) -> SignerOptions {
        let mut named = self.named.iter();
        let mut options = self.options.clone();
        options.signers.retain(|name| match name {
            SignerName::AnyOfAgent => true,
            SignerName::Agent(_) => named.next().is_none_or(|signer| signer.public().id() != id),
        });
        options
    }

    /// Whether any of the agent's keys will do.
    pub(crate) fn is_any(&self) -> bool {
        self.any.is_some()
    }

    /// The key of this id, from this user's keys.
    pub(crate) fn in_home(&self, id: KeyId) -> Result<Hand, Trouble> {
        let store = Keys::in_home().map_err(|error| keys::of_file(&error))?;
        let shown = store.path(id);
        self.read(&shown, |passphrase| store.load(id, passphrase))
    }

    /// The key in this file.
    pub(crate) fn in_file(&self, path: &Path) -> Result<Hand, Trouble> {
        self.read(path, |passphrase| keyfile::read(path, passphrase))
    }

    fn read(
        &self,
        path: &Path,
        load: impl FnOnce(Passphrase<'_>) -> Result<SigningKey, keyfile::FileError>,
    ) -> Result<Hand, Trouble> {
        keys::protect();
        let mut ask = || {
            if let Some(known) = self.asked.get() {
                return Ok(known.to_string());
            }
            let asked = passphrase::of_key(self.options.passphrase_file.as_deref(), path)?;
            Ok(self.asked.get_or_init(|| asked).to_string())
        };
        load(Passphrase::Ask(&mut ask)).map(Hand::File).map_err(|error| keys::of_file(&error))
    }
}

fn only(agent: &Agent, held: &[Identity]) -> Result<Option<Hand>, Trouble> {
    match held {
        [] => Ok(None),
        [one] => {
            let signer = agent.signer_of(&one.public).map_err(|error| of_agent(&error))?;
            Ok(Some(Hand::Agent(signer)))
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|identity| fingerprint(&identity.public)).collect();
            let what = format!("{} keys of the agent fit: {}", several.len(), names.join(", "));
            Err(Trouble::usage(what, "the one that is meant: --signer agent:SHA256:..."))
        }
    }
}

/// Why the agent did not do it. Its text says what was expected and what to do.
pub(crate) fn of_agent(error: &AgentError) -> Trouble {
    let text = text::printable(&error.to_string());
    let (what, rest) = text.split_once("; expected ").unwrap_or((&text, "an agent that answers"));
    let (expected, next) = rest.split_once(": ").unwrap_or((rest, "see `ssh-add -l`"));
    Trouble::unreadable(what, expected, next).coded("AGENT")
}

/// Why a signer did not sign.
pub(crate) fn of_signer(error: &SignerError) -> Trouble {
    let what = format!("the signer failed: {error}");
    let next = "nothing was changed: see to the signer, and try again";
    Trouble::of_ledger(crate::exit::REFUSED, what, "a signature", next).coded("SIGNER_FAILED")
}
