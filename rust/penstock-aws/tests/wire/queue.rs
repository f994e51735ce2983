//! Runs the shared suites of queue sources against a server of SQS on the wire.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_aws::sqs::{SqsOptions, SqsSource};
use penstock_runtime::ports::QueueSource;
use penstock_runtime::testing::queue::{QueueBench, VISIBILITY};
use penstock_servers::clock::Clock;
use penstock_servers::faults::Faults;
use penstock_servers::server::Server;
use penstock_servers::service::Call;
use penstock_servers::sqs::Sqs;
use penstock_servers::sqs::settings::Settings;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Refresh, access};

mod standard {
    penstock_runtime::ports_suite!(queue: super::standard_queue);
}
mod fifo {
    penstock_runtime::ports_suite!(fifo: super::fifo_queue);
}

async fn standard_queue() -> Queue {
    Queue::new("orders", json!({})).await
}

async fn fifo_queue() -> Queue {
    Queue::new("orders.fifo", json!({"FifoQueue": "true"})).await
}

/// A queue on a server of its own, and a source that reads it.
pub struct Queue {
    pub server: Arc<Server>,
    pub source: Arc<SqsSource>,
    name: &'static str,
    serving: JoinHandle<()>,
}

impl Queue {
    pub async fn new(name: &'static str, attributes: Value) -> Self {
        let clock = Arc::new(Clock::new());
        let service = Sqs::new(Arc::clone(&clock), Settings::default());
        let server = Arc::new(Server::new(Box::new(service), clock));
        let (listener, port) = Server::listen(0).await.expect("a free port");
        let serving = tokio::spawn(Arc::clone(&server).serve(listener));
        let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
        book.push(
            "default",
            access(&format!("http://127.0.0.1:{port}"), &json!({})),
        );
        let options = SqsOptions {
            queue: name.to_owned(),
            account: "000000000000".to_owned(),
            access: "default".to_owned(),
        };
        let made = Self {
            server,
            source: Arc::new(SqsSource::new(options, book)),
            name,
            serving,
        };
        let mut all = json!({"VisibilityTimeout": VISIBILITY.as_secs().to_string()});
        for (key, value) in attributes.as_object().expect("an object") {
            all[key] = value.clone();
        }
        made.call(
            "CreateQueue",
            &json!({"QueueName": name, "Attributes": all}),
        );
        made
    }

    /// Carries a call out on the service itself, beside the wire and its faults.
    pub fn call(&self, operation: &str, request: &Value) -> Value {
        let body = request.to_string().into();
        let answer = self.server.service.answer(Call {
            operation,
            body: &body,
            region: "us-east-1",
            host: "127.0.0.1",
            effect: None,
        });
        let parts = answer.expect("the server takes it").parts.concat();
        serde_json::from_slice(&parts).unwrap_or(Value::Null)
    }

    /// Sends bodies, each to a group or to none.
    pub fn send_with(&self, body: &str, more: &Value) {
        let mut request = json!({"QueueUrl": self.url(), "MessageBody": body});
        for (key, value) in more.as_object().expect("an object") {
            request[key] = value.clone();
        }
        self.call("SendMessage", &request);
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1/000000000000/{}", self.name)
    }

    /// Messages that can be received, and that are in flight.
    pub fn depth(&self) -> (u64, u64) {
        let order = json!({"queue": self.name}).to_string().into();
        let answer = self.server.service.control("depth", &order);
        let depth = answer.expect("is known").expect("is taken");
        let count = |name: &str| depth[name].as_u64().expect("a count");
        (count("visible"), count("in_flight"))
    }

    /// Orders a fault.
    pub fn fault(&self, order: &Value) {
        let order = serde_json::from_value(order.clone()).expect("an order");
        Faults::add(&self.server.faults, order).expect("is taken");
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl QueueBench for Queue {
    fn source(&self) -> Arc<dyn QueueSource> {
        Arc::clone(&self.source) as Arc<dyn QueueSource>
    }

    fn send<'a>(&'a self, body: &'a str, group: Option<&'a str>) -> BoxFuture<'a, ()> {
        let more = match group {
            Some(group) if self.name.ends_with(".fifo") => {
                json!({"MessageGroupId": group, "MessageDeduplicationId": body})
            }
            _ => json!({}),
        };
        self.send_with(body, &more);
        Box::pin(std::future::ready(()))
    }

    fn pass(&self, span: Duration) -> BoxFuture<'_, ()> {
        let ms = u64::try_from(span.as_millis()).expect("short");
        self.server.clock.advance(ms);
        Box::pin(std::future::ready(()))
    }
}
