//! An HTTP service behind a gate: each request is recorded before it is handled, its answer after. What cannot be recorded is
//! answered with 503, and not handled.
//!
//! `cargo run -p sigchain-example-service -- 127.0.0.1:8080`, then `curl -i http://127.0.0.1:8080/tides`
#![expect(clippy::print_stdout, reason = "an example is read")]

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use sigchain::action::{Act, Said};
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Genesis, Ledger};
use sigchain::payload::Payload;
use sigchain::service::GateLayer;
use tokio::net::TcpListener;
use tower_layer::Layer as _;
use tower_service::Service;

type Question = Request<Incoming>;
type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer
}

/// Looks up when the tide is. The look-up is an action within that of the request.
#[derive(Clone, Debug)]
struct Tides;

impl Tides {
    async fn handle(question: Question) -> Answer {
        let Some(act) = question.extensions().get::<Act>().cloned() else {
            return answer(StatusCode::INTERNAL_SERVER_ERROR, "no action\n".to_owned());
        };
        let lookup = Event::new("service:tides", "database.query");
        let Ok(lookup) = lookup else {
            return answer(StatusCode::INTERNAL_SERVER_ERROR, "no event\n".to_owned());
        };
        let found = act.action(lookup).run_async(async |_| Ok::<_, Infallible>("high at 9:40"));
        match found.await {
            Ok(text) => answer(StatusCode::OK, format!("{text}\n")),
            Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        }
    }
}

impl Service<Question> for Tides {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, question: Question) -> Self::Future {
        Box::pin(async { Ok(Self::handle(question).await) })
    }
}

fn gate(ledger: &Ledger) -> GateLayer<Question, Answer, Infallible> {
    let intent = |question: &Question| {
        let said = json!({"method": question.method().as_str(), "path": question.uri().path()});
        let event = Event::new("service:tides", "http.request")?;
        Ok(event.payload(Payload::new("application/json", said.to_string())?))
    };
    let refusing = |error| Ok(answer(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")));
    GateLayer::new(ledger, intent, refusing)
        .recording(|answer: &Answer| Said::nothing().with("status", answer.status().as_u16()))
        .entering(|question: &mut Question, act| {
            question.extensions_mut().insert(act.clone());
        })
}

/// Answers one connection after the other, for ever.
async fn serve(listener: TcpListener, ledger: Ledger) -> io::Result<()> {
    let gate = gate(&ledger);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(gate.layer(Tides));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                println!("a connection: {error}");
            }
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let genesis = Genesis::new("example.org/tides", SigningKey::generate()?);
    let ledger = Ledger::in_memory(genesis)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        println!("http://{}", listener.local_addr()?);
        serve(listener, ledger).await
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn get(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = "GET /tides HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn what_is_not_recorded_is_not_handled() {
        let genesis = Genesis::new("example.org/tides", SigningKey::generate().unwrap());
        let ledger = Ledger::in_memory(genesis).unwrap();
        let (tell, told) = mpsc::channel();
        let served = ledger.clone();
        std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_io().build().unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, served).await.unwrap();
            });
        });
        let address = told.recv_timeout(Duration::from_secs(20)).unwrap();
        let answer = get(address);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("high at 9:40"), "{answer}");
        let types: Vec<_> = (1..=4)
            .map(|at| ledger.entry(at).unwrap().unwrap().fields.event_type.into_owned())
            .collect();
        assert_eq!(types, ["http.request", "database.query", "database.result", "http.result"]);
        ledger.close(Duration::from_secs(20)).unwrap();
        let answer = get(address);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("not recorded"), "{answer}");
    }
}
