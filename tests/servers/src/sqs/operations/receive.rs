//! Receives messages, and waits for them when asked to.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::deduplication::Attempt;
use super::super::message::{Place, Wanted};
use super::super::model::Model;
use super::super::queue::Queue;
use super::super::receipt::Receipt;
use super::super::{Sqs, invalid};
use super::{read, within};
use crate::faults::Effect;
use crate::service::{Answer, Call, Refusal};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReceiveMessage {
    queue_url: Option<String>,
    max_number_of_messages: Option<i64>,
    wait_time_seconds: Option<i64>,
    visibility_timeout: Option<i64>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    receive_request_attempt_id: Option<String>,
}

/// A receive that was understood.
struct Order {
    url: Option<String>,
    limit: usize,
    visibility_s: Option<u64>,
    attempt: Option<String>,
    wanted: Wanted,
}

pub(in super::super) async fn receive(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let (order, wait) = understand(read(call.body)?)?;
    let began = Instant::now();
    loop {
        let moved = sqs.clock.moved();
        let (wake, next_ms, patience) = {
            let now_ms = sqs.clock.now_ms();
            let mut model = sqs.lock();
            if let Some(answer) = attempt(&mut model, &order, call, now_ms)? {
                return Ok(answer);
            }
            let queue = model.queue(order.url.as_deref(), now_ms)?;
            let wait = Duration::from_secs(wait.unwrap_or(queue.properties.wait_s));
            let next_ms = queue.next_ms().map(|at_ms| at_ms.saturating_sub(now_ms));
            let patience = wait.saturating_sub(began.elapsed());
            // Made under the lock, so that no wake between here and the wait is missed.
            (
                std::sync::Arc::clone(&queue.wake).notified_owned(),
                next_ms,
                patience,
            )
        };
        if patience.is_zero() || call.without_records() {
            return Ok(Answer::json(&serde_json::json!({})));
        }
        let until = next_ms.map_or(patience, |ms| patience.min(Duration::from_millis(ms)));
        tokio::select! {
            () = wake => {}
            () = moved => {}
            () = tokio::time::sleep(until) => {}
        }
    }
}

fn understand(request: ReceiveMessage) -> Result<(Order, Option<u64>), Refusal> {
    let limit = request.max_number_of_messages.unwrap_or(1);
    if !(1..=10).contains(&limit) {
        return Err(invalid(format!(
            "Value {limit} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 \
             and 10, if provided."
        )));
    }
    let wait = request
        .wait_time_seconds
        .map(|wait| within("WaitTimeSeconds", wait, 20));
    let visibility = request
        .visibility_timeout
        .map(|span| within("VisibilityTimeout", span, 43_200));
    let mut system = request.attribute_names;
    system.extend(request.message_system_attribute_names);
    let order = Order {
        url: request.queue_url,
        limit: usize::try_from(limit).unwrap_or(1),
        visibility_s: visibility.transpose()?,
        attempt: request.receive_request_attempt_id,
        wanted: Wanted {
            attributes: request.message_attribute_names,
            system,
        },
    };
    Ok((order, wait.transpose()?))
}

/// One look; `None` when there is nothing.
fn attempt(
    model: &mut Model,
    order: &Order,
    call: Call<'_>,
    now_ms: u64,
) -> Result<Option<Answer>, Refusal> {
    let url = order.url.as_deref();
    let (over, fifo_over) = {
        let settings = &model.settings;
        (settings.in_flight_max, settings.fifo_in_flight_max)
    };
    let serial = model.next_serial();
    let queue = model.queue(url, now_ms)?;
    if order.attempt.is_some() && !queue.properties.fifo {
        return Err(invalid(
            "The request include parameter that is not valid for this queue type.",
        ));
    }
    if let Some(again) = order
        .attempt
        .as_deref()
        .and_then(|id| answered(queue, id, now_ms))
    {
        return Ok(Some(write(queue, &again, &order.wanted)));
    }
    let most = if queue.properties.fifo {
        fifo_over
    } else {
        over
    };
    if queue.depth().in_flight >= most {
        return Err(Refusal {
            status: 403,
            ..Refusal::client("OverLimit", "Too many messages are in flight.")
        });
    }
    if call.without_records() || !queue.has_ready() {
        return Ok(None);
    }
    let name = queue.name.clone();
    let Some(mut queue) = model.queues.remove(&name) else {
        return Ok(None);
    };
    let taken = take(model, &mut queue, order, call, serial, now_ms);
    let answer = (!taken.is_empty()).then(|| write(&queue, &taken, &order.wanted));
    model.queues.insert(name, queue);
    Ok(answer)
}

/// Takes messages, and moves those that were received too often.
fn take(
    model: &mut Model,
    queue: &mut Queue,
    order: &Order,
    call: Call<'_>,
    serial: u64,
    now_ms: u64,
) -> Vec<(u64, u64)> {
    let visibility_s = order.visibility_s.unwrap_or(queue.properties.visibility_s);
    let until_ms = now_ms + visibility_s * 1000;
    let redrive = model.redrive(queue);
    let most = redrive.as_ref().map(|(most, _)| *most);
    let taken = queue.take(order.limit, until_ms, now_ms, most);
    for mut message in taken.dead {
        let key = model.next_serial();
        message.moved_from = Some(super::super::model::arn(&queue.name, call.region));
        message.place = Place::Ready;
        let target = redrive
            .as_ref()
            .and_then(|(_, to)| model.queues.get_mut(to));
        if let Some(target) = target {
            target.add(key, message);
        }
    }
    let messages: Vec<(u64, u64)> = taken.keys.iter().map(|key| (*key, serial)).collect();
    for &(key, serial) in &messages {
        queue.stamp(key, serial);
    }
    if let (Some(id), false) = (&order.attempt, messages.is_empty()) {
        let attempt = Attempt {
            at_ms: now_ms,
            messages: messages.clone(),
        };
        queue.attempts.remember(id, attempt);
    }
    if call.effect == Some(&Effect::Duplicate {}) || visibility_s == 0 {
        queue.show_again(&taken.keys);
    }
    messages
}

/// What a receive was answered before, as long as nothing has become of those messages.
fn answered(queue: &mut Queue, id: &str, now_ms: u64) -> Option<Vec<(u64, u64)>> {
    let attempt = queue.attempts.known(id, now_ms)?;
    let same = attempt.messages.iter().all(|&(key, serial)| {
        queue.message(key).is_some_and(|message| {
            message.receipt == serial && matches!(message.place, Place::InFlight { .. })
        })
    });
    if !same {
        queue.attempts.forget(id);
        return None;
    }
    Some(attempt.messages)
}

fn write(queue: &Queue, taken: &[(u64, u64)], wanted: &Wanted) -> Answer {
    let mut body = String::with_capacity(taken.len() * 2048);
    body.push_str(r#"{"Messages":["#);
    for (nth, &(key, serial)) in taken.iter().enumerate() {
        let Some(message) = queue.message(key) else {
            continue;
        };
        if nth > 0 {
            body.push(',');
        }
        let receipt = Receipt {
            queue: queue.number,
            message: key,
            serial,
        };
        message.write(&mut body, &receipt.encode(), wanted);
    }
    body.push_str("]}");
    Answer {
        parts: vec![body.into()],
        records: taken.len(),
    }
}
