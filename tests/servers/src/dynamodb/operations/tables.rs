//! Creates, changes, describes, deletes and lists tables, and switches their streams on and off.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::super::DynamoDb;
use super::super::item::invalid;
use super::super::model::{ACCOUNT, Model};
use super::super::stream::View;
use super::super::table::{KeyPart, State, Table};
use super::read;
use crate::service::{Answer, Call, Refusal};
use crate::validation::{constraint_broken, missing, parse, within};

pub(super) fn create(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: CreateTable = read(call.body)?;
    let name = named(request.table_name)?;
    let valid = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    if !(3..=255).contains(&name.len()) || !name.chars().all(valid) {
        let must = "have length between 3 and 255 and match [a-zA-Z0-9_.-]+";
        return Err(constraint_broken("tableName", &name, must));
    }
    let key = key_parts(
        &request.key_schema.unwrap_or_default(),
        &request.attribute_definitions.unwrap_or_default(),
    )?;
    let view = request.stream_specification.unwrap_or_default().wanted()?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    if model.tables.contains_key(&name) {
        let message = format!("Table already exists: {name}");
        return Err(Refusal::client("ResourceInUseException", message));
    }
    let arn = format!("arn:aws:dynamodb:{}:{ACCOUNT}:table/{name}", call.region);
    let ready_ms = now_ms + model.settings.create_ms;
    let state = State::Creating(ready_ms);
    let table = Table::new(&name, arn, call.region, key, state, now_ms);
    model.tables.insert(name.clone(), table);
    if let Some(view) = view {
        model.enable(&name, view, now_ms, ready_ms)?;
    }
    described(&mut model, &name, "TableDescription")
}

pub(super) fn update(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: UpdateTable = read(call.body)?;
    let name = named(request.table_name)?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let ready_ms = now_ms + model.settings.update_ms;
    let table = model.table(&name)?;
    if table.state != State::Active {
        return Err(in_use(table));
    }
    let specification = request
        .stream_specification
        .ok_or_else(|| invalid("Of UpdateTable this server knows StreamSpecification only"))?;
    match (specification.wanted()?, model.enabled(&name)) {
        (Some(view), None) => model.enable(&name, view, now_ms, ready_ms)?,
        (None, Some(stream)) => stream.disable(now_ms, ready_ms),
        (Some(_), Some(_)) => {
            let message = format!("Table already has an enabled stream: TableName: {name}");
            return Err(invalid(message));
        }
        (None, None) => {
            let message = format!("Table has no stream to disable: TableName: {name}");
            return Err(invalid(message));
        }
    }
    model.table(&name)?.state = State::Updating(ready_ms);
    described(&mut model, &name, "TableDescription")
}

pub(super) fn describe(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: OnlyTable = parse(call.body)?;
    let name = named(request.table_name)?;
    let now_ms = dynamodb.clock.now_ms();
    described(&mut dynamodb.settled(now_ms), &name, "Table")
}

pub(super) fn delete(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: OnlyTable = parse(call.body)?;
    let name = named(request.table_name)?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let end_ms = now_ms + model.settings.delete_ms;
    let table = model.table(&name)?;
    if table.state != State::Active {
        return Err(in_use(table));
    }
    table.state = State::Deleting(end_ms);
    if let Some(stream) = model.enabled(&name) {
        stream.disable(now_ms, end_ms);
    }
    described(&mut model, &name, "TableDescription")
}

pub(super) fn list(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ListTables = parse(call.body)?;
    let limit = within("limit", request.limit.unwrap_or(100), 1..=100)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let model = dynamodb.settled(dynamodb.clock.now_ms());
    let start = request.exclusive_start_table_name.as_ref();
    let after = |name: &&String| start.is_none_or(|start| *name > start);
    let rest: Vec<&String> = model.tables.keys().filter(after).collect();
    let page = &rest[..rest.len().min(limit)];
    let mut answer = json!({"TableNames": page});
    if page.len() < rest.len() {
        answer["LastEvaluatedTableName"] = json!(page.last());
    }
    Ok(Answer::json(&answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateTable {
    table_name: Option<String>,
    key_schema: Option<Vec<KeyElement>>,
    attribute_definitions: Option<Vec<Definition>>,
    stream_specification: Option<StreamSpecification>,
    /// Nothing is billed here, and throughput is throttled on command only.
    #[serde(rename = "BillingMode")]
    _billing_mode: Option<IgnoredAny>,
    #[serde(rename = "ProvisionedThroughput")]
    _provisioned_throughput: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateTable {
    table_name: Option<String>,
    stream_specification: Option<StreamSpecification>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnlyTable {
    table_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListTables {
    limit: Option<u64>,
    exclusive_start_table_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyElement {
    attribute_name: String,
    key_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSpecification {
    stream_enabled: bool,
    stream_view_type: Option<String>,
}

impl StreamSpecification {
    /// The view of a stream that is wanted; `None` when none is.
    fn wanted(self) -> Result<Option<View>, Refusal> {
        match (self.stream_enabled, self.stream_view_type) {
            (true, Some(name)) => View::of(&name).map(Some).ok_or_else(|| {
                let must = "satisfy enum value set: [NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES, \
                            KEYS_ONLY]";
                constraint_broken("streamSpecification.streamViewType", &name, must)
            }),
            (false, None) => Ok(None),
            (true, None) => Err(invalid(
                "One or more parameter values were invalid: StreamViewType is required when \
                 StreamEnabled is true",
            )),
            (false, Some(_)) => Err(invalid(
                "One or more parameter values were invalid: StreamViewType goes with \
                 StreamEnabled true",
            )),
        }
    }
}

fn named(name: Option<String>) -> Result<String, Refusal> {
    name.ok_or_else(|| missing("tableName"))
}

fn key_parts(schema: &[KeyElement], definitions: &[Definition]) -> Result<Vec<KeyPart>, Refusal> {
    let kinds: Vec<&str> = schema
        .iter()
        .map(|element| element.key_type.as_str())
        .collect();
    if kinds != ["HASH"] && kinds != ["HASH", "RANGE"] {
        return Err(invalid(
            "Invalid KeySchema: one HASH and at most one RANGE, in this order, are needed",
        ));
    }
    let part = |element: &KeyElement| {
        let name = &element.attribute_name;
        let found = definitions.iter().find(|one| one.attribute_name == *name);
        let kind = found.map(|definition| definition.attribute_type.clone());
        let kind = kind.filter(|kind| ["S", "N", "B"].contains(&kind.as_str()));
        let name = name.clone();
        kind.map(|kind| KeyPart { name, kind }).ok_or_else(|| {
            invalid(
                "One or more parameter values were invalid: Some index key attributes are not \
                 defined in AttributeDefinitions",
            )
        })
    };
    schema.iter().map(part).collect()
}

fn in_use(table: &Table) -> Refusal {
    let (name, status) = (&table.name, table.status());
    let message = format!("Table is being changed: {name} is {status}, not ACTIVE");
    Refusal::client("ResourceInUseException", message)
}

fn described(model: &mut Model, name: &str, member: &str) -> Result<Answer, Refusal> {
    let table = model.table(name)?;
    let mut description = table.describe();
    let newest = table.stream.clone();
    if let Some(stream) = newest.and_then(|arn| model.streams.get(&arn)) {
        description["LatestStreamArn"] = json!(stream.arn);
        description["LatestStreamLabel"] = json!(stream.label);
        if stream.disabled_ms.is_none() {
            description["StreamSpecification"] = json!({
                "StreamEnabled": true,
                "StreamViewType": stream.view.name(),
            });
        }
    }
    let answer: Value = json!({member: description});
    Ok(Answer::json(&answer))
}
