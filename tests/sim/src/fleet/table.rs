//! Simulates the table: items of attributes, and conditional writes, one at a time.
//!
//! Rules: what stands here survives every crash; a row is kept as the attributes that a real table
//! would hold, and what is read is what they say; when a request arrives is the network's business.

use std::collections::BTreeMap;

use penstock_engine::ids::{Owner, ShardId};
use penstock_engine::lease::table::{self, Item};
use penstock_engine::lease::{Row, Write};
use serde_json::json;

/// The table.
#[derive(Debug, Default)]
pub struct SimTable {
    /// The attributes, and what they say.
    items: BTreeMap<ShardId, (Item, Row)>,
}

impl SimTable {
    /// Puts a row where there is none.
    pub fn register(&mut self, row: &Row) {
        self.items.entry(row.shard.clone()).or_insert_with(|| {
            let mut item = Item::new();
            table::write(row, &mut item);
            let row = read(&item);
            (item, row)
        });
    }

    /// Every row, or every other one, as a scan meets them.
    pub fn rows(&self, wanted: impl Fn(usize) -> bool) -> Vec<Row> {
        let met = self.items.values().enumerate();
        met.filter(|(place, _)| wanted(*place))
            .map(|(_, (_, row))| row.clone())
            .collect()
    }

    /// Whether a shard has a row.
    #[must_use]
    pub fn has(&self, shard: &ShardId) -> bool {
        self.items.contains_key(shard)
    }

    /// One row.
    #[must_use]
    pub fn row(&self, shard: &ShardId) -> Option<Row> {
        self.items.get(shard).map(|(_, row)| row.clone())
    }

    /// Another program changes a row: its holder and counter, and nothing else. `None` gives the
    /// row up.
    pub fn write_as_library(&mut self, shard: &ShardId, owner: Option<&Owner>) {
        let Some((item, row)) = self.items.get_mut(shard) else {
            return;
        };
        let counter = json!({"N": (row.counter + 1).to_string()});
        item.insert("leaseCounter".to_owned(), counter);
        match owner {
            Some(owner) => item.insert("leaseOwner".to_owned(), json!({"S": owner.as_str()})),
            None => item.remove("leaseOwner"),
        };
        *row = read(item);
    }

    /// Writes, if the condition holds; says whether it does, and gives the row as it is then.
    pub fn write(&mut self, shard: &ShardId, write: &Write) -> (bool, Option<Row>) {
        let Some((item, row)) = self.items.get_mut(shard) else {
            return (false, None);
        };
        let allowed = write.allowed(row);
        if allowed {
            write.apply(row);
            table::write(row, item);
            *row = read(item);
        }
        (allowed, Some(row.clone()))
    }
}

fn read(item: &Item) -> Row {
    table::read(item)
        .expect("the simulator writes what can be read")
        .expect("it writes leases only")
}
