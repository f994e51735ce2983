//! All tables and all streams, and how requests name them.

use std::collections::BTreeMap;

use super::item::Item;
use super::settings::Settings;
use super::stream::{Plan, Stream, View};
use super::table::{State, Table};
use crate::clock::iso_date;
use crate::service::Refusal;

/// The account everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// Everything the service knows.
#[derive(Debug)]
pub struct Model {
    /// The tables by name.
    pub tables: BTreeMap<String, Table>,
    /// The streams by ARN; they outlive their tables.
    pub streams: BTreeMap<String, Stream>,
    /// How it behaves.
    pub settings: Settings,
    serial: u64,
}

impl Model {
    /// A model without tables.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            tables: BTreeMap::new(),
            streams: BTreeMap::new(),
            settings,
            serial: 0,
        }
    }

    /// The next serial number of an iterator.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Does what the clock says is due: everything is looked at after this only.
    pub fn settle(&mut self, now_ms: u64) {
        self.tables.retain(|_, table| table.settle(now_ms));
        let settings = &self.settings;
        self.streams
            .retain(|_, stream| stream.settle(settings, now_ms));
    }

    /// A table, in whatever state it is.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn table(&mut self, name: &str) -> Result<&mut Table, Refusal> {
        self.tables.get_mut(name).ok_or_else(|| {
            let message = format!("Requested resource not found: Table: {name} not found");
            Refusal::client("ResourceNotFoundException", message)
        })
    }

    /// A table whose items can be read and written.
    ///
    /// # Errors
    /// When there is none of this name, or it is being created or deleted.
    pub fn usable(&mut self, name: &str) -> Result<&mut Table, Refusal> {
        let table = self
            .tables
            .get_mut(name)
            .filter(|table| matches!(table.state, State::Active | State::Updating(_)));
        table.ok_or_else(|| {
            Refusal::client("ResourceNotFoundException", "Requested resource not found")
        })
    }

    /// A stream.
    ///
    /// # Errors
    /// When there is none of this ARN.
    pub fn stream(&mut self, arn: &str) -> Result<&mut Stream, Refusal> {
        self.streams.get_mut(arn).ok_or_else(|| {
            let message = format!("Requested resource not found: Stream: {arn} not found");
            Refusal::client("ResourceNotFoundException", message)
        })
    }

    /// The enabled stream of a table.
    #[must_use]
    pub fn enabled(&mut self, table: &str) -> Option<&mut Stream> {
        let arn = self.tables.get(table)?.stream.as_ref()?;
        let stream = self.streams.get_mut(arn)?;
        stream.disabled_ms.is_none().then_some(stream)
    }

    /// Gives a table a new stream.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn enable(
        &mut self,
        table: &str,
        view: View,
        now_ms: u64,
        enabled_ms: u64,
    ) -> Result<(), Refusal> {
        let shards = self.settings.shards.get();
        let table = self.table(table)?;
        let (arn, name) = (table.arn.clone(), table.name.clone());
        let (region, key_schema) = (table.region.clone(), table.key_schema());
        let plan = Plan {
            table_arn: &arn,
            table: &name,
            region: &region,
            key_schema: &key_schema,
            view,
            shards,
            enabled_ms,
        };
        // Two streams of a table never share a label, however fast they follow each other.
        let taken = |label: &str| self.streams.contains_key(&format!("{arn}/stream/{label}"));
        let label = (now_ms..)
            .map(iso_date)
            .find(|label| !taken(label))
            .expect("a free label comes");
        let stream = Stream::new(plan, label, now_ms);
        self.table(&name)?.stream = Some(stream.arn.clone());
        self.streams.insert(stream.arn.clone(), stream);
        Ok(())
    }

    /// Puts or removes an item, and tells the table's stream; gives what was there.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub fn write(
        &mut self,
        table: &str,
        key: &Item,
        new: Option<Item>,
        by_service: bool,
        now_ms: u64,
    ) -> Result<Option<Item>, Refusal> {
        let of = self.usable(table)?;
        let hash = of.hash(key);
        let old = of.replace(key, new.clone());
        if let Some(stream) = self.enabled(table) {
            let images = (old.as_ref(), new.as_ref());
            stream.append(hash, key, images, by_service, now_ms);
        }
        Ok(old)
    }
}
