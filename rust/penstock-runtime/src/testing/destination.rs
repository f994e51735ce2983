//! Rules of every destination.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use penstock_engine::failure::FailureDocument;
use penstock_engine::ids::ShardId;

use crate::ports::Destination;

/// An empty destination, and a way to look into it.
pub trait DestinationBench: Send + Sync {
    /// The destination under test.
    fn destination(&self) -> Arc<dyn Destination>;

    /// The bodies that came, in their order.
    fn bodies(&self) -> BoxFuture<'_, Vec<String>>;
}

fn document(number: u32) -> Arc<FailureDocument> {
    Arc::new(FailureDocument {
        id: format!("mapping/shard/{number}"),
        destination: "somewhere".to_owned(),
        shard: ShardId::new("shardId-000000000000"),
        records: 1,
        timestamp: "2026-09-19T00:38:09.021Z".to_owned(),
        bare: None,
        body: format!(r#"{{"requestContext":{{"n":{number}}},"text":"ä \"quoted\""}}"#),
    })
}

/// What was acknowledged is there, byte for byte.
pub async fn keeps_documents_whole_and_in_order(bench: impl DestinationBench) {
    for number in 0..5 {
        bench
            .destination()
            .deliver(document(number))
            .await
            .expect("delivered");
    }
    let wanted: Vec<_> = (0..5).map(|number| document(number).body.clone()).collect();
    assert_eq!(bench.bodies().await, wanted);
}

/// A document may come again with the same id, and is acknowledged again.
pub async fn takes_a_document_again(bench: impl DestinationBench) {
    bench
        .destination()
        .deliver(document(1))
        .await
        .expect("delivered");
    bench
        .destination()
        .deliver(document(1))
        .await
        .expect("delivered again");
    let bodies = bench.bodies().await;
    assert!(!bodies.is_empty() && bodies.iter().all(|body| *body == document(1).body));
}
