//! A gate around a service.

use std::convert::Infallible;
use std::future::{Future, Ready, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::json;
use sigchain::action::{Act, Said};
use sigchain::event::Event;
use sigchain::ledger::Ledger;
use sigchain::payload::{Part, Payload};
use sigchain::service::GateLayer;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::action::block_on;
use crate::ledger::support::{ledger, until, verified};

/// A request: a path, and what it is given of its action.
struct Request {
    path: &'static str,
    act: Option<Act>,
}

fn request(path: &'static str) -> Request {
    Request { path, act: None }
}

/// Answers with 200, and counts how often.
#[derive(Clone, Debug, Default)]
struct Inner {
    calls: Arc<AtomicUsize>,
}

#[derive(Debug, PartialEq, Eq)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the backend is gone")
    }
}

impl Service<Request> for Inner {
    type Response = u16;
    type Error = Gone;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<u16, Gone>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if request.path == "/hangs" {
            return Box::pin(pending());
        }
        let act = request.act;
        Box::pin(async move {
            if request.path == "/fails" {
                return Err(Gone);
            }
            if let Some(act) = act {
                let lookup = Event::new("agent:server", "database.query").unwrap();
                let done = act.action(lookup).run_async(async |_| Ok::<_, Infallible>(1));
                done.await.map_err(|_| Gone)?;
            }
            Ok(200)
        })
    }
}

fn layer(ledger: &Ledger) -> GateLayer<Request, u16, Gone> {
    let intent = |request: &Request| {
        let payload = json!({"path": request.path}).to_string();
        let event = Event::new("agent:server", "http.request")?;
        Ok(event.payload(Payload::new("application/json", payload)?))
    };
    GateLayer::new(ledger, intent, |_| Ok(503))
        .recording(|status| Said::nothing().with("status", *status))
        .entering(|request: &mut Request, act| request.act = Some(act.clone()))
}

fn entries(ledger: &Ledger) -> Vec<(String, serde_json::Value)> {
    (1..=ledger.head().sequence)
        .map(|at| {
            let written = ledger.entry(at).unwrap().unwrap();
            let Part::Whole(leaf) = &written.part else { panic!() };
            let payload = serde_json::from_slice(&leaf.bytes).unwrap();
            (written.fields.event_type.to_string(), payload)
        })
        .collect()
}

#[test]
fn a_request_is_recorded_before_it_is_handled() {
    let ledger = ledger();
    let inner = Inner::default();
    let mut gate = layer(&ledger).layer(inner.clone());
    let mut context = Context::from_waker(Waker::noop());
    assert!(gate.poll_ready(&mut context).is_ready());
    assert_eq!(block_on(gate.call(request("/a"))), Ok(200));
    let types = [
        ("http.request", json!({"capture": "gate", "path": "/a"})),
        ("database.query", json!({"capture": "gate"})),
        ("database.result", json!({"capture": "gate", "result": 1})),
        ("http.result", json!({"capture": "gate", "status": 200})),
    ];
    assert_eq!(entries(&ledger), types.map(|(name, said)| (name.to_owned(), said)));
    assert_eq!(block_on(gate.call(request("/fails"))), Err(Gone));
    let (last, said) = entries(&ledger).pop().unwrap();
    assert_eq!((&*last, &said["message"]), ("http.error", &json!("the backend is gone")));
    // A client that goes.
    let mut call = gate.call(request("/hangs"));
    while inner.calls.load(Ordering::SeqCst) < 3 {
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    drop(call);
    until("it is recorded that it was cancelled", || ledger.head().sequence == 8);
    assert_eq!(entries(&ledger).pop().unwrap().1["kind"], "cancelled");
    assert_eq!(verified(&ledger), 9);
}

#[test]
fn what_cannot_be_recorded_is_not_handled() {
    let ledger = ledger();
    let inner = Inner::default();
    let mut gate = layer(&ledger).layer(inner.clone());
    ledger.close(Duration::from_secs(5)).unwrap();
    assert_eq!(block_on(gate.call(request("/a"))), Ok(503));
    assert_eq!(inner.calls.load(Ordering::SeqCst), 0);
}

/// Closes the ledger, and answers.
#[derive(Clone)]
struct Closes(Ledger);
impl Service<Request> for Closes {
    type Response = u16;
    type Error = Gone;
    type Future = Ready<Result<u16, Gone>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Request) -> Self::Future {
        self.0.close(Duration::from_secs(5)).unwrap();
        ready(Ok(201))
    }
}

#[test]
fn an_answer_is_given_though_it_cannot_be_recorded() {
    let ledger = ledger();
    let mut gate = layer(&ledger).layer(Closes(ledger.clone()));
    assert_eq!(block_on(gate.call(request("/a"))), Ok(201));
    assert_eq!(entries(&ledger).len(), 1);
}
