//! An agent of which everything is on record: a clerk who answers letters of customers that want their money back.
//!
//! `cargo run --release --example agent -- DIRECTORY [EPISODES] [SEED]`: 1,000 episodes unless said otherwise, eight at a time, on the
//! ledger in DIRECTORY, which is made if it is not there. What happens in an episode is made from SEED and its number alone. Kill it and
//! run it again: it says what was left open, and goes on. Read what it did with `sigchain episode DIRECTORY run-17`.
//!
//! To be read from the end of an episode's life to its parts: `work` (an episode begins and ends), `Clerk::handle` (what a clerk does),
//! `Clerk::act` (nothing is done before it is on record), `Clerk::review` (somebody else decides), `bank` (intent and outcome are recorded
//! apart), `again` (an episode runs again from its record, and nothing is done).
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example is read, and stops at what it does not expect"
)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, thread};

use serde_json::{Value, json};
use sigchain::action::{Act, ActionError, Ended, Recording, RerunError, Said};
use sigchain::context::Context;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::projection::{Item, Projection as _};
use sigchain::review::{Approved, Request, ReviewError, Reviews, Standing};
use sigchain::select::Filter;
use sigchain::stamp::ValidTime;
use sigchain::vocabulary::{
    CaptureGap, Ending, EpisodeEnd, EpisodeStart, Failure, LlmRequest, RetrievalRequest, ToolCall,
    Words,
};

const CLERK: &str = "agent:clerk";
const MODEL: &str = "clerk-1";
/// Episodes at a time.
const WORKERS: u64 = 8;
/// What the clerk may pay by itself, and what one person may allow, in cents.
const LIMITS: [u64; 2] = [10_000, 25_000];

/// Chance that is the same each time (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (b ^ (b >> 31)) % end
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

/// What is waiting for the clerk in one episode.
struct Case {
    order: u64,
    cents: u64,
    /// Days since it was bought; `None` if the shop does not know the order.
    age: Option<u64>,
    /// The model is too busy when it is asked first.
    is_busy: bool,
    /// What people say if they are asked, of 100: yes below 70, no below 88, nothing from there on.
    people: u64,
    /// What the bank does, of 100: declines below 3, does not answer below 6.
    bank: u64,
    /// The mail's template has a bug.
    has_bug: bool,
    /// The customer also called.
    has_called: bool,
}

impl Case {
    fn new(seed: u64, number: u64) -> Self {
        let mut chance = Chance(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        let is_known = chance.percent(96);
        Self {
            order: 10_000 + chance.below(90_000),
            cents: 500 + chance.below(30_000),
            age: Some(chance.below(38)).filter(|_| is_known),
            is_busy: chance.percent(4),
            people: chance.below(100),
            bank: chance.below(100),
            has_bug: chance.percent(2),
            has_called: chance.percent(3),
        }
    }
}

fn euros(cents: u64) -> String {
    format!("{}.{:02} EUR", cents / 100, cents % 100)
}

/// Why a tool, or the model, has nothing to give.
#[derive(Debug)]
struct ToolError(String);

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn sorry<T>(why: &str) -> Result<T, ToolError> {
    Err(ToolError(why.to_owned()))
}

/// How an episode ended, and what to say of it.
type End = Result<String, (Ending, String)>;

fn failed(error: &ToolError) -> (Ending, String) {
    (Ending::Failed, error.to_string())
}

/// What was done, as those saw it who did it. The chain says the same, or something is wrong.
#[derive(Default)]
struct Figures {
    completed: AtomicU64,
    cancelled: AtomicU64,
    failed: AtomicU64,
    actions: AtomicU64,
    approved: AtomicU64,
    vetoed: AtomicU64,
    expired: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Where a clerk gets what comes of its actions.
enum Way<'w> {
    ByActing,
    FromRecord(&'w Recording),
}

/// Who works on one episode.
struct Clerk<'c> {
    ledger: &'c Ledger,
    reviews: &'c Reviews,
    figures: &'c Figures,
    way: Way<'c>,
    episode: String,
    case: Case,
}

/// What the model said, and the entry in which it was asked: the cause of what it wants done.
struct Answer {
    message: Value,
    asked: Option<EventId>,
}

impl Clerk<'_> {
    /// What the clerk is about to do, in the words that all agents share.
    fn intent(&self, words: impl Into<Words>, cause: Option<EventId>) -> Event {
        let event = words.into().event(CLERK).unwrap().episode(&self.episode).unwrap();
        match cause {
            Some(cause) => event.caused_by(cause),
            None => event,
        }
    }

    /// Does what an intent says. `work` does not run before the intent is durable, and what comes of it, an object, is on record when this
    /// returns: the fields of the outcome's payload. From a record `work` does not run at all.
    fn act(
        &self,
        intent: Event,
        review: Option<&Approved>,
        work: impl FnOnce(&Act) -> Result<Value, ToolError>,
    ) -> Result<Value, ToolError> {
        let action = self.ledger.action(intent);
        if let Way::FromRecord(recording) = self.way {
            return match action.replay(recording) {
                Ok(served) => Ok(Value::Object(served.payload)),
                Err(RerunError::Failed { error_type, message, .. }) => {
                    let message = message.unwrap_or_default();
                    if error_type.as_deref() == Some("panic") {
                        resume_unwind(Box::new(message));
                    }
                    Err(ToolError(message))
                }
                Err(other) => Err(ToolError(other.to_string())),
            };
        }
        let action = match review {
            Some(approved) => action.after_review(approved),
            None => action,
        };
        count(&self.figures.actions);
        let fields = |value: &Value| {
            let fields = value.as_object().into_iter().flatten();
            fields.fold(Said::nothing(), |said, (name, value)| said.with(name, value.clone()))
        };
        match action.recording(fields).run(work) {
            Err(ActionError::Action(error)) => Err(error),
            // Not recorded, not allowed: a clerk whose ledger fails stops.
            done => Ok(done.unwrap()),
        }
    }

    /// Asks the model, and once more if it is busy.
    fn think(&self, talk: &[Value], cause: Option<EventId>) -> Result<Answer, (Ending, String)> {
        let request = LlmRequest::new(MODEL)
            .system("You answer letters about refunds, and pay as the policy says.")
            .messages(Value::from(talk))
            .tools(json!(["orders.get", "policy.search", "payments.refund", "mail.send"]));
        let mut is_busy = self.case.is_busy && talk.len() == 1;
        loop {
            let mut asked = None;
            let answer = self.act(self.intent(request.clone(), cause), None, |act| {
                asked = Some(act.intent().event_id);
                if is_busy { sorry("overloaded, try again") } else { Ok(model(talk)) }
            });
            match answer {
                Err(_) if is_busy => is_busy = false,
                Err(error) => return Err(failed(&error)),
                Ok(answer) => {
                    let message = answer.pointer("/messages/0").cloned().unwrap_or_default();
                    return Ok(Answer { message, asked });
                }
            }
        }
    }

    /// The order and the policy, side by side. The second begins once the first has begun: so they stand in the record in the same order
    /// each time, and can be served again.
    fn look_up(&self, asked: Option<EventId>) -> Value {
        let Case { order, cents, age, .. } = self.case;
        let get = ToolCall::new("orders.get").arguments(json!({"order": order}));
        let search =
            RetrievalRequest::new("policy.search").query(json!("refund after how many days"));
        let (has_begun, first) = mpsc::channel::<()>();
        let (found, policy) = thread::scope(|scope| {
            let found = scope.spawn(move || {
                self.act(self.intent(get, asked), None, |_| {
                    drop(has_begun);
                    // The shop is slow; the policy is found meanwhile.
                    thread::sleep(Duration::from_millis(2));
                    let Some(age) = age else { return sorry("no such order") };
                    Ok(json!({"result": {"order": order, "cents": cents, "days_ago": age}}))
                })
            });
            // It is never sent anything: it ends when the other side is dropped, run or not.
            let _ = first.recv();
            let policy = self.act(self.intent(search, asked), None, |_| {
                let document = json!({"id": "refunds-within-30-days", "score": 0.93});
                Ok(json!({"count": 1, "documents": [document]}))
            });
            (found.join().unwrap(), policy)
        });
        let part = |name: &str, done: Result<Value, ToolError>, field: &str| {
            let response = done.map_or_else(
                |error| error.to_string().into(),
                |done| done.get(field).cloned().unwrap_or_default(),
            );
            json!({"type": "tool_call_response", "id": name, "response": response})
        };
        let parts =
            [part("orders.get", found, "result"), part("policy.search", policy, "documents")];
        json!({"role": "tool", "parts": parts})
    }

    /// Has people decide about an intent, which can then be acted on once, as it is and in time. From a record there is nothing to allow.
    fn review(&self, intent: &Event, cents: u64) -> Result<Option<Approved>, (Ending, String)> {
        let people = self.case.people;
        let vetoed = || (Ending::Cancelled, "a reviewer vetoed it".to_owned());
        let nobody = || (Ending::Cancelled, "no reviewer decided in time".to_owned());
        if let Way::FromRecord(_) = self.way {
            return match people {
                0..70 => Ok(None),
                70..88 => Err(vetoed()),
                _ => Err(nobody()),
            };
        }
        let time = Duration::from_millis(if people < 88 { 600_000 } else { 20 });
        let [_, two_needed] = LIMITS;
        let reason = format!("{} is more than the clerk may pay", euros(cents));
        let request = Request::new(intent, deadline(time))
            .reviewers(["human:ada", "human:ben"])
            .approvals(if cents > two_needed { 2 } else { 1 })
            .reason(&reason);
        let id = self.reviews.request(&request).unwrap().event_id;
        match people {
            0..70 => {
                self.reviews.approve(id, "human:ada", Some("the policy says so")).unwrap();
                if cents > two_needed {
                    self.reviews.approve(id, "human:ben", None).unwrap();
                }
                count(&self.figures.approved);
                Ok(Some(self.reviews.approved(&id).unwrap()))
            }
            70..88 => {
                self.reviews.veto(id, "human:ben", Some("the third one this month")).unwrap();
                count(&self.figures.vetoed);
                Err(vetoed())
            }
            // Silence is a veto. Whoever notices records it.
            _ => {
                while matches!(self.reviews.standing(&id), Standing::Pending { .. }) {
                    thread::sleep(Duration::from_millis(5));
                    self.reviews.sweep(CLERK).unwrap();
                }
                count(&self.figures.expired);
                Err(nobody())
            }
        }
    }

    fn refund(&self, answer: &Answer, wish: &Value) -> End {
        let cents = wish.get("cents").and_then(Value::as_u64).unwrap();
        let call = ToolCall::new("payments.refund").arguments(wish.clone());
        let intent = self.intent(call, answer.asked);
        let [alone, _] = LIMITS;
        let approved = if cents > alone { self.review(&intent, cents)? } else { None };
        let paid = self.act(intent, approved.as_ref(), |act| {
            bank(self, act, cents).map(|paid| json!({"result": paid}))
        });
        paid.map_err(|error| failed(&error))?;
        Ok(format!("{} are on their way back to you", euros(cents)))
    }

    fn write(&self, text: &str, asked: Option<EventId>) -> Result<(), (Ending, String)> {
        let to = format!("customer-of-{}@example.org", self.case.order);
        let mail = ToolCall::new("mail.send").arguments(json!({"to": to, "text": text}));
        let sent = self.act(self.intent(mail, asked), None, |_| {
            if self.case.has_bug {
                // A panic like any other, but that nothing is printed.
                resume_unwind(Box::new("the template has no name".to_owned()));
            }
            Ok(json!({"result": "sent"}))
        });
        sent.map(drop).map_err(|error| failed(&error))
    }

    /// What a clerk does with a letter.
    fn handle(&self, start: Option<EventId>) -> End {
        let letter = format!("I want my money back for order {}.", self.case.order);
        let mut talk = vec![said("user", &json!({"type": "text", "content": letter}))];
        let answer = self.think(&talk, start)?;
        talk.push(answer.message);
        talk.push(self.look_up(answer.asked));
        let answer = self.think(&talk, start)?;
        let said = |field: &str| answer.message.pointer(field);
        let Some(wish) = said("/parts/0/arguments") else {
            let no = said("/parts/0/content").and_then(Value::as_str).unwrap_or("No.");
            self.write(no, answer.asked)?;
            return Ok(format!("no refund: {no}"));
        };
        let refund = self.refund(&answer, wish);
        let letter = match &refund {
            Ok(done) => done,
            Err(_) => "we cannot pay that back now, and will write again",
        };
        self.write(letter, answer.asked)?;
        refund
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline is a time of the wall clock")]
fn deadline(time: Duration) -> ValidTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    ValidTime::from_micros((now + time).as_micros().try_into().unwrap()).unwrap()
}

fn said(role: &str, part: &Value) -> Value {
    json!({"role": role, "parts": [part]})
}

/// Stands in for a model: what it answers depends on nothing but what it is told.
fn model(talk: &[Value]) -> Value {
    let input: usize = talk.iter().map(|message| message.to_string().len() / 4).sum();
    let last = talk.last().unwrap();
    let part = |field: &str| last.pointer(&format!("/parts/0/{field}"));
    let call = |name: &str, arguments: &Value| json!({"type": "tool_call", "id": name, "name": name, "arguments": arguments});
    let (message, reason) =
        match (part("content"), part("response/days_ago").and_then(Value::as_u64)) {
            (Some(letter), _) => {
                let text = letter.as_str().unwrap_or_default();
                let order: String = text.chars().filter(char::is_ascii_digit).collect();
                let parts = [
                    call("orders.get", &json!({"order": order.parse::<u64>().unwrap_or(0)})),
                    call("policy.search", &json!({"query": "refund after how many days"})),
                ];
                (json!({"role": "assistant", "parts": parts}), "tool_call")
            }
            (_, Some(0..=30)) => {
                let arguments =
                    json!({"order": part("response/order"), "cents": part("response/cents")});
                (said("assistant", &call("payments.refund", &arguments)), "tool_call")
            }
            (_, Some(days)) => {
                let no = format!("It was bought {days} days ago; we pay back within 30.");
                (said("assistant", &json!({"type": "text", "content": no})), "stop")
            }
            (_, None) => {
                let no = "We do not know this order.";
                (said("assistant", &json!({"type": "text", "content": no})), "stop")
            }
        };
    let output = message.to_string().len() / 4;
    json!({"messages": [message], "input_tokens": input, "output_tokens": output, "finish_reasons": [reason], "model": MODEL})
}

/// What `payments.refund` does, as an action within that one. It asks another system, and knows no answer from none: intent and outcome
/// are recorded apart.
fn bank(clerk: &Clerk<'_>, act: &Act, cents: u64) -> Result<String, ToolError> {
    let call = ToolCall::new("bank.transfer").arguments(json!({"cents": cents, "currency": "EUR"}));
    let transfer = act.action(call.event("service:payments").unwrap()).begin().unwrap();
    count(&clerk.figures.actions);
    let message = |text: &str| Said::nothing().with("message", text);
    let (ended, done) = match clerk.case.bank {
        0..3 => (
            Ended::Failed(Failure::Error, message("the account is closed")),
            sorry("the bank declines"),
        ),
        3..6 => (
            Ended::Failed(Failure::Timeout, message("no answer for 30 s")),
            sorry("the bank does not answer"),
        ),
        _ => (Ended::Done(Said::result("booked")), Ok(format!("{} paid back", euros(cents)))),
    };
    transfer.end(clerk.ledger, ended).unwrap();
    done
}

/// One episode from its beginning to its end.
fn work(ledger: &Ledger, reviews: &Reviews, figures: &Figures, seed: u64, number: u64) {
    let case = Case::new(seed, number);
    let (way, episode) = (Way::ByActing, format!("run-{number}"));
    let clerk = Clerk { ledger, reviews, figures, way, episode, case };
    let goal = format!("answer the letter about order {}", clerk.case.order);
    let start = EpisodeStart::new().agent("clerk").workflow("refunds").goal(goal);
    let start = ledger.append(clerk.intent(start, None)).unwrap().event_id;
    if clerk.case.has_called {
        let gap = CaptureGap::new("the customer also called, and calls are not recorded");
        ledger.append(clerk.intent(gap.source("telephone").missed(1_u64), Some(start))).unwrap();
    }
    let (status, summary) = match catch_unwind(AssertUnwindSafe(|| clerk.handle(Some(start)))) {
        Ok(Ok(summary)) => (Ending::Completed, summary),
        Ok(Err(end)) => end,
        // The panic is on record with its action.
        Err(_) => (Ending::Failed, "the clerk met a bug".to_owned()),
    };
    let end = EpisodeEnd::new(status).summary(summary);
    ledger.append(clerk.intent(end, Some(start))).unwrap();
    count(match status {
        Ending::Completed => &figures.completed,
        Ending::Cancelled => &figures.cancelled,
        _ => &figures.failed,
    });
}

/// Says what a run left that was killed, and ends its episodes. Gives the number of the next one.
///
/// What came of its open actions nobody knows: they stay open, and a person looks with the bank whether the money was sent.
fn pick_up(ledger: &Ledger, reviews: &Reviews, figures: &Figures) -> u64 {
    let (mut context, mut last) = (Context::default(), 0);
    for written in ledger.select(&Filter::new()).unwrap() {
        let written = written.unwrap();
        context.apply(&Item::new(ledger.chain_id(), &written.fields, &written.part));
        let number = written.fields.episode_id.as_deref().and_then(|id| id.strip_prefix("run-"));
        last = last.max(number.and_then(|number| number.parse().ok()).unwrap_or(0));
    }
    let Context { actions, episodes, reviews: asked, .. } = context;
    if !episodes.open.is_empty() {
        let [episodes, asked] = [episodes.open.len(), asked.open.len()];
        println!(
            "the last run was killed: {episodes} episodes, {} actions and {asked} reviews were open",
            actions.open.len()
        );
    }
    for action in actions.open.values() {
        let (name, episode) = (action.name.as_deref(), action.episode.as_deref());
        let [name, episode] = [name.unwrap_or_default(), episode.unwrap_or_default()];
        println!(
            "  entry {}, {name} in {episode}: begun, and nobody knows what came of it",
            action.begun.sequence
        );
    }
    for review in asked.open.values() {
        // Of the two, ada is asked first, and who has approved cannot veto.
        match reviews.veto(review.begun.event_id, "human:ben", Some("its clerk is gone")) {
            Ok(_) => count(&figures.vetoed),
            Err(ReviewError::Expired { .. }) => count(&figures.expired),
            Err(error) => println!("  {error}"),
        }
    }
    for episode in episodes.open.keys() {
        let end = EpisodeEnd::new(Ending::Cancelled).summary("its clerk was killed");
        ledger.append(end.event(CLERK).unwrap().episode(episode).unwrap()).unwrap();
        count(&figures.cancelled);
    }
    last + 1
}

/// Runs an episode again from its record, and records how far that went. Nothing is done: no action, no review, no mail.
fn again(ledger: &Ledger, reviews: &Reviews, seed: u64, number: u64) -> bool {
    let (episode, case) = (format!("run-{number}"), Case::new(seed, number));
    let recording = Recording::of(ledger, &episode).unwrap();
    let (way, figures) = (Way::FromRecord(&recording), Figures::default());
    let clerk = Clerk { ledger, reviews, figures: &figures, way, episode, case };
    let before = ledger.head().sequence;
    drop(catch_unwind(AssertUnwindSafe(|| clerk.handle(None))));
    let done = ledger.head().sequence - before;
    ledger.append(recording.event(CLERK).unwrap()).unwrap();
    println!(
        "{} again from its record: {} outcomes served, {done} entries appended meanwhile",
        clerk.episode,
        recording.served()
    );
    if let Some(difference) = recording.difference() {
        println!("  {difference}");
    }
    done == 0 && recording.served() > 0 && recording.difference().is_none()
}

fn open(path: &Path) -> Ledger {
    // Anybody knows these keys. Real ones are made at random, and kept in files under a passphrase (`sigchain::keyfile`); and a real ledger
    // has anchors, and somebody elsewhere who holds its checkpoints.
    let key = |n: u8| SigningKey::from_seed(&[n; 32]).unwrap();
    let options = Options::new().files(Files::new().anchors(Vec::new()));
    if path.exists() {
        return Ledger::open_at(path, Signers::new(key(1), key(2)), options).unwrap();
    }
    let genesis = Genesis::new("example.org/clerk", key(1)).checkpoints(key(2));
    Ledger::create_at(path, genesis, options).unwrap()
}

fn table(figures: &Figures, entries: u64, took: Duration) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let row = |what: &str, how_many: u64| println!("{what:<24}{how_many:>9}");
    row("episodes completed", get(&figures.completed));
    row("episodes cancelled", get(&figures.cancelled));
    row("episodes failed", get(&figures.failed));
    row("reviews approved", get(&figures.approved));
    row("reviews vetoed", get(&figures.vetoed));
    row("reviews expired", get(&figures.expired));
    row("actions", get(&figures.actions));
    row("entries", entries);
    let millis = u64::try_from(took.as_millis()).unwrap().max(1);
    row("entries a second", entries * 1000 / millis);
}

/// All of it, with these arguments. Gives the exit code.
pub(crate) fn run(arguments: &[String]) -> u8 {
    let number = |at: usize, otherwise: u64| {
        arguments.get(at).map_or(Some(otherwise), |text| text.parse().ok())
    };
    let (Some(directory), Some(episodes), Some(seed)) =
        (arguments.first(), number(1, 1000), number(2, 1))
    else {
        println!("usage: agent DIRECTORY [EPISODES] [SEED]");
        return 2;
    };
    let ledger = open(Path::new(directory));
    let reviews = ledger.reviews().unwrap();
    let (figures, start, before) = (Figures::default(), Instant::now(), ledger.head().sequence);
    let first = pick_up(&ledger, &reviews, &figures);
    let next = AtomicU64::new(first);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + episodes {
                        break;
                    }
                    work(&ledger, &reviews, &figures, seed, number);
                }
            });
        }
    });
    table(&figures, ledger.head().sequence - before, start.elapsed());
    let is_same = episodes == 0 || again(&ledger, &reviews, seed, first);
    println!("sigchain verify {directory} --chain-id {}", ledger.chain_id());
    ledger.close(Duration::from_secs(60)).unwrap();
    u8::from(!is_same)
}

fn main() -> ExitCode {
    ExitCode::from(run(&env::args().skip(1).collect::<Vec<_>>()))
}
