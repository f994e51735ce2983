//! `penstock-servers`: starts a wire server, or draws a stream dry to measure one.
//!
//! A server prints one line of JSON with its port when it is ready, and ends when its standard
//! input is closed or on SIGTERM, so that a test that dies takes its servers with it.

mod arguments;
mod draw;

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use penstock_servers::clock::Clock;
use penstock_servers::dynamodb::DynamoDb;
use penstock_servers::kinesis::Kinesis;
use penstock_servers::server::Server;
use penstock_servers::service::Service;
use penstock_servers::sqs::Sqs;
use penstock_servers::sqs::settings::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::arguments::{Command, USAGE};

fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(message) => return complain(&format!("{message}\n{USAGE}"), 2),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::Kinesis(options) => serve_kinesis(options).await,
                Command::DynamoDb(options) => {
                    let clock = Arc::new(Clock::new());
                    let dynamodb = DynamoDb::new(Arc::clone(&clock), options.settings);
                    serve(Box::new(dynamodb), clock, options.port).await
                }
                Command::Sqs(options) => serve_sqs(options).await,
                Command::Draw(options) => draw::run(&options).await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string(), 1),
    }
}

async fn serve_kinesis(options: arguments::Kinesis) -> io::Result<()> {
    let clock = Arc::new(Clock::new());
    let kinesis = Kinesis::new(Arc::clone(&clock), options.settings);
    if let Some(spec) = options.canned {
        kinesis.add_canned(&spec);
    }
    serve(Box::new(kinesis), clock, options.port).await
}

async fn serve_sqs(options: arguments::Sqs) -> io::Result<()> {
    let clock = Arc::new(Clock::new());
    let sqs = Sqs::new(Arc::clone(&clock), Settings::default());
    if let Some(spec) = options.canned {
        sqs.add_canned(&spec);
    }
    serve(Box::new(sqs), clock, options.port).await
}

async fn serve(service: Box<dyn Service>, clock: Arc<Clock>, port: u16) -> io::Result<()> {
    let (listener, port) = Server::listen(port).await?;
    let server = Arc::new(Server::new(service, clock));
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    say(&serde_json::json!({"port": port}).to_string())?;
    tokio::select! {
        () = server.serve(listener) => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        _ = stdin_closed() => {}
    }
    Ok(())
}

/// Resolves when standard input ends. A thread waits for it; the process's exit takes it away.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (closed, wait) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while matches!(io::stdin().read(&mut buffer), Ok(1..)) {}
        // Nobody listens any more when the server ends for another reason.
        let _ = closed.send(());
    });
    wait
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn complain(message: &str, code: u8) -> ExitCode {
    // With standard error closed there is nobody to tell; the exit code still says it.
    let _ = writeln!(io::stderr(), "penstock-servers: {message}");
    ExitCode::from(code)
}
