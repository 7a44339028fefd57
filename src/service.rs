//! A gate around a service: a request is handled only once it is recorded that it will be.
//!
//! For [tower](https://docs.rs/tower) and everything that is built of its services: HTTP servers and clients, RPC. A [`GateLayer`] makes
//! an intent of each request; the service is called once that is durable, and what it answers is the outcome. Where the intent cannot be
//! recorded the service is not called, and what the caller hears of it is for the layer's owner to say: a response (503 in HTTP), or an
//! error. A request that the client gives up is recorded as cancelled.
//!
//! If the outcome cannot be recorded, the answer is given all the same, since it was done; the intent then stays an open action.
//! `examples/service` is such a server.

use std::fmt::{self, Display};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::action::{Act, ActionError, Said};
use crate::error::{AppendError, Refusal};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::limit::FieldError;

type Intent<Q> = dyn Fn(&Q) -> Result<Event, FieldError> + Send + Sync;
type Refusing<A, E> = dyn Fn(AppendError) -> Result<A, E> + Send + Sync;
type Recording<A> = dyn Fn(&A) -> Said + Send + Sync;
type Entering<Q> = dyn Fn(&mut Q, &Act) + Send + Sync;

/// What a gate does, for requests `Q`, answers `A` and errors `E`.
struct Terms<Q, A, E> {
    ledger: Ledger,
    intent: Box<Intent<Q>>,
    refusing: Box<Refusing<A, E>>,
    recording: Box<Recording<A>>,
    entering: Box<Entering<Q>>,
}

/// Puts gates around services of requests `Q`, answers `A` and errors `E`.
pub struct GateLayer<Q, A, E> {
    terms: Arc<Terms<Q, A, E>>,
}

impl<Q, A, E> Clone for GateLayer<Q, A, E> {
    fn clone(&self) -> Self {
        Self { terms: Arc::clone(&self.terms) }
    }
}

impl<Q, A, E> fmt::Debug for GateLayer<Q, A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateLayer").field("ledger", &self.terms.ledger).finish_non_exhaustive()
    }
}

impl<Q, A, E> GateLayer<Q, A, E> {
    /// `intent` makes the intent of a request; `refusing` says what is answered where that could not be recorded. Of an answer nothing
    /// is recorded but that there is one.
    pub fn new(
        ledger: &Ledger,
        intent: impl Fn(&Q) -> Result<Event, FieldError> + Send + Sync + 'static,
        refusing: impl Fn(AppendError) -> Result<A, E> + Send + Sync + 'static,
    ) -> Self {
        let terms = Terms {
            ledger: ledger.clone(),
            intent: Box::new(intent),
            refusing: Box::new(refusing),
            recording: Box::new(|_| Said::nothing()),
            entering: Box::new(|_, _| {}),
        };
        Self { terms: Arc::new(terms) }
    }

    /// What of an answer is recorded.
    #[must_use]
    pub fn recording(self, recording: impl Fn(&A) -> Said + Send + Sync + 'static) -> Self {
        self.with(|terms| terms.recording = Box::new(recording))
    }

    /// What the request is given of its own action, so that others can be begun within it: in HTTP, an extension.
    #[must_use]
    pub fn entering(self, entering: impl Fn(&mut Q, &Act) + Send + Sync + 'static) -> Self {
        self.with(|terms| terms.entering = Box::new(entering))
    }

    /// Has effect as long as the layer has no clones and has made no service, as while it is built.
    fn with(mut self, change: impl FnOnce(&mut Terms<Q, A, E>)) -> Self {
        if let Some(terms) = Arc::get_mut(&mut self.terms) {
            change(terms);
        }
        self
    }
}

impl<S, Q, A, E> Layer<S> for GateLayer<Q, A, E> {
    type Service = Gate<S, Q, A, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate { inner, terms: Arc::clone(&self.terms) }
    }
}

/// A service with a gate around it.
pub struct Gate<S, Q, A, E> {
    inner: S,
    terms: Arc<Terms<Q, A, E>>,
}

impl<S: Clone, Q, A, E> Clone for Gate<S, Q, A, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), terms: Arc::clone(&self.terms) }
    }
}

impl<S: fmt::Debug, Q, A, E> fmt::Debug for Gate<S, Q, A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, Q, A, E> Service<Q> for Gate<S, Q, A, E>
where
    S: Service<Q, Response = A, Error = E> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    A: Send + 'static,
    E: Display + Send + 'static,
{
    type Response = A;
    type Error = E;
    type Future = Pin<Box<dyn Future<Output = Result<A, E>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        // The one that is ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, fresh);
        let terms = Arc::clone(&self.terms);
        Box::pin(async move {
            let intent = match (terms.intent)(&request) {
                Ok(intent) => intent,
                Err(error) => return (terms.refusing)(Refusal::Field(error).into()),
            };
            let mut request = request;
            let action = terms.ledger.action(intent).recording(|answer| (terms.recording)(answer));
            let done = action.run_async(|act| {
                (terms.entering)(&mut request, &act);
                inner.call(request)
            });
            match done.await {
                Ok(answer) => Ok(answer),
                Err(ActionError::Action(error)) => Err(error),
                Err(ActionError::OutcomeNotRecorded { value, .. }) => value,
                Err(ActionError::NotRecorded(error)) => (terms.refusing)(error),
                // The intent had an id, and was acted on before.
                Err(ActionError::BegunBefore { .. } | ActionError::NotAllowed(_)) => {
                    (terms.refusing)(Refusal::IdBusy.into())
                }
            }
        })
    }
}
