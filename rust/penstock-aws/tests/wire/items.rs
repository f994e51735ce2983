//! Imitates the tables of DynamoDB, as far as the lease table uses them.
//!
//! It reads the expressions that are sent, so that a condition which asks for too little is seen
//! here before it is seen by a real server. A page has at most ten items.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::support::{Call, Reply};

type Item = Map<String, Value>;

/// Items of one page.
const PAGE: usize = 10;

/// All tables of an account.
#[derive(Default)]
pub struct Tables(BTreeMap<String, Table>);

/// One of them.
#[derive(Default)]
struct Table {
    keys: Vec<String>,
    description: Value,
    items: BTreeMap<Vec<String>, Item>,
}

impl Tables {
    /// Makes a table by CreateTable's request.
    pub fn create(&mut self, request: &Value) {
        let names = request["KeySchema"].as_array().unwrap().iter();
        let keys = names.map(|key| key["AttributeName"].as_str().unwrap().to_owned());
        let mut description = request.clone();
        description["TableStatus"] = json!("ACTIVE");
        let table = Table {
            keys: keys.collect(),
            description,
            items: BTreeMap::new(),
        };
        let name = request["TableName"].as_str().unwrap();
        self.0.insert(name.to_owned(), table);
    }

    /// Puts an item as it is.
    pub fn put(&mut self, table: &str, item: &Value) {
        let table = self.0.get_mut(table).expect("the table is there");
        let item = item.as_object().unwrap();
        table.items.insert(table.key(item), item.clone());
    }

    /// One item, by its whole key.
    pub fn item(&self, table: &str, key: &[&str]) -> Option<&Item> {
        let key: Vec<String> = key.iter().map(|&part| part.to_owned()).collect();
        self.0.get(table)?.items.get(&key)
    }

    /// How many items a table has.
    pub fn count(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, |table| table.items.len())
    }

    /// A table is gone.
    pub fn drop_table(&mut self, table: &str) {
        self.0.remove(table);
    }

    /// Answers a request.
    pub fn answer(&mut self, call: &Call) -> Reply {
        let body = &call.body;
        if call.operation == "CreateTable" {
            self.create(body);
            return Reply::json(&json!({"TableDescription": body}));
        }
        let batched = body["RequestItems"].as_object();
        let batched = batched.and_then(|tables| tables.iter().next());
        let name = body["TableName"].as_str();
        let name = name.or(batched.map(|(name, _)| name.as_str()));
        let Some(table) = name.and_then(|name| self.0.get_mut(name)) else {
            return Reply::error(400, "ResourceNotFoundException");
        };
        match call.operation.as_str() {
            "DescribeTable" => Reply::json(&json!({"Table": table.description})),
            "GetItem" => match table
                .items
                .get(&table.key(body["Key"].as_object().unwrap()))
            {
                Some(item) => Reply::json(&json!({"Item": item})),
                None => Reply::json(&json!({})),
            },
            "PutItem" | "UpdateItem" => table.write(body),
            "Scan" | "Query" => table.page(body),
            "BatchWriteItem" => {
                for request in batched.unwrap().1.as_array().unwrap() {
                    table.batched(request);
                }
                Reply::json(&json!({"UnprocessedItems": {}}))
            }
            other => panic!("{other} is not imitated"),
        }
    }
}

impl Table {
    fn key(&self, item: &Item) -> Vec<String> {
        let parts = self.keys.iter().map(|key| item[key]["S"].as_str());
        parts.map(|part| part.expect("a key").to_owned()).collect()
    }

    fn batched(&mut self, request: &Value) {
        if let Some(item) = request["PutRequest"]["Item"].as_object() {
            assert!(Value::Object(item.clone()).to_string().len() < 400 << 10);
            self.items.insert(self.key(item), item.clone());
        } else {
            let key = request["DeleteRequest"]["Key"].as_object().unwrap();
            self.items.remove(&self.key(key));
        }
    }

    fn write(&mut self, body: &Value) -> Reply {
        let key = self.key(
            body.get("Key")
                .or(body.get("Item"))
                .unwrap()
                .as_object()
                .unwrap(),
        );
        let found = self.items.get(&key);
        let nothing = Item::new();
        let words = Words {
            body,
            item: found.unwrap_or(&nothing),
        };
        if !words.holds(body["ConditionExpression"].as_str().unwrap()) {
            let refused = json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                "message": "The conditional request failed", "Item": found,
            });
            return Reply::status(400, &refused.to_string());
        }
        let written = match body["UpdateExpression"].as_str() {
            Some(update) => words.updated(update),
            None => body["Item"].as_object().unwrap().clone(),
        };
        let reply = Reply::json(&json!({"Attributes": written}));
        self.items.insert(key, written);
        reply
    }

    fn page(&self, body: &Value) -> Reply {
        let from = body["ExclusiveStartKey"]
            .as_object()
            .map(|key| self.key(key));
        let matches = |item: &Item| {
            let condition = body["KeyConditionExpression"].as_str();
            condition.is_none_or(|condition| Words { body, item }.holds(condition))
        };
        let behind = self.items.iter();
        let behind = behind.filter(|(key, _)| from.as_ref().is_none_or(|from| *key > from));
        let mut found: Vec<&Item> = behind
            .map(|(_, item)| item)
            .filter(|it| matches(it))
            .collect();
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        let mut answer = json!({"Items": found});
        if let Some(last) = found.last().filter(|_| more) {
            let key = self.keys.iter().map(|key| (key.clone(), last[key].clone()));
            answer["LastEvaluatedKey"] = Value::Object(key.collect());
        }
        Reply::json(&answer)
    }
}

/// The language of expressions, on one item.
struct Words<'a> {
    body: &'a Value,
    item: &'a Item,
}

impl Words<'_> {
    fn holds(&self, condition: &str) -> bool {
        condition
            .split(" AND ")
            .all(|term| match term.strip_prefix('(') {
                Some(either) => either
                    .trim_end_matches(')')
                    .split(" OR ")
                    .any(|it| self.term(it)),
                None => self.term(term),
            })
    }

    fn term(&self, term: &str) -> bool {
        if let Some(name) = term.strip_prefix("attribute_not_exists(") {
            return self.value(name.trim_end_matches(')')).is_none();
        }
        if let Some(both) = term.strip_prefix("begins_with(") {
            let (name, head) = both.trim_end_matches(')').split_once(", ").unwrap();
            let text = |it: &str| self.value(it).unwrap()["S"].as_str().unwrap().to_owned();
            return text(name).starts_with(&text(head));
        }
        let words: Vec<&str> = term.split(' ').collect();
        let (Some(a), Some(b)) = (self.value(words[0]), self.value(words[2])) else {
            return false;
        };
        match words[1] {
            "=" => a == b,
            "<" => number(&a) < number(&b),
            ">=" => number(&a) >= number(&b),
            other => panic!("{other} is not imitated"),
        }
    }

    /// An attribute or a value that was sent.
    fn value(&self, word: &str) -> Option<Value> {
        if word.starts_with(':') {
            return Some(self.body["ExpressionAttributeValues"][word].clone());
        }
        self.item.get(&self.name(word)).cloned()
    }

    fn name(&self, word: &str) -> String {
        let name = self.body["ExpressionAttributeNames"][word].as_str();
        name.expect("the name was sent").to_owned()
    }

    fn updated(&self, update: &str) -> Item {
        let update = update.strip_prefix("SET ").expect("something is set");
        let (sets, removes) = update.split_once(" REMOVE ").unwrap_or((update, ""));
        let mut item = self.item.clone();
        for (place, value) in self.body["Key"].as_object().unwrap() {
            item.insert(place.clone(), value.clone());
        }
        // A comma is in a function, or stands between two of them.
        for set in sets.split(", #") {
            let (name, value) = set.split_once(" = ").unwrap();
            let name = format!("#{}", name.trim_start_matches('#'));
            item.insert(self.name(&name), self.computed(value));
        }
        for name in removes.split(", ").filter(|name| !name.is_empty()) {
            item.remove(&self.name(name));
        }
        item
    }

    fn computed(&self, value: &str) -> Value {
        let Some((a, b)) = value.split_once(" + ") else {
            return self.value(value).expect("a value");
        };
        let a = match a.strip_prefix("if_not_exists(") {
            Some(both) => {
                let (name, other) = both.trim_end_matches(')').split_once(", ").unwrap();
                self.value(name).or_else(|| self.value(other))
            }
            None => self.value(a),
        };
        let sum = number(&a.expect("a number")) + number(&self.value(b).expect("a number"));
        json!({"N": sum.to_string()})
    }
}

fn number(value: &Value) -> u64 {
    value["N"].as_str().expect("a number").parse().unwrap()
}
