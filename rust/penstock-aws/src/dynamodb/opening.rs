//! Finds the table or makes it, and judges whether it is one that leases can be kept in.
//!
//! Rules: a table of another shape is refused by name, and nothing in it is touched; a table that
//! is being made or changed is waited for by whoever asks again; a new one is paid for by request,
//! as the library's own.

use penstock_engine::fault::FaultKind;
use penstock_engine::lease::table;
use penstock_runtime::error::StoreError;
use serde_json::{Value, json};

use super::DynamoDbTable;
use super::wire::{Described, Table};
use crate::protocol::Subject;

impl DynamoDbTable {
    pub(super) async fn make_ready(&self) -> Result<(), StoreError> {
        let subject = self.subject("DescribeTable", None);
        let name = &self.options.table;
        let body = json!({"TableName": name});
        let described = match self.call::<Described>(&subject, &body).await {
            Err(error) if error.fault().kind == FaultKind::NotFound => {
                self.create(name, &[(table::KEY, "HASH")]).await?;
                let message = format!("table {name} is being made");
                return Err(StoreError::new(FaultKind::Transient, message));
            }
            described => described?,
        };
        judge(name, &described.table)?;
        // Every row is looked at once: whether it is one, and whose.
        self.items().await.map(|_| ())
    }

    /// Asks for a table; one that is there or being made is as good.
    pub(super) async fn create(&self, name: &str, keys: &[(&str, &str)]) -> Result<(), StoreError> {
        let subject = Subject {
            operation: "CreateTable",
            noun: "table",
            stream: name,
            shard: None,
        };
        let types = keys
            .iter()
            .map(|(key, _)| json!({"AttributeName": key, "AttributeType": "S"}));
        let keys = keys
            .iter()
            .map(|(key, kind)| json!({"AttributeName": key, "KeyType": kind}));
        let body = json!({
            "TableName": name, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": types.collect::<Vec<_>>(),
            "KeySchema": keys.collect::<Vec<_>>(),
        });
        match self.call::<Value>(&subject, &body).await {
            // ResourceInUseException.
            Err(error) if error.fault().kind != FaultKind::Transient => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether leases can be kept in a table.
fn judge(name: &str, table: &Table) -> Result<(), StoreError> {
    match table.table_status.as_str() {
        "ACTIVE" | "UPDATING" => {}
        "CREATING" => {
            let message = format!("table {name} is being made");
            return Err(StoreError::new(FaultKind::Transient, message));
        }
        status => {
            let message = format!("table {name} cannot be used while it is {status}");
            return Err(StoreError::new(FaultKind::NotFound, message));
        }
    }
    let types = |key: &str| {
        let mut attributes = table.attribute_definitions.iter();
        let found = attributes.find(|attribute| attribute.attribute_name == key);
        found.map_or("?", |attribute| attribute.attribute_type.as_str())
    };
    let keys: Vec<String> = table
        .key_schema
        .iter()
        .map(|key| {
            let name = &key.attribute_name;
            format!("{name} ({}, {})", types(name), key.key_type)
        })
        .collect();
    let wanted = format!("{} (S, HASH)", table::KEY);
    if keys == [wanted.clone()] {
        return Ok(());
    }
    let message = format!(
        "table {name} is no lease table: its key is {}, and a lease table's is {wanted}; choose \
         another name, and the table is made",
        keys.join(" and ")
    );
    Err(StoreError::new(FaultKind::Invalid, message))
}
